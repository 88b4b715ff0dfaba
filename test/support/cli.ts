import { type ChildProcess, spawn } from 'node:child_process'
import { tmpdir } from 'node:os'
import { runCli } from '../../src/cli/main.ts'
import type { Streams } from '../../src/cli/streams.ts'

/** What a command line gave. */
export interface CliResult {
  readonly status: number
  readonly out: string
  readonly err: string
}

/** Streams of a command without a terminal. */
export const streamsOf = (input: string | Uint8Array, write: (bytes: Uint8Array) => void = () => {}): Streams => ({
  input: (async function* () {
    yield Buffer.from(input)
  })(),
  inputIsTerminal: false,
  errIsTerminal: false,
  write: async (bytes) => write(bytes),
  ask: () => Promise.reject(new Error('there is no terminal')),
})

/** Runs a command line inside the test, as `src/main.ts` would. */
export async function cli(
  args: readonly string[],
  options: {
    input?: string
    stopped?: Promise<void>
    onOut?: (text: string) => void
    onHangup?: (task: () => void) => void
    streams?: Partial<Streams>
    isTerminal?: boolean
  } = {},
): Promise<CliResult> {
  const out: string[] = []
  const err: string[] = []
  const status = await runCli(args, {
    out(text) {
      out.push(text)
      options.onOut?.(text)
    },
    err: (text) => void err.push(text),
    isTerminal: options.isTerminal ?? false,
    columns: () => 80,
    stopped: options.stopped ?? new Promise(() => {}),
    onHangup: options.onHangup ?? (() => {}),
    readInput: async () => options.input ?? '',
    streams: { ...streamsOf(options.input ?? ''), ...options.streams },
    home: tmpdir(),
    program: 'atedge',
  })
  return { status, out: out.join(''), err: err.join('') }
}

/** A port with free ones behind it, as far as one can know: below those that the system takes for outgoing connections. */
export const somePort = (): number => 10_000 + Math.floor(Math.random() * 20_000)

/** A command that runs until it is stopped, in a process of its own. */
export interface Running {
  readonly child: ChildProcess
  /** First line of standard output. */
  readonly line: string
  /** Sends a signal and gives the exit status, or the signal that ended it. */
  stop(signal: NodeJS.Signals): Promise<number | NodeJS.Signals | null>
}

/**
 * Starts `atedge` in a process of its own and waits for its first line.
 * @throws Error with what it wrote to standard error when it ends before
 */
export async function spawnCli(args: readonly string[]): Promise<Running> {
  const child = spawn(process.execPath, ['--import', 'tsx', 'src/main.ts', ...args], {
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const ended = new Promise<number | NodeJS.Signals | null>((resolve) =>
    child.once('exit', (status, signal) => resolve(status ?? signal)),
  )
  let err = ''
  child.stderr.on('data', (chunk: Buffer) => {
    err += chunk.toString()
  })
  const line = await new Promise<string>((resolve, reject) => {
    let text = ''
    child.stdout.on('data', (chunk: Buffer) => {
      text += chunk.toString()
      if (text.includes('\n')) resolve(text.slice(0, text.indexOf('\n')))
    })
    void ended.then((status) => reject(new Error(`ended with ${status}: ${err}`)))
  })
  return {
    child,
    line,
    stop(signal) {
      child.kill(signal)
      return ended
    },
  }
}
