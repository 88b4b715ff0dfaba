import { type ChildProcess, spawn } from 'node:child_process'
import { accessSync, constants, mkdtempSync, rmSync } from 'node:fs'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { sleep } from './numbers.ts'

/** A program that runs beside the bench. */
export interface Program {
  readonly pid: number
  /** The line that told that it is ready. */
  readonly line: string
  /** Milliseconds from its start to that line. */
  readonly startMs: number
  /** Asks it to end and waits for it. */
  stop(): Promise<void>
  /** Ends it at once, as a power cut would. */
  kill(): Promise<void>
}

/** A folder and the programs in it; nothing of either is left when this process ends, however it ends. */
export interface World {
  readonly folder: string
  /** Starts a program and waits for a line of its output. @throws Error with what it said when it ends before */
  start(
    command: string,
    args: readonly string[],
    ready: RegExp,
    env?: Readonly<Record<string, string>>,
  ): Promise<Program>
}

const patienceMs = 30_000
const stopMs = 8_000
/** Output that is kept for an error message. */
const keptChars = 4_000

const ended = (child: ChildProcess): boolean => child.exitCode !== null || child.signalCode !== null

async function stop(child: ChildProcess): Promise<void> {
  if (ended(child)) return
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  child.kill('SIGTERM')
  const timer = setTimeout(() => child.kill('SIGKILL'), stopMs)
  await gone
  clearTimeout(timer)
}

async function kill(child: ChildProcess): Promise<void> {
  const gone = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  if (child.kill('SIGKILL')) await gone
}

/** Waits for a line; both outputs are read to the end, so that a talkative program never blocks. */
function awaitLine(child: ChildProcess, name: string, ready: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = ''
    const fail = (why: string): void => reject(new Error(`${name} ${why}\n${said.trim()}`))
    const timer = setTimeout(() => fail('did not become ready'), patienceMs)
    const read = (chunk: Buffer): void => {
      said = (said + chunk.toString()).slice(-keptChars)
      const line = said.split('\n').find((candidate) => ready.test(candidate))
      if (line === undefined) return
      clearTimeout(timer)
      resolve(line)
    }
    child.stdout?.on('data', read)
    child.stderr?.on('data', read)
    child.once('error', (error) => fail(error.message))
    child.once('exit', (code) => fail(`ended with status ${code}`))
  })
}

/** Makes the world. @param parent folder to make it in; the one for temporary files unless told */
export function createWorld(parent = tmpdir()): World {
  const folder = mkdtempSync(join(parent, 'atedge-bench-'))
  const children = new Set<ChildProcess>()
  process.once('exit', () => {
    for (const child of children) if (!ended(child)) child.kill('SIGKILL')
    rmSync(folder, { recursive: true, force: true, maxRetries: 5, retryDelay: 50 })
  })
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(130))
  return {
    folder,
    async start(command, args, ready, env = {}) {
      const began = performance.now()
      const child = spawn(command, args, {
        stdio: ['ignore', 'pipe', 'pipe'],
        cwd: folder,
        env: { ...process.env, ...env },
      })
      children.add(child)
      child.once('exit', () => children.delete(child))
      const line = await awaitLine(child, `${command} ${args[0] ?? ''}`, ready)
      const startMs = performance.now() - began
      return { pid: child.pid ?? 0, line, startMs, stop: () => stop(child), kill: () => kill(child) }
    },
  }
}

/** Where a program lies, undefined when it is not installed. */
export function findProgram(name: string): string | undefined {
  const folders = [...(process.env['PATH'] ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin']
  return folders
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false
      }
    })
}

const isFree = (port: number): Promise<boolean> =>
  new Promise((resolve) => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)))
  })

/** The first of some neighbouring ports of loopback that nobody uses, below those that the kernel hands out. */
export async function freePorts(count: number): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt++) {
    const base = 10_000 + Math.floor(Math.random() * 20_000)
    const free = await Promise.all(Array.from({ length: count }, (_, index) => isFree(base + index)))
    if (free.every(Boolean)) return base
    await sleep(1)
  }
  throw new Error(`no ${count} neighbouring ports are free`)
}
