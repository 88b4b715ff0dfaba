import type { Duplex } from 'node:stream'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import type { Log } from '../core/log.ts'
import type { PeerCertificate } from '../core/session.ts'
import { type Frame, lineSplitter } from '../wire/framing.ts'
import type { ClientShare } from './clients.ts'
import { isRegistration, parseRegistration, type RegistrationLine, registrationBytes } from './registration.ts'

/** Bounds of an atDirectory. Bytes, milliseconds and counts. */
export interface DirectoryLimits {
  /** Longest name with its line end (page 05, 3.2: 255 characters). */
  readonly lineBytes: number
  readonly idleMs: number
  readonly connections: number
  /** Connections of one client: an IPv4 address, or a network of 2^64 IPv6 addresses. */
  readonly connectionsPerClient: number
  /** Lookups of one client in a second; more are answered later. */
  readonly lookupsPerSecond: number
  /** Lines waiting on one connection; reading stops there. */
  readonly pipelinedLines: number
}

export const directoryLimits: DirectoryLimits = {
  lineBytes: 256,
  idleMs: 600_000,
  connections: 1_000,
  connectionsPerClient: 200,
  lookupsPerSecond: 1_000,
  pipelinedLines: 100,
}

/** Address of an atSign that the table does not hold, from another atDirectory (split horizon). */
export type Forward = (atSign: AtSign) => Promise<string | undefined>

export interface ConversationOptions {
  /** What this directory holds. One that cannot say now throws: the client is then asked to come again. */
  readonly table: { get(atSign: AtSign): string | undefined | Promise<string | undefined> }
  /** Asked for what the table does not hold. */
  readonly forward?: Forward | undefined
  /** Judges and takes registrations of devices, and says whether anything changed; none are taken without it. */
  readonly register?:
    | ((line: RegistrationLine, certificate: PeerCertificate | undefined) => Promise<boolean>)
    | undefined
  readonly limits?: DirectoryLimits
  readonly clock: Clock
  readonly log: Log
}

/** The client of one conversation. */
export interface Caller {
  readonly certificate?: PeerCertificate | undefined
  readonly share?: ClientShare | undefined
}

/** A registration costs a write to flash. */
const registrationCost = 50
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

/** Looks an atSign up: what the directory holds, else what the other directory says. */
export function findAddress(
  { table, forward }: Pick<ConversationOptions, 'table' | 'forward'>,
  name: string,
): string | undefined | Promise<string | undefined> {
  const atSign = atSignOf(name)
  if (atSign === undefined) return undefined
  const held = table.get(atSign)
  if (held instanceof Promise) return held.then((address) => address ?? forward?.(atSign))
  return held ?? forward?.(atSign)
}

const refusal = (error: unknown): string => {
  const { code, message } = error instanceof AtError ? error : new AtError('AT0010', 'the registration failed')
  return `error:${code}-${message.replaceAll(/\s+/g, ' ')}`
}

/**
 * Answers one client of the atDirectory on any duplex stream (page 05, section 3; registrations: `registration.ts`). Each
 * answer is one write, because released clients do not join chunks. Misses are not punished: base C always causes one.
 */
export function serveDirectory(stream: Duplex, options: ConversationOptions, caller: Caller = {}): void {
  const { register, clock, log, limits: bounds = directoryLimits } = options
  const lines = lineSplitter(Math.max(bounds.lineBytes, register === undefined ? 0 : registrationBytes))
  let queue: Frame[] = []
  let tail = ''
  let running = false
  let closing = false
  /** The client has said all it will say; what it asked is still answered. */
  let finished = false
  let activeAt = clock.now()
  let stopIdle = (): void => {}

  const end = (): void => {
    closing = true
    queue = []
    stopIdle()
    stream.end(() => stream.destroy())
  }

  /** One timer for many lines: it looks whether it came too early. */
  const watchIdle = (ms: number): void => {
    stopIdle = clock.after(ms, () => {
      const left = activeAt + bounds.idleMs - clock.now()
      if (left <= 0) stream.destroy()
      else watchIdle(left)
    })
  }

  /** @returns a promise only for a client that does not read */
  const reply = (text: string): Promise<void> | undefined => {
    if (stream.destroyed || stream.write(`${text}\r\n@`)) return undefined
    return new Promise((resolve) => {
      const settle = (): void => {
        stream.off('drain', settle)
        stream.off('close', settle)
        resolve()
      }
      stream.on('drain', settle)
      stream.on('close', settle)
    })
  }

  /** @returns a promise only for a client that asks faster than it may */
  const slowDown = (cost: number): Promise<void> | undefined => {
    const ms = caller.share?.take(cost) ?? 0
    if (ms === 0) return undefined
    return new Promise((resolve) => {
      const settle = (): void => {
        cancel()
        stream.off('close', settle)
        resolve()
      }
      const cancel = clock.after(ms, settle)
      stream.on('close', settle)
    })
  }

  const takeRegistration = async (line: string): Promise<string> => {
    if (register === undefined) return 'null'
    try {
      const registration = parseRegistration(line)
      // Devices say what is known again and again.
      const changed = await register(registration, caller.certificate)
      if (changed) log('info', 'a device changed its entry', { ...registration })
      return `data:${registration.address ?? 'null'}`
    } catch (error) {
      log('info', 'a registration was refused', { reason: error instanceof Error ? error.message : String(error) })
      return refusal(error)
    }
  }

  const isTooLong = (text: string): boolean =>
    text.length > bounds.lineBytes / 4 && !isRegistration(text) && Buffer.byteLength(text) >= bounds.lineBytes

  const lookUp = (name: string): Promise<void> | undefined => {
    const found = findAddress(options, name)
    if (found instanceof Promise) return found.then((address) => reply(address ?? 'null'))
    return reply(found ?? 'null')
  }

  const answer = (text: string): Promise<void> | undefined =>
    isRegistration(text) ? takeRegistration(text).then(reply) : lookUp(text)

  /** @returns a promise only for a line that has to wait: most are answered in the turn in which they came */
  const take = (frame: Frame): Promise<void> | undefined => {
    if (frame.kind !== 'line' || isTooLong(frame.text)) {
      void reply('null')
      end()
      return undefined
    }
    const { text } = frame
    if (exit.test(text)) {
      end()
      return undefined
    }
    const pause = slowDown(isRegistration(text) ? registrationCost : 1)
    return pause === undefined ? answer(text) : pause.then(() => (closing ? undefined : answer(text)))
  }

  const drain = async (): Promise<void> => {
    if (running) return
    running = true
    try {
      for (let frame = queue.shift(); frame !== undefined && !closing; frame = queue.shift()) {
        const waiting = take(frame)
        if (waiting !== undefined) await waiting
      }
      if (!closing && (finished || exit.test(tail))) end()
    } catch (error) {
      // `null` would say that the atSign does not exist; a closed connection makes clients ask again.
      log('debug', 'a lookup cannot be answered now', {
        reason: error instanceof Error ? error.message : String(error),
      })
      end()
    }
    running = false
    if (!closing && stream.isPaused()) stream.resume()
  }

  stream.on('data', (chunk: Buffer) => {
    if (closing) return
    activeAt = clock.now()
    queue.push(...lines.push(chunk))
    const from = chunk.lastIndexOf(lf) + 1
    const rest = chunk.toString('latin1', from, from + 6)
    tail = from > 0 ? rest : (tail + rest).slice(0, 6)
    if (queue.length >= bounds.pipelinedLines) stream.pause()
    void drain()
  })
  stream.on('end', () => {
    finished = true
    if (!closing && !running) end()
  })
  stream.on('error', (error) => log('debug', 'connection lost', { reason: error.message }))
  stream.on('close', () => {
    closing = true
    stopIdle()
    caller.share?.leave()
  })
  watchIdle(bounds.idleMs)
  stream.write('@')
}
