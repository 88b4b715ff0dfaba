import type { Log } from '../core/log.ts'
import type { Streams } from './streams.ts'

/** What a command may touch of the process it runs in; tests hand in their own. */
export interface Io {
  out(text: string): void
  err(text: string): void
  /** Standard output is a terminal: screens may be repainted. */
  readonly isTerminal: boolean
  /** Columns of the terminal. */
  columns(): number
  /** Resolves at the first SIGTERM or SIGINT. */
  readonly stopped: Promise<void>
  /** Has something done at every SIGHUP. */
  onHangup?(task: () => void): void
  /** All of standard input as text, for secrets that must not stand on a command line. */
  readInput(): Promise<string>
  readonly streams: Streams
  /** Why LevelDB maps its tables into memory, undefined when it reads them (store/level.ts). */
  readonly mapsTables?: string | undefined
  readonly home: string
  /** How this program was called, for commands to copy: `node dist/atedge.mjs`. */
  readonly program: string
}

/** A command that ended without success: its exit status and, when there is more to say, a sentence. */
export class ExitError extends Error {
  readonly status: number

  constructor(status: number, message: string) {
    super(message)
    this.name = 'ExitError'
    this.status = status
  }
}

/** Says so where LevelDB maps its tables. */
export function tellOfMapping({ mapsTables }: Io, log: Log): void {
  if (mapsTables === undefined) return
  const words = 'LevelDB maps its tables into memory: what the card cannot read will end the process'
  log('warn', words, { cause: mapsTables })
}

/** Prints one value: JSON on one line when asked, else as the command words it. */
export const print = (io: Io, json: boolean | undefined, value: unknown, words: () => string): void =>
  io.out(`${json ? JSON.stringify(value) : words()}\n`)
