import { domainToASCII } from 'node:url'

const dottedQuad = /^(?:(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)(?:\.(?!$)|$)){4}$/
const hostName = /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)(?:\.[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?)*$/
// domainToASCII reads a URL's host and forgets whatever ends one: `a/b` would become `a`.
const hostCharacters = /^[\w.\u0080-\u{10ffff}-]+$/u
const ipv6Characters = /^[0-9a-f.]*:[0-9a-f:.]*$/i
const numbersOnly = /^[\d.]+$/

/** A name that a certificate can carry, in its one canonical spelling. */
export interface CertificateName {
  readonly kind: 'dns' | 'ip'
  /** Lower case, international names as `xn--`; IPv6 shortened, without brackets. */
  readonly text: string
}

/**
 * Judges a name for a certificate: a DNS name (a leading `*.` is allowed), an IPv4 or an IPv6 address.
 * @throws Error that names the text
 */
export function parseName(text: string): CertificateName {
  if (dottedQuad.test(text)) return { kind: 'ip', text }
  const address = ipv6(text)
  if (address !== undefined) return { kind: 'ip', text: address }
  const wild = text.startsWith('*.')
  const bare = wild ? text.slice(2) : text
  const ascii = hostCharacters.test(bare) ? domainToASCII(bare).replace(/\.$/, '') : ''
  const name = wild ? `*.${ascii}` : ascii
  if (!hostName.test(name) || numbersOnly.test(name) || name.length > 253) {
    throw new Error(`"${text}" is neither a host name nor an IP address`)
  }
  return { kind: 'dns', text: name }
}

function ipv6(text: string): string | undefined {
  const url = `http://[${text}]/`
  return ipv6Characters.test(text) && URL.canParse(url) ? new URL(url).hostname.slice(1, -1) : undefined
}
