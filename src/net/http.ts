import { createServer, type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { WebSocketServer } from 'ws'
import type { Clock } from '../core/clock.ts'
import type { HttpAnswer, HttpRequest } from '../core/http.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { webSocketStream } from './websocket.ts'

/** The name of HTTP in ALPN. */
export const httpProtocol = 'http/1.1'

/** What an atServer's port offers by ALPN, in this order (page 07, 2.1). */
export const offeredProtocols: readonly string[] = ['atProtocol/1.0', httpProtocol]

export interface HttpOptions {
  readonly clock: Clock
  readonly log: Log
  respond(request: HttpRequest): Promise<HttpAnswer>
  /** Takes a place among the connections; `close` takes it away again. @returns gives it back; undefined when there is none */
  reserve(visitor: { remoteAddress: string; lastActiveAt(): number; close(): void }): (() => void) | undefined
  /** A WebSocket was opened at `/ws`; the place of its connection is free again. */
  onWebSocket(stream: Duplex, remoteAddress: string): void
}

/** Speaks HTTP/1.1 on streams that somebody else accepted. */
export interface Http {
  handle(stream: Duplex, origin: { readonly remoteAddress: string }): void
  /** Ends every connection but the WebSockets, which belong to who was handed them. */
  close(): void
}

/** A connection that speaks HTTP. */
interface Visitor {
  readonly remoteAddress: string
  /** Gives its place back; undefined when it found none. */
  readonly release: (() => void) | undefined
  /** Gives it more time. */
  prolong(): void
  /** Runs what it asks for one after the other, so that one answer is held at a time however many are wanted. */
  inTurn(task: () => Promise<unknown>): void
  /** It is no HTTP connection any more. */
  leave(): void
}

const webSocketPath = '/ws'
const noPlace: HttpAnswer = { status: 503, headers: { connection: 'close', 'retry-after': '10' }, body: '' }
const upgradeRequired: HttpAnswer = { status: 426, headers: { upgrade: 'websocket' }, body: '' }

/** Path and query; a proxy's way of writing them has scheme and host in front (RFC 9112, 3.2.2). */
const uriOf = (request: IncomingMessage): string => (request.url ?? '').replace(/^https?:\/\/[^/?#]*/i, '')

const isForWebSocket = (request: IncomingMessage): boolean => uriOf(request).split('?', 1)[0] === webSocketPath

const requestOf = (request: IncomingMessage): HttpRequest => ({
  method: request.method ?? '',
  uri: uriOf(request),
  ifNoneMatch: request.headers['if-none-match'],
})

function send(response: ServerResponse, { status, headers, body }: HttpAnswer): void {
  response.statusCode = status
  response.setHeaders(new Map(Object.entries(headers)))
  response.end(body)
}

/** The last answer of a connection that Node's HTTP server let go of. */
function sendLast(stream: Duplex, { status, headers, body }: HttpAnswer): void {
  const all = { ...headers, connection: 'close', 'content-length': String(Buffer.byteLength(body)) }
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`)
  stream.write(`HTTP/1.1 ${status} ${STATUS_CODES[status]}\r\n${lines.join('')}\r\n`)
  stream.end(body)
  stream.resume()
}

/** HTTP and WebSockets for connections that chose `http/1.1` (page 07, section 18). It listens nowhere itself. */
export function createHttp(options: HttpOptions): Http {
  const { clock, log, respond, reserve } = options
  const visitors = new Map<Duplex, Visitor>()
  let closed = false

  const server = createServer({
    maxHeaderSize: limits.httpHeaderBytes,
    keepAliveTimeout: limits.httpKeepAliveMs,
  })
  server.maxRequestsPerSocket = limits.httpRequests
  const webSockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: limits.webSocketMessageBytes,
  })

  const answer = (request: IncomingMessage, visitor: Visitor): Promise<HttpAnswer> | HttpAnswer => {
    if (visitor.release === undefined) return noPlace
    return request.method === 'GET' && isForWebSocket(request)
      ? upgradeRequired
      : respond({ ...requestOf(request), remoteAddress: visitor.remoteAddress })
  }

  server.on('request', (request, response) => {
    const visitor = visitors.get(request.socket)
    const done = new Promise((resolve) => response.on('close', resolve))
    visitor?.inTurn(async () => {
      visitor.prolong()
      send(response, await answer(request, visitor))
      await done
      visitor.prolong()
    })
  })

  const leaveHttp = (request: IncomingMessage, stream: Duplex, head: Buffer): void => {
    const visitor = visitors.get(stream)
    visitor?.inTurn(async () => {
      if (!isForWebSocket(request) || request.method !== 'GET') {
        sendLast(stream, await answer(request, visitor))
        return
      }
      webSockets.handleUpgrade(request, stream, head, (socket) => {
        visitor.leave()
        options.onWebSocket(webSocketStream(socket, { clock, log }), visitor.remoteAddress)
      })
    })
  }
  server.on('upgrade', leaveHttp)
  server.on('connect', leaveHttp)

  return {
    handle(stream, { remoteAddress }) {
      if (closed) {
        stream.destroy()
        return
      }
      let lastActiveAt = clock.now()
      // Node judges the time of requests only on sockets that it accepted itself.
      const drop = (): void => {
        leave()
        stream.destroy()
      }
      const release = reserve({ remoteAddress, lastActiveAt: () => lastActiveAt, close: drop })
      let cancel = clock.after(limits.httpMs, drop)
      let turn = Promise.resolve<unknown>(undefined)
      const inTurn = (task: () => Promise<unknown>): void => {
        turn = turn
          .then(() => (stream.destroyed ? undefined : task()))
          .catch((error: unknown) => {
            log('error', 'an HTTP connection failed unexpectedly', { error })
            stream.destroy()
          })
      }
      const leave = (): void => {
        cancel()
        release?.()
        visitors.delete(stream)
      }
      const prolong = (): void => {
        cancel()
        lastActiveAt = clock.now()
        if (visitors.has(stream)) cancel = clock.after(limits.httpMs, drop)
      }
      visitors.set(stream, { remoteAddress, release, prolong, inTurn, leave })
      stream.once('close', leave)
      server.emit('connection', stream)
    },
    close() {
      closed = true
      for (const stream of visitors.keys()) stream.destroy()
    },
  }
}
