import type { Duplex } from 'node:stream'
import type { AtServer } from './app.ts'
import { limits } from './core/limits.ts'
import type { Log } from './core/log.ts'
import { offeredProtocols } from './net/http.ts'
import { type Listener, listenTls } from './net/listen.ts'
import type { ServerContext } from './net/tls-context.ts'
import type { Origin } from './server/server.ts'

/** How long open connections may take to end once a server stops listening. */
const graceMs = 3_000

/** An atServer that can be reached over TLS. */
export interface Listening extends Pick<Listener, 'port' | 'setContext'> {
  /** Stops listening, lets commands under way finish and closes the server. */
  close(): Promise<void>
}

/**
 * Has an atServer listen for TLS. When the port cannot be had, the server is closed.
 * @throws Error that names the port
 */
export async function listenFor(
  server: AtServer,
  at: ServerContext & { host?: string; port: number; log: Log },
): Promise<Listening> {
  const onConnection = (socket: Duplex, info: Origin): void => server.handle(socket, info)
  try {
    const maxSockets = 2 * limits.inboundConnections
    const listener = await listenTls({
      ...{ ...at, alpn: offeredProtocols, handshakeMs: limits.handshakeMs, maxSockets },
      knowsTime: server.clock.trusted,
      clock: server.clock,
      onConnection,
    })
    return {
      ...{ port: listener.port, setContext: listener.setContext },
      async close() {
        await Promise.all([listener.close(graceMs), server.close()])
      },
    }
  } catch (error) {
    await server.close()
    throw error
  }
}
