import { request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { createWebSocketStream, WebSocket } from 'ws'
import type { AtSign } from '../../src/core/at-sign.ts'
import { systemClock } from '../../src/core/clock.ts'
import { dialTls } from '../../src/net/dial.ts'
import { type Client, clientOf } from '../support/client.ts'
import type { Wire } from './runner.ts'

/** Where an atServer listens, and the authorities that its certificate may come from besides the public ones. */
export interface Place {
  readonly host: string
  readonly port: AddressInfo['port']
  readonly ca: readonly string[]
}

const withPrompt = (client: Client, prompt: string | undefined): Wire => ({
  write: client.write,
  take: client.take,
  closed: client.closed,
  leave: client.leave,
  prompt,
})

/** A TLS connection; its greeting is left to the scene. */
export async function rawWire(place: Place): Promise<Wire> {
  return withPrompt(clientOf(await dialTls({ ...place, clock: systemClock })), '@')
}

/** A TLS connection that was greeted with one byte. */
export async function openWire(place: Place): Promise<Wire> {
  const wire = await rawWire(place)
  await wire.take(/^@/)
  return wire
}

/** Sends a line and takes its reply with the prompt behind it. */
export async function ask(wire: Wire, line: string): Promise<string> {
  wire.write(`${line}\n`)
  return wire.take(/^[^\n]*\n@(?:[^@:\s]+@)?/u)
}

/**
 * A connection of an atSign's owner.
 * @param proof the login line for a challenge
 */
export async function ownerWire(place: Place, atSign: AtSign, proof: (challenge: string) => string): Promise<Wire> {
  const wire = await openWire(place)
  const challenge = /^data:([^\n]+)\n@$/.exec(await ask(wire, `from:${atSign}`))?.[1] ?? ''
  const reply = await ask(wire, proof(challenge))
  if (reply !== `data:success\n${atSign}@`) throw new Error(`not logged in as ${atSign}: ${reply}`)
  return { ...wire, prompt: `${atSign}@` }
}

/** A line like `200 text/plain; charset=utf-8 | California`. */
function fetchLine(place: Place, method: string, path: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const options = { ...place, ca: [...place.ca], method, path, agent: false, ALPNProtocols: ['http/1.1'] }
    const asking = request(options, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const body = Buffer.concat(chunks).toString('utf8').replaceAll('\n', '⏎')
        resolve(`${response.statusCode} ${response.headers['content-type'] ?? '-'} | ${body}`)
      })
    })
    asking.on('error', reject)
    asking.end()
  })
}

/** HTTPS: each line sent is a method and a path, each reply a status, a content type and a body. */
export function httpsWire(place: Place): Wire {
  const answers: Promise<string>[] = []
  return {
    write(bytes) {
      const [method = '', path = ''] = String(bytes).trimEnd().split(' ')
      answers.push(fetchLine(place, method, path))
    },
    async take() {
      const answer = answers.shift()
      if (answer === undefined) throw new Error('no request was made')
      return `${await answer}\n`
    },
    closed: Promise.resolve(''),
    leave() {},
    prompt: undefined,
  }
}

/** The atProtocol over a WebSocket, after its greeting. */
export async function webSocketWire({ host, port, ca }: Place): Promise<Wire> {
  const options = { ca: [...ca], ALPNProtocols: ['http/1.1'] }
  const socket = new WebSocket(`wss://${host}:${port}/ws`, options)
  const client = clientOf(createWebSocketStream(socket))
  await client.take(/^@/)
  return withPrompt(client, '@')
}
