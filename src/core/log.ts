import type { Clock } from './clock.ts'

export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** One log line: a message and plain members; never a secret, never a value of a record. */
export interface Log {
  (level: LogLevel, message: string, members?: Readonly<Record<string, unknown>>): void
  /** Whether lines of a level go anywhere; where it is missing, they do. Spares the work for lines on busy paths. */
  enabled?(level: LogLevel): boolean
}

/** Says nothing. */
export const silent: Log = Object.assign(() => {}, { enabled: () => false })

/** The same log with members that every line carries. */
export const withMembers = (log: Log, fixed: Readonly<Record<string, unknown>>): Log =>
  Object.assign<Log, Pick<Log, 'enabled'>>(
    (level, message, members) => log(level, message, { ...fixed, ...members }),
    log.enabled === undefined ? {} : { enabled: (level) => log.enabled?.(level) ?? true },
  )

const minuteMs = 60_000

/** Peers that lines of one kind name in a minute; names are chosen by strangers, so the others share a line. */
const mostNamed = 16

/**
 * Warnings that a stranger can cause as often as it likes: the first of a kind is written at once, the others of the
 * next minute as one line with their `count` and the members of the last. Those that name a `peer` are of a kind for each.
 */
export function oncePerMinute(log: Log, clock: Clock): (message: string, members: Record<string, unknown>) => void {
  interface Held {
    count: number
    members: Record<string, unknown>
  }
  const held = new Map<string, Map<unknown, Held>>()
  const tellLater = (message: string, kinds: Map<unknown, Held>, who: unknown): void => {
    clock.after(minuteMs, () => {
      const last = kinds.get(who)
      kinds.delete(who)
      if (last !== undefined && last.count > 0) {
        log('warn', message, { ...last.members, count: last.count })
        kinds.set(who, { count: 0, members: last.members })
        tellLater(message, kinds, who)
      } else if (kinds.size === 0) held.delete(message)
    })
  }
  return (message, members) => {
    const kinds = held.get(message) ?? new Map<unknown, Held>()
    held.set(message, kinds)
    const { peer } = members
    const who = kinds.has(peer) || kinds.size < mostNamed ? peer : undefined
    const last = kinds.get(who)
    kinds.set(who, { count: last === undefined ? 0 : last.count + 1, members })
    if (last !== undefined) return
    log('warn', message, members)
    tellLater(message, kinds, who)
  }
}
