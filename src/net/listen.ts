import type { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { createServer, type TLSSocket } from 'node:tls'
import { type Clock, systemClock } from '../core/clock.ts'
import { type Log, oncePerMinute } from '../core/log.ts'
import type { PeerCertificate } from '../core/session.ts'
import { type ServerContext, serverTls } from './tls-context.ts'
import { createTrust, peerCertificateOf } from './trust.ts'

/** What is known about a connection besides its bytes. */
export interface ConnectionInfo {
  readonly remoteAddress: string
  readonly certificate: PeerCertificate | undefined
  /** Protocol chosen by ALPN, such as `http/1.1`; undefined when none was asked for. */
  readonly alpn: string | undefined
}

export interface ListenOptions extends ServerContext {
  /** Address to listen on; undefined is every address of both IP versions. */
  readonly host?: string | undefined
  /** 0 takes a free port. */
  readonly port: number
  /** Protocols offered by ALPN, in order of preference; a client that asks for none is always welcome. */
  readonly alpn?: readonly string[]
  /** A connection must finish its TLS handshake within this time. */
  readonly handshakeMs: number
  /** Open sockets, handshakes included. One more costs the address with most unfinished handshakes its oldest. */
  readonly maxSockets?: number
  /** By which the log names a flood once a minute; the machine's unless told. */
  readonly clock?: Clock
  /** False while nobody knows the time: client certificates are then judged without their dates. */
  readonly knowsTime?: () => boolean
  readonly log: Log
  onConnection(socket: Duplex, info: ConnectionInfo): void
}

export interface Listener {
  readonly port: number
  /** Shows other certificates from now on; open connections keep theirs. @throws Error for unusable PEM texts */
  setContext(context: ServerContext): void
  /** Connections whose handshake is done. */
  connections(): number
  /** Stops accepting, waits up to `graceMs` for open connections (0 unless told), then drops them. */
  close(graceMs?: number): Promise<void>
}

/** Sentences for the errors of `listen` that people can do something about. */
function listenError(error: NodeJS.ErrnoException, host: string | undefined, port: number): Error {
  const where = host === undefined ? `port ${port}` : `port ${port} of ${host}`
  if (error.code === 'EADDRINUSE') {
    return new Error(`Cannot listen on ${where}: another program uses it already`, { cause: error })
  }
  if (error.code === 'EACCES') {
    return new Error(`Cannot listen on ${where}: it needs more rights than this user has`, { cause: error })
  }
  return new Error(`Cannot listen on ${where}: ${error.message}`, { cause: error })
}

/** Tells the sockets of one listener apart; a TLS socket has that of the TCP socket below it. */
const addressOf = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`

/** The first of these sockets that comes from the address with most of them. */
function oldestOfMost(sockets: Iterable<Socket>): Socket | undefined {
  const all = [...sockets]
  const counts = new Map<string | undefined, number>()
  for (const { remoteAddress } of all) counts.set(remoteAddress, (counts.get(remoteAddress) ?? 0) + 1)
  const most = Math.max(...counts.values())
  return all.find(({ remoteAddress }) => counts.get(remoteAddress) === most)
}

/**
 * Listens for TLS 1.2 and 1.3. Client certificates are requested and judged later, by whoever needs them (page 01, 1).
 * @throws Error that names the port when it cannot be used, or the PEM text that is unusable
 */
export async function listenTls(options: ListenOptions): Promise<Listener> {
  const { host, port, log } = options
  const warn = oncePerMinute(log, options.clock ?? systemClock)
  const raw = new Set<Socket>()
  /** Sockets whose handshake is not done, oldest first, by their address. */
  const unproven = new Map<string, Socket>()
  const secured = new Set<TLSSocket>()
  let trust = createTrust(options.ca)

  const server = createServer({
    ...serverTls(options),
    ...(options.alpn === undefined ? {} : { ALPNProtocols: [...options.alpn] }),
    requestCert: true,
    rejectUnauthorized: false,
    handshakeTimeout: options.handshakeMs,
    noDelay: true,
  })

  server.on('connection', (socket: Socket) => {
    if (raw.size >= (options.maxSockets ?? Number.POSITIVE_INFINITY)) {
      const oldest = oldestOfMost(unproven.values()) ?? socket
      warn('an unfinished connection gave way to a newcomer', { remoteAddress: oldest.remoteAddress ?? 'unknown' })
      oldest.destroy()
      raw.delete(oldest)
      if (oldest === socket) return
    }
    const address = addressOf(socket)
    raw.add(socket)
    unproven.set(address, socket)
    socket.once('close', () => {
      raw.delete(socket)
      if (unproven.get(address) === socket) unproven.delete(address)
    })
  })
  server.on('tlsClientError', (error, socket) => {
    log('debug', 'TLS handshake failed', { from: socket.remoteAddress ?? 'unknown', reason: error.message })
    socket.destroy()
  })
  server.on('secureConnection', (socket) => {
    unproven.delete(addressOf(socket))
    secured.add(socket)
    // Who has said all it will say still gets its answers. Not before: who leaves during the handshake is gone.
    socket.allowHalfOpen = true
    socket.once('close', () => secured.delete(socket))
    // Until the new owner listens for errors, a reset must not stop the process.
    socket.on('error', (error) => log('debug', 'connection failed', { reason: error.message }))
    options.onConnection(socket, {
      remoteAddress: socket.remoteAddress ?? 'unknown',
      certificate: peerCertificateOf(socket, trust, options.knowsTime?.() === false ? undefined : Date.now()),
      alpn: socket.alpnProtocol || undefined,
    })
  })

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error) => reject(listenError(error, host, port)))
    server.listen({ port, ...(host === undefined ? {} : { host }) }, resolve)
  })
  server.on('error', (error) => log('error', 'listener failed', { reason: error.message }))
  const address = server.address()

  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    setContext(next) {
      const nextTrust = createTrust(next.ca)
      server.setSecureContext(serverTls(next))
      trust = nextTrust
    },
    connections: () => secured.size,
    close(graceMs = 0) {
      const dropAll = (): void => {
        for (const socket of raw) socket.destroy()
      }
      const timer = graceMs > 0 ? setTimeout(dropAll, graceMs) : undefined
      return new Promise((resolve) => {
        server.close(() => {
          clearTimeout(timer)
          resolve()
        })
        if (timer === undefined) dropAll()
      })
    },
  }
}
