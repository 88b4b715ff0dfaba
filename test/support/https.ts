import type { IncomingHttpHeaders } from 'node:http'
import { Agent, type RequestOptions, request } from 'node:https'
import { connect } from 'node:tls'
import { WebSocket } from 'ws'
import { cramDigest } from '../../src/crypto/challenge.ts'
import { closeLater, type Member, type TestNetwork } from './network.ts'
import { type Client, clientOf } from './server.ts'

export interface Fetched {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: Buffer
}

const at = ({ port }: Member, { certificate }: TestNetwork) => ({ host: 'localhost', port, ca: certificate.ca })
/** Browsers and curl offer it by themselves, Node's clients when told. */
const http = { ALPNProtocols: ['http/1.1'] }

/** One HTTPS request, on a connection of its own unless an agent keeps one. */
export const fetchFrom = (
  member: Member,
  network: TestNetwork,
  options: Pick<RequestOptions, 'method' | 'path' | 'headers' | 'agent'>,
): Promise<Fetched> =>
  new Promise((resolve, reject) => {
    const asking = request({ agent: false, ...at(member, network), ...http, ...options }, (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: Buffer.concat(chunks) }),
      )
    })
    asking.on('error', reject)
    asking.end()
  })

/** An agent with one connection, which it keeps. */
export function keptConnection(): Agent {
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  closeLater(async () => agent.destroy())
  return agent
}

/** TLS with these protocols offered by ALPN. @returns the stream and what was negotiated; the greeting is not taken */
export function connectOffering(member: Member, network: TestNetwork, protocols?: string[]) {
  return new Promise<{ client: Client; negotiated: string | false | null }>((resolve, reject) => {
    const options = { ...at(member, network), ...(protocols === undefined ? {} : { ALPNProtocols: protocols }) }
    const socket = connect(options)
    const client = clientOf(socket)
    socket.once('secureConnect', () => resolve({ client, negotiated: socket.alpnProtocol }))
    socket.once('error', reject)
    closeLater(async () => socket.destroy())
  })
}

/** One message of a WebSocket. */
export interface Message {
  readonly text: string
  readonly isBinary: boolean
}

/** A WebSocket to an atServer and what it was sent. */
export interface WebSocketClient {
  readonly socket: WebSocket
  /** The next message that was not taken yet. */
  next(): Promise<Message>
  /** Sends a line and waits for the text of the next message. */
  ask(line: string): Promise<string>
  /** The code with which it closed. */
  readonly closed: Promise<number>
}

/** Opens a WebSocket; the greeting is not taken. */
export function openWebSocket(
  member: Member,
  network: TestNetwork,
  { path = '/ws', ...options }: { path?: string; autoPong?: boolean } = {},
): Promise<WebSocketClient> {
  const socket = new WebSocket(`wss://localhost:${member.port}${path}`, {
    ...options,
    ...http,
    ca: network.certificate.ca,
  })
  closeLater(async () => socket.terminate())
  const messages: Message[] = []
  const waiting: ((message: Message) => void)[] = []
  socket.on('message', (bytes, isBinary) => {
    const message = { text: String(bytes), isBinary }
    const taker = waiting.shift()
    if (taker === undefined) messages.push(message)
    else taker(message)
  })
  const closed = new Promise<number>((resolve) => socket.on('close', resolve))
  const next = (): Promise<Message> => {
    const message = messages.shift()
    return message === undefined ? new Promise((resolve) => waiting.push(resolve)) : Promise.resolve(message)
  }
  const ask = async (line: string): Promise<string> => {
    socket.send(`${line}\n`)
    return (await next()).text
  }
  return new Promise((resolve, reject) => {
    socket.once('open', () => resolve({ socket, next, ask, closed }))
    socket.on('error', reject)
  })
}

/** A WebSocket that was greeted and logged in as the owner. */
export async function ownerWebSocket(member: Member, network: TestNetwork): Promise<WebSocketClient> {
  const client = await openWebSocket(member, network)
  await client.next()
  const challenge = (await client.ask(`from:${member.atSign}`)).replace(/^data:/, '').replace(/\n.*$/s, '')
  const secret = (await member.server.cramSecret()) ?? ''
  const reply = await client.ask(`cram:${cramDigest(secret, challenge)}`)
  if (reply !== `data:success\n${member.atSign}@`) throw new Error(`not logged in: ${reply}`)
  return client
}
