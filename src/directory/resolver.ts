import type { Duplex } from 'node:stream'
import { type AtSign, bareName, parseAtSign } from '../core/at-sign.ts'
import { type Clock, elapsed } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { createEnquiries, type Enquiries } from './enquiry.ts'
import { type Address, parseAddress } from './table.ts'

/** Finds the atServer of an atSign. */
export interface Resolver {
  /**
   * @param options `fresh` asks the directory even if the address is known, for an address that did not answer
   * @throws AtError AT0007 when the directory does not know the atSign, AT0021 or AT0023 when it does not answer
   */
  resolve(atSign: AtSign, options?: { fresh?: boolean }): Promise<Address>
  close(): void
}

/** One address of an atDirectory. */
export interface DirectoryServer {
  /** As named in errors: `host:port`. */
  readonly name: string
  /** Opens a connection to it. */
  readonly dial: () => Promise<Duplex>
}

export interface ResolverOptions {
  readonly clock: Clock
  /** Opens a connection to the directory. */
  readonly dial: () => Promise<Duplex>
  /** Directory as named in errors: `host:port`. */
  readonly name?: string
  /** Further addresses of the same directory, asked in turn when one does not answer. */
  readonly others?: readonly DirectoryServer[]
  /** How long an address is used without asking again; ten minutes unless told. */
  readonly cacheMs?: number
  /** How long an atSign stays unknown without asking again; five seconds unless told. */
  readonly negativeMs?: number
  /** Wait for one answer of the directory. */
  readonly replyMs?: number
  /** Pauses before further attempts, in milliseconds. */
  readonly pauses?: readonly number[]
  /** Longest wait for an answer, all attempts together; none unless told. */
  readonly deadlineMs?: number
  /** After a failure nobody is asked for this long, and questions fail at once; 0 unless told. */
  readonly restMs?: number
  /**
   * Called after each question that the directory was asked: undefined when it gave an answer that can be used, else why not.
   * What is answered from memory, or refused during `restMs`, is no question.
   */
  readonly onOutcome?: (failure: unknown) => void
}

interface Known {
  readonly address: Address | undefined
  readonly since: number
  /** When the directory first denied an atSign whose address was known. */
  readonly deniedSince?: number
}

/** Names are chosen by strangers (`from:@anything`), so what is remembered about them is bounded. */
const mostKnown = 10_000
/** A directory that lost its table denies everybody until the devices have registered again; so long it is not believed. */
const graceMs = 600_000

const notFound = (atSign: AtSign): AtError =>
  new AtError('AT0007', `Unable to find secondary address for atSign:${bareName(atSign)}`)

/** Asks several addresses of one directory: the one that answered last comes first. */
function createRound(servers: readonly Enquiries[], pauses: readonly number[], clock: Clock) {
  let preferred = 0
  let closed = false
  const pause = (ms: number): Promise<void> => new Promise((resolve) => void clock.after(ms, resolve))

  /** Who was silent once for the whole time is not asked again at once. */
  const askEach = async (question: string, silent: Set<number>): Promise<string | AtError> => {
    let failure = new AtError('AT0021', 'no directory is left to ask')
    const order = servers.map((_, offset) => (preferred + offset) % servers.length)
    for (const index of order.filter((candidate) => !silent.has(candidate))) {
      try {
        const answer = await (servers[index] as Enquiries).ask(question)
        preferred = index
        return answer
      } catch (error) {
        if (closed || !(error instanceof AtError)) throw error
        if (error.code === 'AT0023') silent.add(index)
        failure = error
      }
    }
    return failure
  }

  return {
    /** @throws AtError AT0021 or AT0023 when none of them answers */
    async ask(question: string): Promise<string> {
      const silent = new Set<number>()
      let answer = await askEach(question, silent)
      for (const ms of pauses) {
        if (typeof answer === 'string' || silent.size === servers.length) break
        await pause(ms)
        answer = await askEach(question, silent)
      }
      if (typeof answer === 'string') return answer
      throw answer
    },
    close(): void {
      closed = true
      for (const server of servers) server.close()
    },
  }
}

/** Addresses in answers may be IPv6 literals in brackets, which this directory itself never gives. */
function parseAnswer(text: string): Address | undefined {
  const [, host, port] = /^\[([0-9a-f:]{2,45})\]:(\d{1,5})$/i.exec(text) ?? []
  if (host === undefined) return parseAddress(text)
  return Number(port) >= 1 && Number(port) <= 65_535 ? { host, port: Number(port) } : undefined
}

/** Asks an atDirectory, remembers its answers and falls back on the last known address while it is away. */
export function createResolver(options: ResolverOptions): Resolver {
  const { clock, cacheMs = 600_000, negativeMs = 5_000, name = 'atDirectory' } = options
  const { replyMs = limits.peerReplyMs, pauses = [100, 300], others = [] } = options
  const known = new Map<AtSign, Known>()
  const asking = new Map<AtSign, Promise<Address>>()
  const servers = [{ name, dial: options.dial }, ...others]
  const round = createRound(
    servers.map((server) => createEnquiries({ ...server, clock, replyMs })),
    pauses,
    clock,
  )
  let closed = false
  /** Time that has passed, as a clock that is set back must not prolong the rest. */
  let failed: { readonly error: unknown; readonly until: number } | undefined
  const tell = (failure?: unknown): void => options.onOutcome?.(failure)

  const withinDeadline = (answer: Promise<string>): Promise<string> => {
    const { deadlineMs } = options
    if (deadlineMs === undefined) return answer
    return new Promise((resolve, reject) => {
      const late = (): void => reject(new AtError('AT0023', `${name} did not answer within ${deadlineMs} ms`))
      const cancel = clock.after(deadlineMs, late)
      answer.then(resolve, reject).finally(cancel)
    })
  }

  const ask = async (question: string): Promise<string> => {
    if (failed !== undefined && elapsed(clock) < failed.until) throw failed.error
    try {
      const answer = await withinDeadline(round.ask(question))
      failed = undefined
      return answer
    } catch (error) {
      failed = { error, until: elapsed(clock) + (options.restMs ?? 0) }
      tell(error)
      throw error
    }
  }

  const remember = (atSign: AtSign, entry: Known): void => {
    known.delete(atSign)
    known.set(atSign, entry)
    const oldest = known.keys().next()
    if (known.size > mostKnown && !oldest.done) known.delete(oldest.value)
  }

  const isFresh = ({ address, since, deniedSince }: Known): boolean => {
    const age = clock.now() - since
    return age >= 0 && age < (address === undefined || deniedSince !== undefined ? negativeMs : cacheMs)
  }

  const denied = (atSign: AtSign, before: Known | undefined): Address => {
    const now = clock.now()
    const deniedSince = before?.deniedSince ?? now
    if (before?.address !== undefined && now - deniedSince < graceMs) {
      remember(atSign, { address: before.address, since: now, deniedSince })
      return before.address
    }
    remember(atSign, { address: undefined, since: now })
    throw notFound(atSign)
  }

  const query = async (atSign: AtSign): Promise<Address> => {
    const before = known.get(atSign)
    let answer: string
    try {
      answer = await ask(bareName(atSign))
    } catch (error) {
      // A directory that is away must not cut off peers whose address is known.
      if (before?.address !== undefined) return before.address
      throw error
    }
    const address = answer === 'null' ? undefined : parseAnswer(answer)
    if (answer !== 'null' && address === undefined) {
      const who = servers.map((server) => server.name).join(', ')
      const error = new AtError('AT0021', `${who} gave no address for ${atSign} but "${answer.slice(0, 64)}"`)
      tell(error)
      throw error
    }
    tell()
    if (address === undefined) return denied(atSign, before)
    remember(atSign, { address, since: clock.now() })
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
    close() {
      closed = true
      round.close()
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
    close() {},
  }
}
