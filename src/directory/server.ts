import type { Duplex } from 'node:stream'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { type Listener, listenTls } from '../net/listen.ts'
import type { ServerContext } from '../net/tls-context.ts'
import { type Frame, lineSplitter } from '../wire/framing.ts'
import type { DirectoryTable } from './table.ts'

/** Bounds of an atDirectory. Bytes, milliseconds and counts. */
export interface DirectoryLimits {
  /** Longest name with its line end (page 05, 3.2: 255 characters). */
  readonly lineBytes: number
  readonly idleMs: number
  readonly connections: number
  /** Lines waiting on one connection; reading stops there. */
  readonly pipelinedLines: number
}

export const directoryLimits: DirectoryLimits = {
  lineBytes: 256,
  idleMs: 600_000,
  connections: 1_000,
  pipelinedLines: 100,
}

/** Address of an atSign that the table does not hold, from another atDirectory (split horizon). */
export type Forward = (atSign: AtSign) => Promise<string | undefined>

export interface ConversationOptions {
  readonly table: Pick<DirectoryTable, 'get'>
  readonly forward?: Forward | undefined
  readonly limits?: DirectoryLimits
  readonly clock: Clock
  readonly log: Log
}

const exit = /^@exit$/i
const lf = 10

/** The atSign of a line, or undefined when the line is none: it is then unknown like any other. */
function atSignOf(line: string): AtSign | undefined {
  try {
    return parseAtSign(line)
  } catch {
    return undefined
  }
}

/**
 * Answers one client of the atDirectory on any duplex stream (page 05, section 3). Each answer is one write, because
 * released clients do not join chunks. Misses are not punished: base C always causes one.
 */
export function serveDirectory(stream: Duplex, options: ConversationOptions): void {
  const { table, forward, clock, log, limits: bounds = directoryLimits } = options
  const lines = lineSplitter(bounds.lineBytes)
  let queue: Frame[] = []
  let tail = ''
  let running = false
  let closing = false
  let stopIdle = (): void => {}

  const end = (): void => {
    closing = true
    queue = []
    stopIdle()
    stream.end(() => stream.destroy())
  }

  const stayAwake = (): void => {
    stopIdle()
    stopIdle = clock.after(bounds.idleMs, () => stream.destroy())
  }

  const find = (line: string): string | undefined | Promise<string | undefined> => {
    const atSign = atSignOf(line)
    return atSign === undefined ? undefined : (table.get(atSign) ?? forward?.(atSign))
  }

  const reply = async (address: string | undefined): Promise<void> => {
    if (stream.destroyed || stream.write(`${address ?? 'null'}\r\n@`)) return
    await new Promise<void>((resolve) => {
      stream.once('drain', resolve)
      stream.once('close', resolve)
    })
  }

  const take = async (frame: Frame): Promise<void> => {
    if (frame.kind !== 'line') {
      await reply(undefined)
      end()
    } else if (exit.test(frame.text)) end()
    else {
      const found = find(frame.text)
      await reply(found instanceof Promise ? await found : found)
    }
  }

  const drain = async (): Promise<void> => {
    if (running) return
    running = true
    try {
      for (let frame = queue.shift(); frame !== undefined && !closing; frame = queue.shift()) await take(frame)
      if (!closing && exit.test(tail)) end()
    } catch (error) {
      // `null` would say that the atSign does not exist; a closed connection makes clients ask again.
      log('warn', 'the other atDirectory does not answer', { reason: String(error) })
      end()
    }
    running = false
    if (!closing) stream.resume()
  }

  stream.on('data', (chunk: Buffer) => {
    if (closing) return
    stayAwake()
    queue.push(...lines.push(chunk))
    const from = chunk.lastIndexOf(lf) + 1
    const rest = chunk.toString('latin1', from, from + 6)
    tail = from > 0 ? rest : (tail + rest).slice(0, 6)
    if (queue.length >= bounds.pipelinedLines) stream.pause()
    void drain()
  })
  stream.on('end', () => {
    if (!closing) end()
  })
  stream.on('error', (error) => log('debug', 'connection lost', { reason: error.message }))
  stream.on('close', () => {
    closing = true
    stopIdle()
  })
  stayAwake()
  stream.write('@')
}

/** A running atDirectory. */
export type Directory = Pick<Listener, 'port' | 'setContext' | 'connections' | 'close'>

/**
 * Listens as an atDirectory on TLS.
 * @param options `listen.port` 0 takes a free port
 * @throws Error that names the port when it cannot be used
 */
export function startDirectory(
  options: ConversationOptions & { listen: ServerContext & { host?: string | undefined; port: number } },
): Promise<Directory> {
  const { listen, log, limits: bounds = directoryLimits } = options
  return listenTls({
    ...listen,
    handshakeMs: limits.handshakeMs,
    maxSockets: bounds.connections,
    log,
    onConnection: (socket) => serveDirectory(socket, options),
  })
}
