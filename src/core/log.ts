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

/**
 * Warnings that a stranger can cause as often as it likes: the first of a kind is written at once, the others of the
 * next minute as one line with their `count` and the members of the last.
 */
export function oncePerMinute(log: Log, clock: Clock): (message: string, members: Record<string, unknown>) => void {
  const held = new Map<string, { count: number; members: Record<string, unknown> }>()
  const tellLater = (message: string): void => {
    clock.after(minuteMs, () => {
      const last = held.get(message)
      held.delete(message)
      if (last === undefined || last.count === 0) return
      log('warn', message, { ...last.members, count: last.count })
      held.set(message, { count: 0, members: last.members })
      tellLater(message)
    })
  }
  return (message, members) => {
    const last = held.get(message)
    held.set(message, { count: last === undefined ? 0 : last.count + 1, members })
    if (last !== undefined) return
    log('warn', message, members)
    tellLater(message)
  }
}
