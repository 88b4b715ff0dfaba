import type { Readable, Writable } from 'node:stream'

/** Bytes in and out of a command, and secrets typed by hand. */
export interface Streams {
  /** Standard input. */
  readonly input: AsyncIterable<Uint8Array>
  /** Standard input is a terminal: somebody can be asked. */
  readonly inputIsTerminal: boolean
  /** Standard error is a terminal: a progress bar can be painted. */
  readonly errIsTerminal: boolean
  /** Writes to standard output. @returns resolves when that has taken them @throws Error when it does not */
  write(bytes: Uint8Array): Promise<void>
  /** Asks at the terminal, without showing what is typed. @throws Error when it is cancelled */
  ask(question: string): Promise<string>
}

/** A terminal's input: what is typed can be had key by key. */
export type Keyboard = Readable & { setRawMode?(mode: boolean): unknown; readonly isTTY?: boolean }

const ends = new Set(['\r', '\n', '\u0004'])
const erases = new Set(['\u007f', '\b'])

/** Takes keys until the end of a line. */
function readLine(keyboard: Keyboard): Promise<string> {
  return new Promise((resolve, reject) => {
    let typed: string[] = []
    const finish = (settle: () => void): void => {
      keyboard.off('data', take)
      keyboard.off('end', close)
      keyboard.pause()
      settle()
    }
    const take = (chunk: Buffer | string): void => {
      for (const key of chunk.toString()) {
        if (ends.has(key) || key === '\u0003') {
          finish(() => (key === '\u0003' ? reject(new Error('cancelled')) : resolve(typed.join(''))))
          return
        }
        if (key === '\u0015') typed = []
        else if (erases.has(key)) typed.pop()
        else typed.push(key)
      }
    }
    const close = (): void => finish(() => resolve(typed.join('')))
    keyboard.on('data', take)
    keyboard.on('end', close)
    keyboard.resume()
  })
}

async function askHidden(keyboard: Keyboard, screen: Writable, question: string): Promise<string> {
  screen.write(question)
  keyboard.setRawMode?.(true)
  try {
    return await readLine(keyboard)
  } finally {
    keyboard.setRawMode?.(false)
    screen.write('\n')
  }
}

const writeTo = (output: Writable, bytes: Uint8Array): Promise<void> =>
  new Promise((resolve, reject) => {
    output.write(bytes, (cause) => {
      if (cause == null) resolve()
      else reject(new Error(`the output was not taken whole: ${cause.message}`, { cause }))
    })
  })

/** The streams of a process. */
export const createStreams = (process: {
  readonly stdin: Keyboard
  readonly stdout: Writable
  readonly stderr: Writable & { readonly isTTY?: boolean }
  exitCode?: number | string | null | undefined
}): Streams => ({
  input: process.stdin,
  inputIsTerminal: process.stdin.isTTY === true,
  errIsTerminal: process.stderr.isTTY === true,
  write(bytes) {
    // Bytes that are not taken whole are no success, unlike lines of which somebody has read enough.
    process.exitCode = 1
    return writeTo(process.stdout, bytes)
  },
  ask: (question) => askHidden(process.stdin, process.stderr, question),
})
