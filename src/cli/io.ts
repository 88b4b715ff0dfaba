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

/** Prints one value: JSON on one line when asked, else as the command words it. */
export const print = (io: Io, json: boolean | undefined, value: unknown, words: () => string): void =>
  io.out(`${json ? JSON.stringify(value) : words()}\n`)
