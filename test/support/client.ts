import type { Duplex } from 'node:stream'
import { StringDecoder } from 'node:string_decoder'

/** A client that sees bytes as they come: replies with their prompt, lines with their LF. */
export interface Client {
  readonly stream: Duplex
  /** What came in each write of the server, greeting included. */
  readonly chunks: readonly string[]
  /** Sends bytes in one write; nothing is added. */
  write(bytes: string | Uint8Array): void
  /** The next reply: one line, its LF and the prompt. */
  reply(): Promise<string>
  /** Sends a line and waits for its reply. */
  ask(line: string): Promise<string>
  /** The next line with its LF, of a monitor. */
  line(): Promise<string>
  /** The next match of a pattern that begins with `^`. */
  take(pattern: RegExp): Promise<string>
  /** What came and was not taken, once the server has ended the connection. */
  readonly closed: Promise<string>
  /** Says no more; the server closes. */
  leave(): void
}

const wholeReply = /^[^\n]*\n@(?:[^@:\s]+@)?/u

/** Reads a stream to an atServer. */
export function clientOf(stream: Duplex): Client {
  const decoder = new StringDecoder('utf8')
  const chunks: string[] = []
  let unread = ''
  let ended = false
  let waiting: { pattern: RegExp; resolve(text: string): void; reject(error: Error): void }[] = []
  let tellClosed: (rest: string) => void = () => {}
  const closed = new Promise<string>((resolve) => {
    tellClosed = resolve
  })

  const serve = (): void => {
    for (let head = waiting[0]; head !== undefined; head = waiting[0]) {
      const found = head.pattern.exec(unread)?.[0]
      if (found === undefined) return
      unread = unread.slice(found.length)
      waiting.shift()
      head.resolve(found)
    }
  }
  const finish = (): void => {
    ended = true
    for (const { pattern, reject } of waiting) reject(new Error(`closed before ${pattern}; came: ${unread}`))
    waiting = []
    tellClosed(unread)
  }

  stream.on('data', (chunk: Buffer) => {
    const text = decoder.write(chunk)
    chunks.push(text)
    unread += text
    serve()
  })
  stream.on('end', () => {
    finish()
    stream.end()
  })
  stream.on('close', finish)
  stream.on('error', finish)

  const take = (pattern: RegExp): Promise<string> =>
    new Promise((resolve, reject) => {
      waiting.push({ pattern, resolve, reject })
      serve()
      if (ended && waiting.length > 0) finish()
    })
  const reply = (): Promise<string> => take(wholeReply)
  const write = (bytes: string | Uint8Array): void => void stream.write(bytes)
  const ask = (line: string): Promise<string> => {
    write(`${line}\n`)
    return reply()
  }
  return {
    ...{ stream, chunks, closed, write, reply, ask, take },
    line: () => take(/^[^\n]*\n/),
    leave: () => void stream.end(),
  }
}
