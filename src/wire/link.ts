import type { Duplex } from 'node:stream'
import { type Clock, elapsed } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { dealtWith, type Frame, lineSplitter } from './framing.ts'
import type { LineBudget } from './line-budget.ts'
import { errorOfLine } from './reply-data.ts'

export { replyData } from './reply-data.ts'

/** How a link waits, what it accepts and whom it tells. Milliseconds and bytes. */
export interface LinkOptions {
  readonly clock: Clock
  /** Wait for the greeting and for each reply once it is the next to come; `limits.peerReplyMs` unless told. */
  readonly replyMs?: number
  /** Longest line accepted with its LF; `limits.lineBytes` unless told. */
  readonly maxReplyBytes?: number
  /** Memory that the long replies of several links share. */
  readonly lines?: LineBudget
  /** Gets `notification: {…}` lines, prompt stripped. */
  readonly onNotification?: (line: string) => void
  /** Called once, with the reason unless `close` was called here. */
  readonly onClose?: (error?: Error) => void
}

/** One line conversation as the calling side. Requests may be pipelined; replies come in order. */
export interface Link {
  /** Resolves when the greeting `@` is there; rejects when the other side refuses or is silent. */
  readonly ready: Promise<void>
  /**
   * Sends a command and waits for its reply line, `data:…` or `error:…` without prompt.
   * @throws AtError AT0003 for text with line breaks, AT0004 when the connection ends first, AT0023 without an answer
   */
  request(line: string, options?: { replyMs?: number }): Promise<string>
  /**
   * Sends `pol`, whose success is a new prompt without LF (page 01, section 4).
   * @returns the new prompt, such as `@alice@`
   * @throws AtError of the error line, else as `request`
   */
  prove(line: string): Promise<string>
  /** Sends a command that has no reply, such as `monitor`. */
  send(line: string): void
  /** Stops reading until `resume`, for a consumer of notifications that falls behind. */
  pause(): void
  resume(): void
  readonly closed: boolean
  /** Sends what is on its way, then ends the connection; requests in flight are rejected. */
  close(): void
}

interface Pending {
  readonly verb: string
  readonly proves: boolean
  readonly replyMs: number
  resolve(reply: string): void
  reject(error: Error): void
}

/** Characters that wait for others of the same turn at most. */
const mostUnsent = 65_536
/** How long a closing connection may take to send its last bytes. */
const lingerMs = 2_000
/** Bytes after the last LF that are looked at as a prompt: an atSign of 55 characters has at most 220 bytes. */
const promptBytes = 256

const lf = 10
const at = 64
const promptOnly = /^@*(@[^@:\s]+@)$/u

/** The verb of a line, to name it in errors. */
function verbOf(line: string): string {
  const end = line.search(/[^a-z]|$/i)
  return end === 0 ? 'request' : line.slice(0, end).toLowerCase()
}

/** Text behind the prompt: what stands before the first colon is cut at its last `@`, as Dart clients do. */
function withoutPrompt(line: string): string {
  if (!line.startsWith('@')) return line
  const colon = line.indexOf(':')
  const head = colon === -1 ? line : line.slice(0, colon)
  return line.slice(head.lastIndexOf('@') + 1)
}

function checkLine(line: string): void {
  if (line.includes('\n') || line.includes('\r'))
    throw new AtError('AT0003', `${verbOf(line)} may not hold a line break`)
}

/**
 * Opens a line conversation over a connected stream (TLS or inside the process) and takes the stream over.
 * Whatever the other side sends, memory stays under one line and nothing is thrown outside the promises.
 */
export function openLink(stream: Duplex, options: LinkOptions): Link {
  const { clock, replyMs = limits.peerReplyMs } = options
  const splitter = lineSplitter(options.maxReplyBytes ?? limits.lineBytes, options.lines)
  const pending: Pending[] = []
  const greeting = deferred()
  let started = false
  let greeted = false
  let closed = false
  let lastWasError = false
  let tail: Uint8Array = new Uint8Array()
  /** Lines that leave together at the end of this turn: a write costs as much as many lines. */
  let unsent = ''
  let stopTimer = (): void => {}
  /** When the timer ends, and since when what comes next is awaited. */
  let dueAt: number | undefined
  let awaitedSince = 0

  const flush = (): void => {
    const text = unsent
    unsent = ''
    if (text !== '') stream.write(text)
  }

  const write = (line: string): void => {
    if (unsent === '') process.nextTick(flush)
    unsent += `${line}\n`
    if (unsent.length >= mostUnsent) flush()
  }

  const finish = (error: Error | undefined, immediately: boolean): void => {
    if (closed) return
    flush()
    closed = true
    stopTimer()
    splitter.release()
    stream.off('data', onData)
    stream.resume()
    stream.end()
    // The other end of an in-process pair hears of `end`, never of `destroy`; a peer may refuse to read forever.
    if (immediately) setImmediate(() => stream.destroy())
    else {
      const cancel = clock.after(lingerMs, () => stream.destroy())
      stream.once('close', cancel)
      stream.once('finish', () => stream.destroy())
    }
    const reason = error ?? new AtError('AT0004', 'Connection closed')
    greeting.reject(reason)
    for (const { verb, reject } of pending.splice(0)) reject(endOf(verb, reason))
    options.onClose?.(error)
  }
  const fail = (error: Error): void => finish(error, true)

  /** Fails when what comes next is not there in time. */
  const look = (): void => {
    dueAt = undefined
    const { verb, replyMs: ms } = pending[0] ?? { verb: undefined, replyMs }
    const left = awaitedSince + ms - elapsed(clock)
    if (left > 0) lookIn(left)
    else fail(new AtError('AT0023', `No ${verb === undefined ? 'greeting' : `answer to ${verb}`} within ${ms} ms`))
  }

  const lookIn = (ms: number): void => {
    stopTimer()
    dueAt = elapsed(clock) + ms
    stopTimer = clock.after(ms, look)
  }

  /** Something else comes next. A timer that is set for the one before is left: it looks how long this one has been awaited. */
  const watch = (): void => {
    const head = pending[0]
    if (closed || (greeted && head === undefined)) {
      stopTimer()
      dueAt = undefined
      return
    }
    const ms = head?.replyMs ?? replyMs
    awaitedSince = elapsed(clock)
    if (dueAt === undefined || awaitedSince + ms < dueAt) lookIn(ms)
  }

  const answer = (settle: (request: Pending) => void): void => {
    const head = pending.shift()
    if (head === undefined) return
    settle(head)
    watch()
  }

  const onReply = (line: string): void => {
    lastWasError = line.startsWith('error:')
    const head = pending[0]
    if (head === undefined) {
      fail(lastWasError ? errorOfLine(line) : new AtError('AT0011', 'A reply came that nobody asked for'))
    } else if (!head.proves) answer(({ resolve }) => resolve(line))
    else if (lastWasError) answer(({ reject }) => reject(errorOfLine(line)))
    else fail(new AtError('AT0008', `${head.verb} was answered by data instead of a prompt`))
  }

  const onLine = (text: string): void => {
    const line = withoutPrompt(text)
    if (line.startsWith('data:') || line.startsWith('error:')) onReply(line)
    else if (line.startsWith('notification:')) options.onNotification?.(line)
    // The reference spreads some usage texts over several lines (page 01, 5.5).
    else if (!lastWasError || text.startsWith('@')) fail(new AtError('AT0011', 'A line came that is no reply'))
  }

  const onFrame = (frame: Frame): void => {
    if (frame.kind === 'line') onLine(frame.text)
    else if (frame.kind === 'notUtf8') fail(new AtError('AT0011', 'A reply came that is not UTF-8'))
    else if (frame.noRoom) fail(new AtError('AT0028', 'too many long replies at one time; ask again later'))
    else fail(new AtError('AT0005', 'A reply came that is longer than this side accepts'))
  }

  const start = (first: number | undefined): void => {
    started = true
    if (first === at) {
      greeted = true
      greeting.resolve()
      watch()
    } else if (first !== 'e'.charCodeAt(0)) {
      // A full atServer answers with an error line instead of its greeting (page 01, section 4); nothing else may come.
      fail(new AtError('AT0011', 'The other side does not speak the atProtocol: it did not greet with @'))
    }
  }

  const lookForPrompt = (chunk: Uint8Array): void => {
    const end = chunk.lastIndexOf(lf)
    const rest = chunk.subarray(end + 1, end + 2 + promptBytes)
    tail = end === -1 ? Buffer.concat([tail.subarray(0, promptBytes), rest]) : rest
    if (tail.length > promptBytes || tail.at(-1) !== at) return
    const prompt = promptOnly.exec(Buffer.from(tail).toString('utf8'))?.[1]
    if (prompt === undefined) return
    tail = new Uint8Array()
    answer(({ resolve }) => resolve(prompt))
  }

  const onData = (chunk: Uint8Array): void => {
    if (!started) start(chunk[0])
    for (const frame of closed ? [] : splitter.push(chunk)) {
      if (!closed) onFrame(frame)
      dealtWith(frame)
    }
    if (!closed && pending[0]?.proves) lookForPrompt(chunk)
  }

  const ask = (line: string, proves: boolean, ms: number): Promise<string> => {
    const verb = verbOf(line)
    if (closed) return Promise.reject(new AtError('AT0004', `Connection closed before ${verb}`))
    return new Promise((resolve, reject) => {
      checkLine(line)
      pending.push({ verb, proves, replyMs: ms, resolve, reject })
      if (pending.length === 1) watch()
      write(line)
    })
  }

  stream.on('data', onData)
  stream.on('error', (cause) => fail(new AtError('AT0004', `Connection failed: ${cause.message}`, { cause })))
  stream.on('end', () => fail(new AtError('AT0004', 'Connection closed by the other side')))
  stream.on('close', () => fail(new AtError('AT0004', 'Connection closed')))
  watch()

  return {
    ready: greeting.promise,
    request: (line, given) => ask(line, false, given?.replyMs ?? replyMs),
    prove: (line) => ask(line, true, replyMs),
    send(line) {
      checkLine(line)
      if (!closed) write(line)
    },
    pause: () => void stream.pause(),
    resume: () => void (closed || stream.resume()),
    get closed() {
      return closed
    },
    close: () => finish(undefined, false),
  }
}

function deferred(): { promise: Promise<void>; resolve(): void; reject(error: Error): void } {
  let settle: { resolve(): void; reject(error: Error): void } | undefined
  const promise = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject }
  })
  // Whoever does not wait for the greeting hears of its failure from the requests.
  promise.catch(() => {})
  return { promise, resolve: () => settle?.resolve(), reject: (error) => settle?.reject(error) }
}

/** The reason of a closed connection, told to one request that was in flight. */
function endOf(verb: string, reason: Error): AtError {
  const code = reason instanceof AtError ? reason.code : 'AT0004'
  return new AtError(code, `${reason.message} (${verb} was not answered)`, { cause: reason, closes: false })
}
