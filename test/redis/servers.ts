import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach } from 'vitest'

// Real Redis servers of the machine, each on a free port of 127.0.0.1, without any file that outlives the test.

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** Has something closed when the test is over. */
export const closeLater = (close: () => Promise<unknown>): void => void closers.push(close)

/** Waits for a condition; the test's own limit bounds it. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await pause(5)
}

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  await new Promise((resolve) => server.close(resolve))
  return typeof address === 'object' && address !== null ? address.port : 0
}

const execute = promisify(execFile)

/** @returns what it prints. @throws Error for an answer that is an error */
export async function redisCli(port: number, words: readonly (string | number)[]): Promise<string> {
  const { stdout } = await execute('redis-cli', ['-e', '-p', String(port), ...words.map(String)])
  return stdout.trim()
}

/** One Redis server, which a test stops and starts as it likes. */
export interface RedisServer {
  readonly host: '127.0.0.1'
  readonly port: number
  /** Runs a command as somebody else would, with Redis's own client. */
  run(...words: readonly (string | number)[]): Promise<string>
  start(): Promise<void>
  /** As a power failure would. */
  kill(): Promise<void>
}

async function run(args: readonly string[]): Promise<ChildProcess> {
  const child = spawn('redis-server', [...args], { stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  await new Promise<void>((resolve, reject) => {
    child.once('error', reject)
    child.once('exit', (code) => reject(new Error(`redis-server ended with ${code}: ${said.slice(-2_000)}`)))
    child.stdout.on('data', (chunk: Buffer) => {
      said += chunk
      if (/Ready to accept connections|Sentinel ID is/.test(said)) resolve()
    })
  })
  child.removeAllListeners('exit')
  return child
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) => {
    if (child.exitCode !== null || child.signalCode !== null) resolve()
    else child.once('exit', () => resolve())
  })

/** A place for a server, which is started unless told otherwise. `args` are settings of redis-server. */
export async function redisServer(
  args: readonly string[] = [],
  options: { starts?: boolean; tls?: readonly string[] } = {},
): Promise<RedisServer> {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-redis-'))
  closeLater(() => rm(folder, { recursive: true, force: true }))
  const port = await freePort()
  let child: ChildProcess | undefined
  const kill = async (): Promise<void> => {
    child?.kill('SIGKILL')
    if (child !== undefined) await ended(child)
    child = undefined
  }
  const start = async (): Promise<void> => {
    const where = options.tls === undefined ? ['--port'] : ['--port', '0', ...options.tls, '--tls-port']
    const own = [...where, String(port), '--bind', '127.0.0.1', '--save', '', '--appendonly', 'yes', '--dir', folder]
    child = await run([...own, '--repl-diskless-sync-delay', '0', ...args])
  }
  closeLater(kill)
  if (options.starts !== false) await start()
  return {
    host: '127.0.0.1',
    port,
    start,
    kill,
    run: (...words) => redisCli(port, words),
  }
}

/** A Sentinel that alone decides that a primary is down. `settings` are further lines of its configuration. */
export async function sentinel(
  primary: RedisServer,
  settings: readonly string[] = [],
): Promise<{ readonly host: string; readonly port: number }> {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-sentinel-'))
  closeLater(() => rm(folder, { recursive: true, force: true }))
  const port = await freePort()
  const file = join(folder, 'sentinel.conf')
  await writeFile(
    file,
    [
      `port ${port}`,
      'bind 127.0.0.1',
      `dir ${folder}`,
      `sentinel monitor edge 127.0.0.1 ${primary.port} 1`,
      'sentinel down-after-milliseconds edge 300',
      'sentinel failover-timeout edge 2000',
      ...settings,
      '',
    ].join('\n'),
  )
  const child = await run([file, '--sentinel'])
  closeLater(async () => {
    child.kill('SIGKILL')
    await ended(child)
  })
  return { host: '127.0.0.1', port }
}
