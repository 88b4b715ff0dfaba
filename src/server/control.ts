import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { isDeepJson } from '../core/json.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { type Frame, lineSplitter } from '../wire/framing.ts'

// Wire of the control socket. The client sends one JSON line, {"command":"status","args":{…}}, and keeps its side open. The
// answer is JSON lines: any number of {"progress":{done,total,step}} and {"data":"<base64>"}, then exactly one of
// {"result":…} and {"error":{code,message}}, then the end of the connection.

/** How far a command is. `done` and `total` in the same unit, whichever fits; `total` is missing while it is not known. */
export interface ControlProgress {
  readonly done: number
  readonly total?: number
  readonly step: string
}

/** What a command may use while it runs. */
export interface ControlContext {
  /** Aborted when the client goes away or the device stops. */
  readonly signal: AbortSignal
  /** Tells how far the command is; left out for a client that does not read. */
  progress(progress: ControlProgress): void
  /**
   * Sends bytes of a stream.
   * @returns resolves when the client may be sent more
   * @throws Error of `signal` once the client has gone away
   */
  data(bytes: Uint8Array): Promise<void>
}

/**
 * One command. What it resolves with is the result and has to fit into JSON; what it throws is told to the client: the
 * code of an AtError, else `failed`, and the message.
 */
export type ControlCommand = (args: Readonly<Record<string, unknown>>, context: ControlContext) => Promise<unknown>

/** Commands by name. */
export type ControlCommands = Readonly<Record<string, ControlCommand>>

/** Answers on control connections that somebody else accepted. */
export interface Control {
  handle(stream: Duplex): void
  /** Ends every connection; commands under way see their signal aborted and have 3 seconds to end. */
  close(): Promise<void>
}

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const argumentDepth = 8
const graceMs = 3_000
const badRequest = (detail: string): AtError => new AtError('AT0003', detail)

interface Request {
  readonly command: string
  readonly args: Readonly<Record<string, unknown>>
}

/** @throws AtError AT0003 that says what is wrong with the line */
function parseRequest(frame: Frame): Request {
  if (frame.kind === 'tooLong') throw badRequest(`a request has at most ${limits.controlLineBytes} bytes`)
  if (frame.kind === 'notUtf8') throw badRequest('a request is UTF-8')
  if (isDeepJson(frame.text, argumentDepth)) throw badRequest(`a request is at most ${argumentDepth} levels deep`)
  let value: unknown
  try {
    value = JSON.parse(frame.text)
  } catch (cause) {
    throw new AtError('AT0003', 'a request is one line of JSON such as {"command":"status"}', { cause })
  }
  if (!isPlain(value) || typeof value['command'] !== 'string') throw badRequest('"command" has to be a text')
  const args = value['args'] ?? {}
  if (!isPlain(args)) throw badRequest('"args" has to be an object')
  return { command: value['command'], args }
}

const isOwn = (commands: ControlCommands, name: string): boolean => Object.hasOwn(commands, name)

function commandOf(commands: ControlCommands, name: string): ControlCommand {
  const command = isOwn(commands, name) ? commands[name] : undefined
  if (command !== undefined) return command
  const known = Object.keys(commands).join(', ')
  throw new AtError('AT0022', `"${name.slice(0, 64)}" is no command of this device; it knows ${known}`)
}

const errorMember = (error: unknown): { code: string; message: string } => ({
  code: error instanceof AtError ? error.code : 'failed',
  message: error instanceof Error ? error.message : String(error),
})

/** Resolves when the stream takes more, or is gone. */
const drained = (stream: Duplex): Promise<void> =>
  new Promise((resolve) => {
    if (stream.destroyed || !stream.writableNeedDrain) {
      resolve()
      return
    }
    const settle = (): void => {
      stream.off('drain', settle)
      stream.off('close', settle)
      resolve()
    }
    stream.on('drain', settle)
    stream.on('close', settle)
  })

/**
 * The server side of the control socket. Who may connect is decided by the permissions of its folder alone, so nothing
 * here asks who is calling.
 */
export function createControl(options: { commands: ControlCommands; clock: Clock; log: Log }): Control {
  const { commands, clock, log } = options
  const open = new Map<Duplex, Promise<void>>()

  const converse = async (stream: Duplex, gone: AbortController): Promise<void> => {
    const send = (message: unknown): void => {
      if (!stream.destroyed) stream.write(`${JSON.stringify(message)}\n`)
    }
    const context: ControlContext = {
      signal: gone.signal,
      progress(progress) {
        if (!stream.writableNeedDrain) send({ progress })
      },
      async data(bytes) {
        for (let from = 0; from < bytes.length; from += limits.controlPieceBytes) {
          gone.signal.throwIfAborted()
          send({ data: Buffer.from(bytes.subarray(from, from + limits.controlPieceBytes)).toString('base64') })
          await drained(stream)
        }
        gone.signal.throwIfAborted()
      },
    }
    let name = 'request'
    try {
      const request = parseRequest(await firstLine(stream, { clock, signal: gone.signal }))
      name = request.command.slice(0, 64)
      const result = await commandOf(commands, request.command)(request.args, context)
      send({ result: result ?? null })
    } catch (error) {
      if (!gone.signal.aborted) log('warn', 'a control command failed', { command: name, ...errorMember(error) })
      send({ error: errorMember(error) })
    }
  }

  const serve = async (stream: Duplex): Promise<void> => {
    const gone = new AbortController()
    const leave = (): void => gone.abort(new Error('the client of the control socket has gone away'))
    stream.on('end', leave)
    stream.on('close', leave)
    stream.on('error', leave)
    await converse(stream, gone)
    if (stream.destroyed) return
    const cancel = clock.after(limits.lingerMs, () => stream.destroy())
    await new Promise<void>((resolve) => {
      stream.once('close', resolve)
      stream.end()
    })
    cancel()
  }

  return {
    handle(stream) {
      open.set(
        stream,
        serve(stream).finally(() => open.delete(stream)),
      )
    },
    async close() {
      for (const stream of open.keys()) stream.destroy()
      const ended = Promise.all(open.values())
      await new Promise<void>((resolve) => {
        const cancel = clock.after(graceMs, resolve)
        void ended.finally(() => {
          cancel()
          resolve()
        })
      })
    },
  }
}

/** The request line. What a client sends behind it is read and dropped. */
function firstLine(stream: Duplex, { clock, signal }: { clock: Clock; signal: AbortSignal }): Promise<Frame> {
  const lines = lineSplitter(limits.controlLineBytes)
  return new Promise((resolve, reject) => {
    const stopTimer = clock.after(limits.controlRequestMs, () => {
      reject(badRequest(`no request came within ${limits.controlRequestMs} ms`))
    })
    signal.addEventListener('abort', () => {
      stopTimer()
      reject(signal.reason)
    })
    let found = false
    stream.on('data', (chunk: Uint8Array) => {
      const frame = found ? undefined : lines.push(chunk)[0]
      if (frame === undefined) return
      found = true
      stopTimer()
      resolve(frame)
    })
  })
}
