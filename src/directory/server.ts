import type { Duplex } from 'node:stream'
import { limits } from '../core/limits.ts'
import { createHttp, httpProtocol, offeredProtocols } from '../net/http.ts'
import { type ConnectionInfo, type Listener, listenTls } from '../net/listen.ts'
import type { ServerContext } from '../net/tls-context.ts'
import { createClients } from './clients.ts'
import { type ConversationOptions, directoryLimits, findAddress, serveDirectory } from './conversation.ts'
import { createDirectoryResponder } from './http.ts'

/** A running atDirectory. */
export type Directory = Pick<Listener, 'port' | 'setContext' | 'connections' | 'close'>

/** Serves the connections of an atDirectory: HTTP where ALPN chose it, else its own protocol. */
function createFrontDesk(options: ConversationOptions) {
  const { clock, log, limits: bounds = directoryLimits } = options
  const clients = createClients({
    clock,
    connections: bounds.connectionsPerClient,
    perSecond: bounds.lookupsPerSecond,
  })
  const http = createHttp({
    ...{ clock, log },
    respond: createDirectoryResponder({
      find: (name) => findAddress(options, name),
      wait: (remoteAddress) => clients.take(remoteAddress, 1),
      log,
    }),
    // Places are counted by client, before a connection is known to speak HTTP.
    reserve: () => () => {},
    onWebSocket: (stream) => void stream.destroy(),
  })
  return {
    welcome(socket: Duplex, { remoteAddress, certificate, alpn }: ConnectionInfo): void {
      const share = clients.admit(remoteAddress)
      if (share === undefined) {
        log('debug', 'a client of the directory has too many connections', { from: remoteAddress })
        socket.destroy()
      } else if (alpn === httpProtocol) {
        socket.once('close', share.leave)
        http.handle(socket, { remoteAddress })
      } else serveDirectory(socket, options, { certificate, share })
    },
    close: () => http.close(),
  }
}

/**
 * Listens as an atDirectory on TLS.
 * @param options `listen.port` 0 takes a free port; `listen.ca` holds the private authorities whose devices may register
 * @throws Error that names the port when it cannot be used
 */
export async function startDirectory(
  options: ConversationOptions & { listen: ServerContext & { host?: string | undefined; port: number } },
): Promise<Directory> {
  const { listen, clock, log, limits: bounds = directoryLimits } = options
  const desk = createFrontDesk(options)
  const listener = await listenTls({
    ...listen,
    alpn: offeredProtocols,
    handshakeMs: limits.handshakeMs,
    maxSockets: bounds.connections,
    knowsTime: () => clock.trusted?.() !== false,
    log,
    onConnection: desk.welcome,
  })
  return {
    port: listener.port,
    setContext: listener.setContext,
    connections: listener.connections,
    close(graceMs) {
      desk.close()
      return listener.close(graceMs)
    },
  }
}
