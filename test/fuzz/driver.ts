import type { Duplex } from 'node:stream'
import { expect } from 'vitest'
import { inProcessPair } from '../../src/client/in-process.ts'
import { catalogue, isErrorCode } from '../../src/core/errors.ts'
import type { TestServer } from '../support/server.ts'

/** A line that was sent and what came back; undefined behind a connection that closed. */
export interface Exchange {
  readonly line: Buffer
  readonly reply: string | undefined
}

const wholeReply = /[^\n]*\n@(?:[^@:\s]+@)?|@[^@:\s]+@(?=data:|error:|@|$)/uy

/** Cuts what came into replies. @throws Error for bytes that are none */
function repliesIn(text: string): string[] {
  const found: string[] = []
  wholeReply.lastIndex = 0
  while (wholeReply.lastIndex < text.length) {
    const at = wholeReply.lastIndex
    const reply = wholeReply.exec(text)?.[0]
    if (reply === undefined) throw new Error(`no reply at ${JSON.stringify(text.slice(at, at + 200))}`)
    found.push(reply)
  }
  return found
}

/** What one reply has to look like, whatever it answers; errors are JSON for clients that asked. */
const proper = new RegExp(
  [
    /^data:[^\n]*\n@(?:[^@:\s]+@)?$/,
    /^error:(?<plain>AT\d{4})[-:][^\n\r\u0085\u2028\u2029\u0000-\u001f]{8,400}\n@(?:[^@:\s]+@)?$/,
    /^error:\{"errorCode":"(?<json>AT\d{4})","errorDescription":"[^\n\r\u0085\u2028\u2029]{8,400}"\}\n@(?:[^@:\s]+@)?$/,
    /^@[^@:\s]+@$/,
  ]
    .map(({ source }) => source)
    .join('|'),
  'u',
)

/** The code of an error. */
function codeOf(reply: string | undefined): string {
  const groups = proper.exec(reply ?? '')?.groups
  return groups?.['plain'] ?? groups?.['json'] ?? ''
}

/** Sends bytes in pieces of any size, some of them in turns of their own. */
async function sendInPieces(stream: Duplex, bytes: Buffer, cuts: readonly number[]): Promise<void> {
  let from = 0
  for (const [index, cut] of [...cuts.map((place) => place % (bytes.length + 1)), bytes.length]
    .sort((a, b) => a - b)
    .entries()) {
    stream.write(bytes.subarray(from, cut))
    from = cut
    if (index % 3 === 0) await new Promise(setImmediate)
  }
}

/** Resolves with everything that came until `mark` came, or the other side closed. */
function until(stream: Duplex, mark: string): Promise<{ text: string; closed: boolean }> {
  return new Promise((resolve) => {
    let chunks: Buffer[] = []
    let tail = ''
    const finish = (closed: boolean): void => {
      for (const event of ['end', 'close'] as const) stream.off(event, onEnd)
      stream.off('data', onData)
      resolve({ text: Buffer.concat(chunks).toString('utf8'), closed })
      chunks = []
    }
    const onEnd = (): void => finish(true)
    const onData = (chunk: Buffer): void => {
      chunks.push(chunk)
      tail = (tail + chunk.toString('latin1')).slice(-400)
      if (tail.includes(mark) && tail.endsWith('@')) finish(false)
    }
    stream.on('data', onData)
    stream.on('end', onEnd)
    stream.on('close', onEnd)
  })
}

/**
 * Sends lines, cut anywhere, and a last one whose answer is known. There must be one proper reply for each, in order,
 * unless one of them was an error that closes. Blank lines, `monitor` and `@exit` have no reply of their own: leave them
 * out. What was sent before has to be answered.
 */
export async function exchange(stream: Duplex, lines: readonly Buffer[], cuts: readonly number[]): Promise<Exchange[]> {
  const lf = Buffer.from('\n')
  const end = Buffer.from('to:@the-end\n')
  const received = until(stream, '@the-end is not hosted')
  await sendInPieces(stream, Buffer.concat([...lines.flatMap((line) => [line, lf]), end]), cuts)
  const { text, closed } = await received
  const replies = repliesIn(text)
  for (const reply of replies) expect(reply).toMatch(proper)
  if (closed) {
    const code = codeOf(replies.at(-1))
    expect([code, isErrorCode(code) && catalogue[code].closes]).toEqual([code, true])
  } else {
    expect(replies.at(-1)).toContain('@the-end is not hosted')
    expect(replies).toHaveLength(lines.length + 1)
  }
  return lines.map((line, index) => ({ line, reply: replies[index] }))
}

const events = ['data', 'end', 'error', 'close', 'drain', 'readable', 'finish']

/** A connection of which both ends can be looked at. */
export interface Watched {
  readonly near: Duplex
  /** How many listen on the server's end, for each event. */
  listeners(): number[]
}

/** A greeted connection from inside the process. */
export async function watch({ server }: Pick<TestServer, 'server'>): Promise<Watched> {
  const [near, far] = inProcessPair()
  server.handle(far, { remoteAddress: 'in-process', certificate: undefined, isInside: true })
  await new Promise((resolve) => near.once('data', resolve))
  return { near, listeners: () => events.map((event) => far.listenerCount(event)) }
}
