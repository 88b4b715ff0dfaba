export type LogLevel = 'debug' | 'info' | 'warn' | 'error'

/** One log line: a message and plain members; never a secret, never a value of a record. */
export type Log = (level: LogLevel, message: string, members?: Readonly<Record<string, unknown>>) => void

/** Says nothing. */
export const silent: Log = () => {}
