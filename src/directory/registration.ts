import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import type { PeerCertificate } from '../core/session.ts'
import { parseAddress } from './table.ts'

// Registration of devices, a verb of this directory alone. Beside a lookup, which is a name and a line feed, a line may be
//
//   @register:<atSign>:<host>:<port> LF        S> data:<host>:<port> CR LF @
//   @unregister:<atSign> LF                    S> data:null CR LF @
//
// and is answered `error:AT<code>-<reason>` when it is refused. No released client sends such a line, because an atSign has
// no colon; a reference directory answers it as any unknown name, `null`. The device proves itself by its TLS client
// certificate: of a private authority that the directory was given, and naming the host that it registers.

/** A line that asks for a change of an entry. `address` is undefined for one that is to go. */
export interface RegistrationLine {
  readonly atSign: AtSign
  readonly address: string | undefined
}

/** Longest registration with its line end: atSign, host and port at their longest, and the verb. */
export const registrationBytes = 768

/** True for lines that are registrations and not names, well-formed or not. */
export const isRegistration = (line: string): boolean => /^@(?:un)?register:/i.test(line)

/** @throws AtError AT0003, AT0011 or AT0022 that says what is wrong with the line */
export function parseRegistration(line: string): RegistrationLine {
  const [, verb = '', name = '', address] = /^@(register|unregister):([^:]+)(?::(.*))?$/i.exec(line) ?? []
  const takesAddress = verb.toLowerCase() === 'register'
  if (verb === '' || (address !== undefined) !== takesAddress) {
    throw new AtError('AT0003', 'expected @register:<atSign>:<host>:<port> or @unregister:<atSign>')
  }
  const atSign = parseAtSign(name)
  if (address !== undefined && parseAddress(address) === undefined) {
    throw new AtError('AT0022', 'the address has to be host:port')
  }
  return { atSign, address }
}

/** Names of every machine, which tell nobody apart. */
const isLoopback = (host: string): boolean => host === 'localhost' || host.endsWith('.localhost') || /^127\./.test(host)

const covers = (certificate: PeerCertificate, address: string): boolean => {
  const host = hostOf(address).toLowerCase()
  return !isLoopback(host) && certificate.names.includes(host)
}

const hostOf = (address: string): string => parseAddress(address)?.host ?? address

/**
 * Whether a device may set or remove an entry. An atSign belongs to the host that registered it first: whoever changes
 * the entry shows a certificate that names the host of the present one as well.
 * @param present address of the entry now, undefined when there is none
 * @returns why not, or undefined
 */
export function refusalOf(
  { atSign, address }: RegistrationLine,
  certificate: PeerCertificate | undefined,
  present: string | undefined,
): AtError | undefined {
  const refuse = (reason: string): AtError => new AtError('AT0401', reason)
  if (certificate === undefined) return refuse('a device registers with its TLS client certificate; none was shown')
  if (certificate.private !== true) {
    return refuse('the certificate is of no private authority that this directory was given')
  }
  if (address !== undefined && isLoopback(hostOf(address).toLowerCase())) {
    return refuse(`${hostOf(address)} is every machine's name: register the one by which others reach the device`)
  }
  if (address !== undefined && !covers(certificate, address)) {
    return refuse(`the certificate does not name ${hostOf(address)}`)
  }
  if (present !== undefined && !covers(certificate, present)) {
    return refuse(`${atSign} belongs to ${hostOf(present)}, which the certificate does not name`)
  }
  return undefined
}
