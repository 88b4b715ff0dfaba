import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import { endpointText } from './endpoint.ts'
import { type Dial, resolverFor } from './locate.ts'

/** Answers for atSigns that this directory does not hold, from another one (split horizon; page 05, 3.7). */
export interface Forward {
  /** @returns the address, or undefined when the other directory does not know the atSign or does not answer */
  find(atSign: AtSign): Promise<string | undefined>
  /** As `find`. @throws AtError AT0021 or AT0023 when the other directory does not answer and the address is not known */
  ask(atSign: AtSign): Promise<string | undefined>
  /** A plain value for `atedge status`. */
  status(): Readonly<Record<string, unknown>>
  close(): void
}

/** All attempts together: a client of base C waits 3 seconds for its answer (page 05, 0.6). */
const deadlineMs = 2_500
const cacheMs = 300_000
const negativeMs = 30_000
/** While the other directory is away, it is asked this often and no more. */
const restMs = 5_000

/**
 * Forwards questions to another atDirectory. What it said is remembered: an address for 5 minutes, and for as long as it
 * is away; that it does not know an atSign for 30 seconds.
 * @param options `addresses` of that directory, tried in turn
 * @throws AtError AT0022 for a bad address
 */
export function createForward(options: { addresses: readonly string[]; dial: Dial; clock: Clock; log: Log }): Forward {
  const { addresses, dial, clock, log } = options
  let awaySince: number | undefined

  const back = (): void => {
    if (awaySince !== undefined) log('info', 'the other atDirectory answers again', { addresses })
    awaySince = undefined
  }

  const away = (error: unknown): void => {
    const reason = error instanceof Error ? error.message : String(error)
    if (awaySince === undefined) log('warn', 'the other atDirectory does not answer', { addresses, reason })
    awaySince ??= clock.now()
  }

  const onOutcome = (failure: unknown): void => (failure === undefined ? back() : away(failure))
  const times = { cacheMs, negativeMs, deadlineMs, restMs, pauses: [] }
  const resolver = resolverFor(addresses, { clock, dial, ...times, onOutcome })

  const ask = async (atSign: AtSign): Promise<string | undefined> => {
    try {
      return endpointText(await resolver.resolve(atSign))
    } catch (error) {
      if (error instanceof AtError && error.code === 'AT0007') return undefined
      throw error
    }
  }

  return {
    ask,
    find: (atSign) => ask(atSign).catch(() => undefined),
    status: () => ({
      to: addresses,
      ...(awaySince === undefined ? {} : { awaySince: new Date(awaySince).toISOString() }),
    }),
    close: () => resolver.close(),
  }
}
