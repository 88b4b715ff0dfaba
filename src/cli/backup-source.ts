import { access } from 'node:fs/promises'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { snapshotFolder } from '../app-device.ts'
import type { Config } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import { flawOfStore } from '../store/preflight.ts'
import { StoreRefusal } from '../store/refusal.ts'
import { openStore } from '../store/store.ts'
import { ControlError, callControl, type Progress } from './control.ts'
import { ExitError, type Io } from './io.ts'

type OnProgress = (progress: Progress) => void

async function isRunning(path: string): Promise<boolean> {
  try {
    await callControl(path, 'status')
    return true
  } catch (error) {
    if (error instanceof ControlError && error.code === 'unreachable') return false
    throw error
  }
}

/** Resolves when the pipe takes more, or is gone. */
const drained = (pipe: PassThrough): Promise<void> =>
  new Promise((resolve) => {
    const settle = (): void => {
      pipe.off('drain', settle)
      pipe.off('close', settle)
      resolve()
    }
    pipe.on('drain', settle)
    pipe.on('close', settle)
  })

/** The store of a running device, which pushes; a reader that stops hangs up. */
async function* fromRunning(path: string, onProgress: OnProgress): AsyncGenerator<Uint8Array> {
  const pipe = new PassThrough()
  const left = new AbortController()
  const onData = (bytes: Uint8Array): Promise<void> | undefined => (pipe.write(bytes) ? undefined : drained(pipe))
  const pushed = callControl(path, 'backup', {}, { onProgress, onData, signal: left.signal }).then(
    () => void pipe.end(),
    (error: Error) => void pipe.destroy(error),
  )
  try {
    yield* pipe
  } finally {
    left.abort(new Error('nobody reads the backup any more'))
    pipe.destroy()
    await pushed
  }
}

/** The store of a device that does not run; it is locked as long as it is read. */
async function* fromStopped(config: Config, io: Io, onProgress: OnProgress): AsyncGenerator<Uint8Array> {
  const directory = join(config.dataDir, 'store')
  const log: Log = (level, message) => {
    if (level === 'warn' || level === 'error') io.err(`atedge: ${message}\n`)
  }
  const options = { directory, atSign: config.atSign, snapshots: snapshotFolder(config), clock: systemClock, log }
  const store = await openStore(options).catch((error: unknown) => {
    if (!(error instanceof StoreRefusal) || error.reason !== 'locked') throw error
    throw new ExitError(1, `a device runs on ${config.dataDir}, but does not answer on ${config.control.path}`)
  })
  try {
    const total = await store.size()
    let done = 0
    for await (const chunk of store.snapshot()) {
      yield chunk
      done += chunk.byteLength
      onProgress({ done: Math.min(done, total), total, step: 'reading the store' })
    }
  } finally {
    await store.close()
  }
}

/** A backup changes nothing: opening a damaged store would put it right as well as it can, or begin anew. */
async function assertSound(directory: string): Promise<void> {
  const flaw = await flawOfStore(directory)
  if (flaw === undefined) return
  const advice = 'start the device, which puts it right or restores its latest snapshot, then back it up'
  throw new ExitError(1, `the store in ${directory} is not whole (${flaw}), so no backup was made: ${advice}`)
}

/**
 * A snapshot of the device on this machine: through its control socket when it runs, else from its files.
 * @throws ExitError when there is no store, or a damaged one; ControlError when this user may not use the socket
 */
export async function readStore(config: Config, io: Io, onProgress: OnProgress): Promise<AsyncIterable<Uint8Array>> {
  if (await isRunning(config.control.path)) return fromRunning(config.control.path, onProgress)
  // Opening would make one.
  const directory = join(config.dataDir, 'store')
  await access(join(directory, 'store.json')).catch((cause: NodeJS.ErrnoException) => {
    const reason =
      cause.code === 'ENOENT' ? 'is -c the right configuration?' : 'run it as root (sudo), or as the device does'
    throw new ExitError(1, `there is no store in ${config.dataDir} that can be read (${cause.code}): ${reason}`)
  })
  await assertSound(directory)
  return fromStopped(config, io, onProgress)
}
