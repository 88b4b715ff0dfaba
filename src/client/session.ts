import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { AtKeys } from '../crypto/keys-file.ts'
import type { Link } from '../wire/link.ts'
import { createBackOff } from './back-off.ts'
import { openSession, pkamLogin } from './login.ts'
import type { Connect } from './types.ts'

export interface SessionOptions {
  readonly keys: AtKeys
  readonly connect: Connect
  readonly clock: Clock
  /** Wait for one reply; the atServer may have to ask another one first. */
  readonly replyMs?: number | undefined
  readonly random?: (() => number) | undefined
}

/** A connection of the owner that comes back: made when it is needed, again when it broke. */
export interface Session {
  /** Waits until there is a connection. @throws AtError of the attempt that failed */
  open(): Promise<void>
  /** @returns the raw reply line. @throws AtError AT0004, AT0021, AT0023; AT0005 for a line that is too long */
  request(line: string): Promise<string>
  /** As `request`, sent once more when the connection breaks: for commands whose repetition changes nothing. */
  repeatable(line: string): Promise<string>
  close(): void
}

/** The reference atServer itself asks a peer for up to 30 seconds (page 08, section 12). */
const defaultReplyMs = 35_000

/** The refusal of a line that no atServer takes. */
function tooLong(line: string): AtError | undefined {
  if (line.length * 3 < limits.lineBytes) return undefined
  const bytes = Buffer.byteLength(line) + 1
  if (bytes <= limits.lineBytes) return undefined
  return new AtError('AT0005', `The command has ${bytes} bytes; at most ${limits.lineBytes} are allowed`)
}

const isLoss = (error: unknown): boolean => error instanceof AtError && error.code === 'AT0004'

/** A session that is not connected yet. After failed attempts the next one waits, and so do its requests. */
export function createSession(options: SessionOptions): Session {
  const { keys, connect, clock, replyMs = defaultReplyMs } = options
  const backOff = createBackOff(options.random)
  let link: Link | undefined
  let opening: Promise<Link> | undefined
  let pauseMs = 0
  let closed = false
  let wake = (): void => {}

  const pause = (ms: number): Promise<void> =>
    new Promise((resolve) => {
      const cancel = clock.after(ms, resolve)
      wake = () => {
        cancel()
        resolve()
      }
    })

  const refuseClosed = (): void => {
    if (closed) throw new AtError('AT0004', 'The client is closed')
  }

  const attempt = async (): Promise<Link> => {
    if (pauseMs > 0) await pause(pauseMs)
    refuseClosed()
    try {
      const fresh = await openSession(connect, (opened) => pkamLogin(opened, keys), { clock, replyMs })
      if (closed) fresh.close()
      refuseClosed()
      backOff.reset()
      pauseMs = 0
      return fresh
    } catch (error) {
      pauseMs = backOff.next()
      throw error
    }
  }

  const connected = async (): Promise<Link> => {
    refuseClosed()
    if (link !== undefined && !link.closed) return link
    opening ??= attempt().finally(() => {
      opening = undefined
    })
    link = await opening
    return link
  }

  const request = (line: string): Promise<string> => {
    const refusal = tooLong(line)
    if (refusal !== undefined) return Promise.reject(refusal)
    if (link !== undefined && !link.closed) return link.request(line)
    return connected().then((live) => live.request(line))
  }

  /** Once more on a new connection. */
  const repeat = (line: string) => (error: unknown) => {
    if (!isLoss(error) || closed) throw error
    return request(line)
  }

  return {
    async open() {
      await connected()
    },
    request,
    repeatable: (line) => request(line).catch(repeat(line)),
    close() {
      closed = true
      wake()
      link?.close()
    },
  }
}
