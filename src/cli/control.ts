import type { Duplex } from 'node:stream'
import { limits } from '../core/limits.ts'
import { dialUnix } from '../net/unix.ts'
import { type Frame, lineSplitter } from '../wire/framing.ts'

/** How far a command is, as the device tells it. */
export interface Progress {
  readonly done: number
  readonly total?: number
  readonly step: string
}

/** What a caller may listen to while a command runs. */
export interface ControlListeners {
  readonly onProgress?: (progress: Progress) => void
  /** Gets the bytes of a stream in order; the device waits while a returned promise is pending. */
  readonly onData?: (bytes: Uint8Array) => void | Promise<void>
  /** Aborting it hangs up, which cancels the command. */
  readonly signal?: AbortSignal
}

/**
 * A command that failed. `code` is that of the device (`AT0022`, `failed`), or `unreachable` when no device answers on the
 * socket, `forbidden` when this user may not use it, `lost` when the connection ended before the answer.
 */
export class ControlError extends Error {
  readonly code: string

  constructor(code: string, message: string, options?: { cause: unknown }) {
    super(message, options)
    this.name = 'ControlError'
    this.code = code
  }
}

async function connect(path: string): Promise<Duplex> {
  try {
    return await dialUnix(path)
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    if (code === 'EACCES' || code === 'EPERM') {
      const message = `you may not use ${path}: use sudo, or become a member of the group of its folder`
      throw new ControlError('forbidden', message, { cause })
    }
    throw new ControlError('unreachable', `no device answers on ${path} (${code}): does \`atedge serve\` run?`, {
      cause,
    })
  }
}

const lost = (detail: string): ControlError => new ControlError('lost', detail)

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function messageOf(frame: Frame): Readonly<Record<string, unknown>> {
  try {
    const message: unknown = frame.kind === 'line' ? JSON.parse(frame.text) : undefined
    if (isPlain(message)) return message
  } catch {
    // Said below, as for every other line that is no message.
  }
  throw lost('the device sent a line that is no answer')
}

const textOf = (value: unknown): string => (typeof value === 'string' ? value : 'unknown')

/**
 * Runs a command of the device on this machine over its control socket (wire: `src/server/control.ts`).
 * @param path of the socket, as `control.path` of the configuration gives it
 * @returns the command's result
 * @throws ControlError
 */
export async function callControl(
  path: string,
  command: string,
  args: Readonly<Record<string, unknown>> = {},
  { onProgress, onData, signal }: ControlListeners = {},
): Promise<unknown> {
  signal?.throwIfAborted()
  const stream = await connect(path)
  let broken: Error | undefined
  stream.on('error', (error) => {
    broken = error
  })
  const hangUp = (): void => void stream.destroy()
  signal?.addEventListener('abort', hangUp)
  const lines = lineSplitter(limits.controlAnswerBytes)
  try {
    stream.write(`${JSON.stringify({ command, args })}\n`)
    for await (const chunk of stream) {
      for (const frame of lines.push(chunk as Uint8Array)) {
        const message = messageOf(frame)
        if ('result' in message) return message['result']
        const { error, progress, data } = message
        if (isPlain(error)) throw new ControlError(textOf(error['code']), textOf(error['message']))
        if (isPlain(progress)) onProgress?.(progress as unknown as Progress)
        else if (typeof data === 'string') await onData?.(Buffer.from(data, 'base64'))
      }
    }
    throw lost('the device hung up before it answered')
  } catch (error) {
    if (signal?.aborted) throw signal.reason
    // What a listener throws is the caller's own.
    throw error === broken ? lost(`the connection to the device broke: ${broken?.message}`) : error
  } finally {
    signal?.removeEventListener('abort', hangUp)
    stream.destroy()
  }
}
