import type { Duplex } from 'node:stream'
import { type AtSign, bareName, parseAtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { createEnquiries } from './enquiry.ts'
import { type Address, parseAddress } from './table.ts'

/** Finds the atServer of an atSign. */
export interface Resolver {
  /**
   * @param options `fresh` asks the directory even if the address is known, for an address that did not answer
   * @throws AtError AT0007 when the directory does not know the atSign, AT0021 or AT0023 when it does not answer
   */
  resolve(atSign: AtSign, options?: { fresh?: boolean }): Promise<Address>
  /** Drops what is known about an atSign. */
  forget(atSign: AtSign): void
  close(): void
}

export interface ResolverOptions {
  readonly clock: Clock
  /** Opens a connection to the directory. */
  readonly dial: () => Promise<Duplex>
  /** Directory as named in errors: `host:port`. */
  readonly name?: string
  /** How long an address is used without asking again; ten minutes unless told. */
  readonly cacheMs?: number
  /** Wait for one answer of the directory. */
  readonly replyMs?: number
}

interface Known {
  readonly address: Address | undefined
  readonly since: number
}

const negativeMs = 5_000
/** Names are chosen by strangers (`from:@anything`), so what is remembered about them is bounded. */
const mostKnown = 10_000
/** Pauses before further attempts. */
const pauses = [100, 300]

const notFound = (atSign: AtSign): AtError =>
  new AtError('AT0007', `Unable to find secondary address for atSign:${bareName(atSign)}`)

/** Asks an atDirectory, remembers its answers and falls back on the last known address while it is away. */
export function createResolver(options: ResolverOptions): Resolver {
  const { clock, cacheMs = 600_000, name = 'atDirectory', replyMs = limits.peerReplyMs } = options
  const known = new Map<AtSign, Known>()
  const asking = new Map<AtSign, Promise<Address>>()
  const enquiries = createEnquiries({ clock, dial: options.dial, name, replyMs })
  let closed = false

  const remember = (atSign: AtSign, address: Address | undefined): void => {
    known.delete(atSign)
    known.set(atSign, { address, since: clock.now() })
    const oldest = known.keys().next()
    if (known.size > mostKnown && !oldest.done) known.delete(oldest.value)
  }

  const isFresh = ({ address, since }: Known): boolean => {
    const age = clock.now() - since
    return age >= 0 && age < (address === undefined ? negativeMs : cacheMs)
  }

  const pause = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve))

  const askPatiently = async (atSign: AtSign): Promise<string> => {
    for (const ms of pauses) {
      try {
        return await enquiries.ask(bareName(atSign))
      } catch (error) {
        // Who was silent once for the whole time is not asked again at once.
        if (closed || !(error instanceof AtError) || error.code === 'AT0023') throw error
        await pause(ms)
      }
    }
    return enquiries.ask(bareName(atSign))
  }

  const query = async (atSign: AtSign): Promise<Address> => {
    const before = known.get(atSign)
    let answer: string
    try {
      answer = await askPatiently(atSign)
    } catch (error) {
      // A directory that is away must not cut off peers whose address is known.
      if (before?.address !== undefined) return before.address
      throw error
    }
    const address = answer === 'null' ? undefined : parseAddress(answer)
    if (address === undefined && answer !== 'null') {
      throw new AtError('AT0021', `${name} gave no address for ${atSign} but "${answer.slice(0, 64)}"`)
    }
    remember(atSign, address)
    if (address === undefined) throw notFound(atSign)
    return address
  }

  return {
    async resolve(atSign, { fresh = false } = {}) {
      const entry = known.get(atSign)
      if (entry !== undefined && !fresh && isFresh(entry)) {
        if (entry.address === undefined) throw notFound(atSign)
        return entry.address
      }
      if (closed) throw new AtError('AT0021', `${name} is not asked any more: closing`)
      const underWay = asking.get(atSign)
      if (underWay !== undefined) return underWay
      const promise = query(atSign).finally(() => asking.delete(atSign))
      asking.set(atSign, promise)
      return promise
    },
    forget: (atSign) => void known.delete(atSign),
    close() {
      closed = true
      enquiries.close()
    },
  }
}

/**
 * A resolver that knows a fixed set of atSigns and asks nobody.
 * @param entries names with or without `@`, and `host:port`
 * @throws AtError AT0022 for a bad address
 */
export function staticResolver(entries: Iterable<readonly [string, string]>): Resolver {
  const addresses = new Map<AtSign, Address>()
  for (const [name, text] of entries) {
    const address = parseAddress(text)
    if (address === undefined) throw new AtError('AT0022', `The address of ${name} has to be host:port`)
    addresses.set(parseAtSign(name), address)
  }
  return {
    async resolve(atSign) {
      const address = addresses.get(atSign)
      if (address === undefined) throw notFound(atSign)
      return address
    },
    forget() {},
    close() {},
  }
}
