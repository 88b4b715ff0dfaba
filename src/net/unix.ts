import { chmod, mkdir, stat, unlink } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { dirname } from 'node:path'
import type { Duplex } from 'node:stream'

/** Where to listen and what to do with connections. */
export interface ListenUnix {
  /** Path of the socket; its folder decides who may connect. */
  readonly path: string
  /** Open connections; more are dropped. */
  readonly maxSockets: number
  onConnection(stream: Duplex): void
}

/** A listening Unix socket. */
export interface UnixListener {
  /** Takes no more connections, drops those it has and removes the socket. */
  close(): Promise<void>
}

/** Longest path that every system takes for a Unix socket, in bytes (macOS: 104 with the final zero). */
const longestPath = 103
const folderMode = 0o750
const socketMode = 0o660
const everybody = 0o007

const codeOf = (cause: unknown): string | undefined =>
  cause instanceof Error && 'code' in cause ? String(cause.code) : undefined

/** Makes the folder with mode 0750, or refuses one that everybody may enter. */
async function guardFolder(folder: string): Promise<void> {
  // The umask may have taken bits away from what was asked for.
  if ((await mkdir(folder, { recursive: true, mode: folderMode })) !== undefined) await chmod(folder, folderMode)
  const { mode } = await stat(folder)
  if ((mode & everybody) !== 0) {
    throw new Error(`everybody may enter ${folder}: a control socket needs a folder of mode 0750 of its own`)
  }
}

/**
 * Opens a connection to a Unix socket.
 * @throws Error with the `code` of the system: ENOENT and ECONNREFUSED when nobody listens, EACCES when it is not allowed
 */
export function dialUnix(path: string): Promise<Duplex> {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ path })
    socket.once('error', reject)
    socket.once('connect', () => {
      socket.off('error', reject)
      resolve(socket)
    })
  })
}

/** True when a process answers behind the socket; false for what a dead one left. */
async function isAlive(path: string): Promise<boolean> {
  try {
    const stream = await dialUnix(path)
    stream.destroy()
    return true
  } catch (cause) {
    return codeOf(cause) !== 'ECONNREFUSED' && codeOf(cause) !== 'ENOENT'
  }
}

async function bind(path: string, onSocket: (socket: Socket) => void): Promise<ReturnType<typeof createServer>> {
  const server = createServer(onSocket)
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen({ path }, resolve)
  })
  server.removeAllListeners('error')
  // An accept that fails (no file descriptors left) leaves the others alone.
  server.on('error', () => undefined)
  return server
}

/**
 * Listens on a Unix socket of mode 0660 in a folder of mode 0750, which is made when it is missing. The socket of a dead
 * process is removed.
 * @throws Error that names the path: a live process has it, it is too long, or everybody may enter its folder
 */
export async function listenUnix({ path, maxSockets, onConnection }: ListenUnix): Promise<UnixListener> {
  if (Buffer.byteLength(path) > longestPath) {
    throw new Error(
      `${path} is too long for a socket (${longestPath} bytes at most): set control.path to a shorter one`,
    )
  }
  await guardFolder(dirname(path))
  const open = new Set<Socket>()
  const take = (socket: Socket): void => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
    // Until the new owner listens for errors, a reset must not stop the process.
    socket.on('error', () => undefined)
    onConnection(socket)
  }
  const server = await bind(path, take).catch(async (cause: unknown) => {
    if (codeOf(cause) !== 'EADDRINUSE') throw new Error(`cannot listen on ${path}: ${String(cause)}`, { cause })
    if (await isAlive(path)) throw new Error(`${path} belongs to another process that runs: stop it first`, { cause })
    await unlink(path)
    return bind(path, take)
  })
  server.maxConnections = maxSockets
  await chmod(path, socketMode)
  return {
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        for (const socket of open) socket.destroy()
      }),
  }
}
