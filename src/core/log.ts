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
