import { connect, createServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { systemClock } from '../../src/core/clock.ts'
import { newSessionId } from '../../src/crypto/challenge.ts'
import { dialTls } from '../../src/net/dial.ts'
import { listenTls } from '../../src/net/listen.ts'
import { clientContext } from '../../src/net/tls-context.ts'
import { lineSplitter } from '../../src/wire/framing.ts'
import { clientOf } from '../support/client.ts'

/** How a peer of a crowd behaves, by its number. */
export type Manner = 'well' | 'away' | 'slow' | 'resets' | 'nonsense' | 'poses'

/** Every third one is away. */
export function mannerOf(index: number): Manner {
  if (index % 3 === 2) return 'away'
  if (index === 0) return 'slow'
  if (index === 3) return 'resets'
  if (index === 9) return 'poses'
  return index === 6 ? 'nonsense' : 'well'
}

/** Just enough of an atServer of 2024 to be notified. */
function serve(socket: Duplex, onNotified: () => void): void {
  const lines = lineSplitter(100_000)
  let caller = ''
  const answer = (line: string): string => {
    if (line.startsWith('from:')) {
      caller = line.slice('from:'.length)
      return `data:proof:${newSessionId()}${caller}:7b1d3f5a-2c4e-4f60-8a9b-1c2d3e4f5a6b\n@`
    }
    if (line === 'pol') return `${caller}@`
    if (!line.startsWith('notify:')) return 'error:AT0015-Exception: there is no such record\n@'
    onNotified()
    return `data:success\n${caller}@`
  }
  socket.on('error', () => {})
  socket.on('end', () => socket.end())
  socket.on('data', (chunk: Buffer) => {
    for (const frame of lines.push(chunk)) if (frame.kind === 'line') socket.write(answer(frame.text))
  })
  socket.write('@')
}

/** One byte a second. */
function trickle(socket: Duplex): void {
  const timer = setInterval(() => socket.write('d'), 1_000)
  socket.on('error', () => {})
  socket.on('close', () => clearInterval(timer))
  socket.resume()
  socket.write('@')
}

function talkNonsense(socket: Duplex): void {
  socket.on('error', () => {})
  socket.on('data', () => socket.write('HTTP/1.1 418 no atServer\r\n\r\n'))
  socket.write('@')
}

interface Trust {
  readonly chain: string
  readonly key: string
  readonly ca: string
}

/**
 * Starts the servers of many atSigns, each on a port of its own; one shows the certificate of another machine.
 * @returns tells how many notifications each has taken
 */
export async function startCrowd(options: {
  host: string
  firstPort: number
  count: number
  trust: Trust
  others: Trust
}): Promise<() => number[]> {
  const { host, firstPort, count } = options
  const counts = Array.from({ length: count }, () => 0)
  for (let index = 0; index < count; index++) {
    const manner = mannerOf(index)
    const port = firstPort + index
    if (manner === 'resets') createServer((socket) => socket.resetAndDestroy()).listen(port, host)
    if (manner === 'away' || manner === 'resets') continue
    const onNotified = (): void => {
      counts[index] = (counts[index] ?? 0) + 1
    }
    const well = (socket: Duplex): void => serve(socket, onNotified)
    const speak = { well, slow: trickle, nonsense: talkNonsense, poses: well }[manner]
    const trust = manner === 'poses' ? options.others : options.trust
    await listenTls({
      ...{ cert: trust.chain, key: trust.key, host, port, handshakeMs: 30_000, log: () => {} },
      onConnection: speak,
    })
  }
  return () => counts
}

/** Calls an atServer so often, as somebody whom the certificate does not name. @returns what was answered to each `from` */
export async function pose(
  to: { host: string; port: number },
  as: string,
  times: number,
  trust: Trust,
): Promise<string[]> {
  const answers: string[] = []
  const context = clientContext({ ca: [trust.ca], cert: trust.chain, key: trust.key })
  for (let time = 0; time < times; time++) {
    const client = clientOf(await dialTls({ ...to, context, clock: systemClock }))
    await client.take(/^@/)
    answers.push(await client.ask(`from:${as}`))
    client.stream.destroy()
  }
  return answers
}

/** Opens connections that say nothing, 200 at a time, and leaves them open. */
export async function flood(to: { host: string; port: number }, count: number): Promise<void> {
  for (let opened = 0; opened < count; opened += 200) {
    const wave = Array.from({ length: 200 }, () => {
      const socket = connect(to)
      socket.on('error', () => {})
      socket.resume()
      return new Promise((resolve) => socket.once('connect', resolve).once('close', resolve))
    })
    await Promise.all(wave)
  }
}
