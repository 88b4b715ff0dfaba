import { type LoggerOptions, pino } from 'pino'
import type { Log, LogLevel } from '../core/log.ts'

/** journald priorities of pino's levels: what `SyslogLevelPrefix=yes` reads in front of a line. */
const priorities: Record<number, string> = { 20: '<7>', 30: '<6>', 40: '<4>', 50: '<3>', 60: '<2>' }

/** A stream that puts the journald priority of each line in front of it. */
const journal = {
  lastLevel: 30,
  [Symbol.for('pino.metadata')]: true,
  write(line: string): void {
    process.stderr.write(`${priorities[this.lastLevel] ?? ''}${line}`)
  },
}

/**
 * The process log: one JSON line an event on standard error.
 * @param level lowest level that is written; `silent` writes nothing
 * @param underSystemd lines carry a journald priority instead of a time of their own
 */
export function createLog(level: LogLevel | 'silent' | 'trace' | 'fatal', underSystemd: boolean): Log {
  const options: LoggerOptions = {
    level,
    base: null,
    serializers: { error: (error: unknown) => (error instanceof Error ? pino.stdSerializers.err(error) : error) },
    ...(underSystemd ? { timestamp: false } : {}),
  }
  const logger = pino(options, underSystemd ? { ...journal } : pino.destination({ dest: 2, sync: true }))
  const enabled = (at: LogLevel): boolean => logger.isLevelEnabled(at)
  const write: Log = (at, message, members = {}) => {
    if (enabled(at)) logger[at](members, message)
  }
  return Object.assign(write, { enabled })
}
