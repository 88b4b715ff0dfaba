import { execFile } from 'node:child_process'
import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import { type ConnectionOptions, connect, createServer, type DetailedPeerCertificate, type TlsOptions } from 'node:tls'
import { promisify } from 'node:util'

const run = promisify(execFile)

/** What `openssl <args>` prints; rejects with its complaint. */
export const openssl = async (...args: string[]): Promise<string> => (await run('openssl', args)).stdout

/** One side's judgement of the other. */
export interface Judgement {
  readonly authorized: boolean
  readonly reason: string
  readonly commonName: string | readonly string[] | undefined
}

/** What both sides of one TLS connection over the loopback think of each other; rejects when the client refuses. */
export async function handshake(
  server: TlsOptions,
  client: ConnectionOptions,
): Promise<{ byServer: Judgement; byClient: Judgement }> {
  const listener = createServer({ ...server, requestCert: true, rejectUnauthorized: false })
  listener.on('tlsClientError', () => {})
  listener.listen(0, '127.0.0.1')
  await once(listener, 'listening')
  try {
    const accepted = once(listener, 'secureConnection')
    const socket = connect({ ...client, port: (listener.address() as AddressInfo).port })
    await once(socket, 'secureConnect')
    const [peer] = await accepted
    const judged = { byServer: judge(peer), byClient: judge(socket) }
    peer.on('error', () => {})
    socket.destroy()
    peer.destroy()
    return judged
  } finally {
    listener.close()
  }
}

interface Judging {
  readonly authorized: boolean
  readonly authorizationError: unknown
  getPeerCertificate(detailed: true): Partial<DetailedPeerCertificate>
}

const judge = (socket: Judging): Judgement => ({
  authorized: socket.authorized,
  reason: String(socket.authorizationError ?? ''),
  commonName: socket.getPeerCertificate(true).subject?.CN,
})
