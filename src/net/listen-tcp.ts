import { createServer, type Socket } from 'node:net'

/** Dead connections are noticed by the kernel after about this long without a byte. */
const keepAliveMs = 60_000

/** Where to listen and what to do with connections. */
export interface ListenTcp {
  readonly host: string
  /** 0 takes a free port. */
  readonly port: number
  onConnection(socket: Socket): void
}

/** A listening port. */
export interface TcpListener {
  readonly port: number
  /** Takes no more connections; resolves when those it had are gone. Who took them ends them. */
  close(): Promise<void>
}

const reasons: Readonly<Record<string, string>> = {
  EADDRINUSE: 'the port is taken by another program',
  EACCES: 'ports below 1024 need a permission (systemd: AmbientCapabilities=CAP_NET_BIND_SERVICE)',
  EADDRNOTAVAIL: 'this machine does not have the address',
  ENOTFOUND: 'this machine does not have the address',
  EAFNOSUPPORT: 'this machine has no IPv6; use 0.0.0.0 or an IPv4 address',
}

/**
 * Listens for plain TCP connections.
 * @throws Error that names address, port and reason when the port cannot be had
 */
export async function listenTcp({ host, port, onConnection }: ListenTcp): Promise<TcpListener> {
  const server = createServer({ noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs }, onConnection)
  await new Promise<void>((resolve, reject) => {
    server.once('error', (cause: NodeJS.ErrnoException) => {
      const reason = reasons[cause.code ?? ''] ?? cause.message
      reject(new Error(`cannot listen on ${host} port ${port}: ${reason}`, { cause }))
    })
    server.listen({ host, port }, resolve)
  })
  server.removeAllListeners('error')
  // An accept that fails (no file descriptors left) leaves the others alone.
  server.on('error', () => undefined)
  const address = server.address()
  return {
    port: typeof address === 'object' && address !== null ? address.port : port,
    close: () => new Promise((resolve) => server.close(() => resolve())),
  }
}
