import { execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { promisify } from 'node:util'
import { freePorts } from '../../scripts/bench/world.ts'
import { runCli } from '../../src/cli/main.ts'
import { streamsOf } from '../support/cli.ts'

// Programs that a suite runs beside itself. Nothing here waits for a clock: lines and ends of programs are the only events.

/** Lines in the order they came; each is taken once. */
export interface Lines {
  add(line: string): void
  /** From now on nobody gets a line that is not there yet. */
  end(reason: string): void
  /** Takes the first line that fits, waiting for it if need be. @throws Error with the reason when there will be none */
  take<T>(fits: (line: string) => T | undefined): Promise<T>
}

export function lineQueue(): Lines {
  const lines: string[] = []
  const waiting = new Set<() => void>()
  let ended: string | undefined
  const wake = (): void => {
    for (const waiter of waiting) waiter()
  }
  const taken = <T>(fits: (line: string) => T | undefined): T | undefined => {
    for (const [index, line] of lines.entries()) {
      const found = fits(line)
      if (found === undefined) continue
      lines.splice(index, 1)
      return found
    }
    return undefined
  }
  return {
    add(line) {
      lines.push(line)
      wake()
    },
    end(reason) {
      ended ??= reason
      wake()
    },
    take: (fits) =>
      new Promise((resolve, reject) => {
        const look = (): void => {
          const found = taken(fits)
          if (found === undefined && ended === undefined) return
          waiting.delete(look)
          if (found === undefined) reject(new Error(ended))
          else resolve(found)
        }
        waiting.add(look)
        look()
      }),
  }
}

/** A program that runs until it is stopped. */
export interface Program {
  readonly lines: Lines
  write(line: string): void
  /** Ends it and waits until it is gone. */
  stop(): Promise<void>
}

/** Characters of its error output that an error message quotes. */
const quoted = 2_000

export function start(
  command: string,
  args: readonly string[],
  options: { cwd?: string; env?: NodeJS.ProcessEnv } = {},
): Program {
  const child = spawn(command, args, { ...options, stdio: ['pipe', 'pipe', 'pipe'] })
  const lines = lineQueue()
  let said = ''
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    said = (said + text).slice(-quoted)
  })
  child.stdin.on('error', () => {})
  createInterface(child.stdout).on('line', lines.add)
  const gone = new Promise<void>((resolve) => {
    child.once('error', (error) => lines.end(`${command}: ${error.message}`))
    child.once('close', (status, signal) => {
      lines.end(`${command} ${args.join(' ')} ended (${status ?? signal}): ${said}`)
      resolve()
    })
    child.once('error', () => resolve())
  })
  return {
    lines,
    write: (line) => void child.stdin.write(`${line}\n`),
    async stop() {
      child.kill('SIGTERM')
      await gone
    },
  }
}

/** A folder of its own in the system's place for such things. */
export const temporaryFolder = (): Promise<string> => mkdtemp(join(tmpdir(), 'atedge-interop-'))

const repository = join(import.meta.dirname, '..', '..')

/** The Python of a virtual environment that has one release of the official SDK. @throws Error when it cannot be made */
export async function pythonWithSdk(version: string): Promise<string> {
  const { stdout } = await promisify(execFile)(join(repository, 'scripts', 'python-sdk.sh'), [version])
  return stdout.trim()
}

/** `atedge network` as a process, and the commands of `atedge` for it. */
export interface AtedgeNetwork {
  /** Has `keys/`, `ca.pem` and the data. */
  readonly folder: string
  /** Home directory of the apps. */
  readonly home: string
  readonly root: string
  readonly ca: string
  readonly cram: Readonly<Record<string, string>>
  /** Runs `atedge` with `-n` filled in. @returns what it printed @throws Error with what it said, unless it succeeded */
  atedge(...args: string[]): Promise<string>
  /** Starts `atedge monitor --json`; it ends with the network. */
  monitor(atSign: string): Lines
  stop(): Promise<void>
}

interface Ready {
  readonly directory: { readonly host: string; readonly port: number }
  readonly atServers: readonly { readonly atSign: string; readonly cram?: string }[]
}

export async function startNetwork(atSigns: readonly string[], ...flags: string[]): Promise<AtedgeNetwork> {
  const folder = await temporaryFolder()
  const home = join(folder, 'home')
  await mkdir(home)
  const portBase = await freePorts(1 + atSigns.length)
  const where = ['--atsigns', atSigns.join(), '--data', folder, '--port-base', `${portBase}`]
  const main = join(repository, 'src', 'main.ts')
  const args = ['--import', 'tsx', main, 'network', ...where, '--json', ...flags]
  const program = start(process.execPath, args, { cwd: repository })
  const ready = await program.lines.take((line) => JSON.parse(line) as Ready)
  const monitors: (() => Promise<unknown>)[] = []

  const run = async (args: string[], out: (text: string) => void, stopped: Promise<void>): Promise<void> => {
    let said = ''
    const err = (text: string): void => {
      said += text
    }
    const terminal = {
      isTerminal: false,
      columns: () => 80,
      readInput: async () => '',
      streams: streamsOf(''),
      program: 'atedge',
    }
    const status = await runCli([...args, '-n', folder], { ...terminal, out, err, stopped, home })
    if (status !== 0) throw new Error(`atedge ${args.join(' ')} ended (${status}): ${said}`)
  }

  return {
    folder,
    home,
    root: `${ready.directory.host}:${ready.directory.port}`,
    ca: join(folder, 'ca.pem'),
    cram: Object.fromEntries(ready.atServers.map(({ atSign, cram }) => [atSign, cram ?? ''])),
    async atedge(...args) {
      let printed = ''
      const out = (text: string): void => {
        printed += text
      }
      await run(args, out, new Promise(() => {}))
      return printed.trimEnd()
    },
    monitor(atSign) {
      const lines = lineQueue()
      const stop = new AbortController()
      const running = run(
        ['monitor', '--since', '1h', '--json', '-a', atSign],
        (text) => lines.add(text),
        once(stop.signal, 'abort').then(() => {}),
      )
      running.then(
        () => lines.end('the monitor ended'),
        (error: Error) => lines.end(error.message),
      )
      monitors.push(async () => {
        stop.abort()
        await running.catch(() => {})
      })
      return lines
    },
    async stop() {
      for (const stopMonitor of monitors) await stopMonitor()
      await program.stop()
      await rm(folder, { recursive: true, force: true })
    },
  }
}
