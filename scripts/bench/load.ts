import { connect, createSecureContext, type SecureContext, type TLSSocket } from 'node:tls'
import { sleep } from './numbers.ts'

/** Where to connect; the certificate has to be for `localhost`. */
export interface Target {
  readonly port: number
  readonly trust: SecureContext
}

/** Trusts one authority. Made once: it is not part of what is measured. */
export const trustOnly = (ca: string): SecureContext => createSecureContext({ ca, minVersion: 'TLSv1.2' })

/** A new connection with a full handshake: no session is kept for a later one. */
export function dial({ port, trust }: Target): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const socket = connect({ host: '127.0.0.1', servername: 'localhost', port, secureContext: trust })
    socket.setNoDelay(true)
    socket.once('error', reject)
    socket.once('secureConnect', () => resolve(socket))
  })
}

/** What one connection says: requests of one length, again and again from the first. */
export interface Script {
  readonly requests: readonly string[]
  /** How every good reply begins. */
  readonly reply: string
}

const lineFeed = 10

/** Requests end to end, twice, so that any few in a row are one slice. */
function layOut({ requests }: Script): { bytes: Buffer; length: number; count: number } {
  const bytes = Buffer.from([...requests, ...requests].join(''))
  const length = Buffer.byteLength(requests[0] ?? '')
  if (bytes.length !== 2 * requests.length * length) throw new Error('the requests differ in length')
  return { bytes, length, count: requests.length }
}

function linesIn(chunk: Buffer): number {
  let lines = 0
  for (let at = chunk.indexOf(lineFeed); at !== -1; at = chunk.indexOf(lineFeed, at + 1)) lines++
  return lines
}

/**
 * Keeps some requests in flight on every connection: a reply, which has one line feed, brings out the next request.
 * The same few instructions for every server, so that they cancel out.
 * @param depth requests in flight on each connection, at most the number of requests in a script
 * @returns replies a second
 * @throws Error that quotes a reply that is not a good one
 */
export async function drive(
  sockets: readonly TLSSocket[],
  scripts: readonly Script[],
  { depth, ms }: { depth: number; ms: number },
): Promise<number> {
  let replies = 0
  let ending = false
  const talk = (socket: TLSSocket, script: Script): Promise<void> =>
    new Promise((resolve, reject) => {
      const { bytes, length, count } = layOut(script)
      const good = script.reply.charCodeAt(0)
      let next = 0
      let waiting = 0
      const say = (requests: number): void => {
        socket.write(bytes.subarray(next * length, (next + requests) * length))
        next = (next + requests) % count
        waiting += requests
      }
      const hear = (chunk: Buffer): void => {
        if (chunk[0] !== good) reject(new Error(`unexpected reply: ${chunk.toString().slice(0, 200)}`))
        const lines = linesIn(chunk)
        replies += lines
        waiting -= lines
        if (!ending && lines > 0) say(lines)
        else if (waiting === 0) {
          socket.off('data', hear).off('close', lost)
          resolve()
        }
      }
      const lost = (): void => reject(new Error('the server closed a connection under load'))
      socket.on('data', hear).once('close', lost)
      say(depth)
    })
  const talks = Promise.all(sockets.map((socket, index) => talk(socket, scripts[index % scripts.length] as Script)))
  const began = performance.now()
  await Promise.race([sleep(ms), talks])
  const rate = (1_000 * replies) / (performance.now() - began)
  ending = true
  await talks
  return rate
}

/**
 * Does something over and over, several at a time.
 * @returns how often a second
 */
export async function repeat(task: () => Promise<void>, { width, ms }: { width: number; ms: number }): Promise<number> {
  const began = performance.now()
  const until = began + ms
  let done = 0
  const worker = async (): Promise<void> => {
    while (performance.now() < until) {
      await task()
      done++
    }
  }
  await Promise.all(Array.from({ length: width }, worker))
  return (1_000 * done) / (performance.now() - began)
}
