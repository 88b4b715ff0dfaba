import { once } from 'node:events'
import { connect as connectTcp, createServer as createTcpServer } from 'node:net'
import type { Duplex } from 'node:stream'
import { connect as connectTls } from 'node:tls'
import { afterEach, beforeAll, describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { AtError } from '../../src/core/errors.ts'
import { type Log, silent } from '../../src/core/log.ts'
import { type DialOptions, dialTls } from '../../src/net/dial.ts'
import { type ConnectionInfo, type Listener, type ListenOptions, listenTls } from '../../src/net/listen.ts'
import { clientContext } from '../../src/net/tls-context.ts'
import { type Authority, newPemPair } from '../../src/provision/authority.ts'
import { signDraft } from '../../src/provision/x509.ts'
import { manualClock } from '../support/clock.ts'
import {
  day,
  type Identity,
  issue,
  issueForServersOnly,
  issueWithSan,
  newAuthority,
  rootAndBranch,
} from './certificates.ts'

let ours: Authority
let strange: Authority
let server: Identity

beforeAll(async () => {
  ;[ours, strange] = await Promise.all([newAuthority('ours'), newAuthority('strange')])
  server = await issue(ours, ['localhost', '127.0.0.1'])
})

const cleanups: (() => unknown)[] = []

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup()
})

interface Accepted {
  readonly socket: Duplex
  readonly info: ConnectionInfo
}

/** A listener on loopback that greets with `@`, and the connections it accepted. */
async function listen(options: Partial<ListenOptions> = {}): Promise<{ listener: Listener; accepted: Accepted[] }> {
  const accepted: Accepted[] = []
  const listener = await listenTls({
    ...server,
    ca: ours.certificate,
    host: '127.0.0.1',
    port: 0,
    handshakeMs: 5_000,
    log: silent,
    onConnection: (socket, info) => {
      accepted.push({ socket, info })
      socket.write('@')
    },
    ...options,
  })
  cleanups.push(() => listener.close())
  return { listener, accepted }
}

async function dial(port: number, options: Partial<DialOptions> = {}): Promise<Duplex> {
  const socket = await dialTls({ host: 'localhost', port, ca: [ours.certificate], clock: systemClock, ...options })
  cleanups.push(() => socket.destroy())
  return socket
}

const refusal = async (dialling: Promise<unknown>): Promise<string> => {
  const error = await dialling.then(
    () => 'connected',
    (reason: unknown) => reason,
  )
  return error instanceof AtError ? `${error.code} ${error.message}` : String(error)
}

describe('dialling', () => {
  it('reaches a listener by name and by address, and bytes go both ways', async () => {
    const { listener, accepted } = await listen()
    for (const host of ['localhost', '127.0.0.1']) {
      const socket = await dial(listener.port, { host })
      const [greeting] = await once(socket, 'data')
      expect(String(greeting)).toBe('@')
      const heard = once((accepted.at(-1) as Accepted).socket, 'data')
      socket.write('scan\n')
      expect(String((await heard)[0])).toBe('scan\n')
    }
    expect(listener.connections()).toBe(2)
  })

  it('checks the name that the certificate must carry', async () => {
    const { listener } = await listen()
    const wrong = await refusal(dial(listener.port, { servername: 'alice.example' }))
    expect(wrong).toContain(`AT0021 Unable to connect to localhost:${listener.port}: its certificate is for another`)
    expect(await refusal(dial(listener.port, { servername: '10.1.2.3' }))).toContain('another host name')
    await dial(listener.port, { host: '127.0.0.1', servername: 'localhost' })
    await dial(listener.port, { servername: '127.0.0.1' })
  })

  it('refuses authorities it does not know', async () => {
    const { listener } = await listen()
    for (const ca of [undefined, [strange.certificate]]) {
      expect(await refusal(dial(listener.port, { ca }))).toContain('unknown authority')
    }
    await dial(listener.port, { ca: [strange.certificate, ours.certificate] })
    await dial(listener.port, { ca: undefined, context: clientContext({ ca: [ours.certificate] }) })
  })

  it('refuses an expired certificate', async () => {
    const { listener } = await listen(await issue(ours, ['localhost'], Date.now() - 900 * day))
    expect(await refusal(dial(listener.port))).toContain('its certificate has expired')
  })

  describe('while nobody knows the time', () => {
    const lost: Partial<DialOptions> = { clock: { ...systemClock, trusted: () => false } }

    it.each([-900, 900])(
      'takes a certificate whose dates are %d days off, and judges all the rest of it',
      async (off) => {
        const { listener } = await listen(await issue(ours, ['localhost'], Date.now() + off * day))
        await dial(listener.port, lost)
        expect(await refusal(dial(listener.port, { ...lost, ca: [strange.certificate] }))).toContain('AT0021')
        expect(await refusal(dial(listener.port, { ...lost, ca: undefined }))).toContain('AT0021')
        expect(await refusal(dial(listener.port, { ...lost, servername: 'alice.example' }))).toContain('AT0021')
      },
    )

    it('judges a certificate of today as ever', async () => {
      const { listener } = await listen()
      await dial(listener.port, lost)
      expect(await refusal(dial(listener.port, { ...lost, ca: [strange.certificate] }))).toContain('unknown authority')
      expect(await refusal(dial(listener.port, { ...lost, servername: 'alice.example' }))).toContain('another host')
    })

    it('takes the certificate of a client whose dates are off, from an authority that it knows', async () => {
      const own = await issue(ours, ['alice.example'], Date.now() - 900 * day)
      const other = await issue(strange, ['alice.example'], Date.now() - 900 * day)
      const judged = async (knows: boolean, shown: typeof own) => {
        const { listener, accepted } = await listen({ knowsTime: () => knows })
        const socket = await dial(listener.port, shown)
        await once(socket, 'data')
        return accepted[0]?.info.certificate?.trusted
      }
      expect([await judged(false, own), await judged(true, own), await judged(false, other)]).toEqual([
        true,
        false,
        false,
      ])
    })
  })

  it('says that nobody listens', async () => {
    const { listener } = await listen()
    await listener.close()
    expect(await refusal(dial(listener.port))).toContain(`localhost:${listener.port}: connection refused`)
    expect(await refusal(dial(70_000))).toContain('AT0021 Unable to connect to localhost:70000')
  })

  it('gives up after its time on a server that accepts and says nothing', async () => {
    const silentServer = createTcpServer(() => {}).listen(0, '127.0.0.1')
    await once(silentServer, 'listening')
    cleanups.push(() => silentServer.close())
    const clock = manualClock()
    const { port } = silentServer.address() as { port: number }
    const accepted = once(silentServer, 'connection')
    const dialling = refusal(dialTls({ host: '127.0.0.1', port, clock, timeoutMs: 4_000 }))
    const [socket] = await accepted
    clock.advance(4_000)
    expect(await dialling).toContain('timed out')
    socket.destroy()
  })

  it.each([
    ['plain text', 'HTTP/1.1 400 Bad Request\r\n\r\n', 'does not speak TLS'],
    ['nothing but an end', '', 'closed during the TLS handshake'],
  ])('names a server that answers %s', async (_name, bytes, reason) => {
    const plain = createTcpServer((socket) => {
      socket.on('error', () => {})
      socket.once('data', () => socket.end(bytes))
    }).listen(0, '127.0.0.1')
    await once(plain, 'listening')
    cleanups.push(() => plain.close())
    const { port } = plain.address() as { port: number }
    expect(await refusal(dial(port, { host: '127.0.0.1' }))).toContain(reason)
  })
})

describe('a listener', () => {
  const certificateOf = async (identity: Identity | undefined): Promise<ConnectionInfo['certificate']> => {
    const { listener, accepted } = await listen()
    const socket = await dial(listener.port, { ...identity })
    await once(socket, 'data')
    return accepted[0]?.info.certificate
  }

  it('welcomes clients without a certificate', async () => {
    expect(await certificateOf(undefined)).toBeUndefined()
  })

  it('tells whose certificate a client shows', async () => {
    expect(await certificateOf(await issue(ours, ['Bob.Example', '10.0.0.7']))).toEqual({
      trusted: true,
      private: true,
      clientPurpose: true,
      names: ['bob.example', '10.0.0.7'],
    })
  })

  it('trusts a certificate for servers only, and says so', async () => {
    const judged = await certificateOf(await issueForServersOnly(ours, 'bob.example'))
    expect(judged).toEqual({ trusted: true, private: true, clientPurpose: false, names: ['bob.example'] })
  })

  it('takes no name out of entries of the SAN that are not host names or addresses', async () => {
    const email = 1
    const uri = 6
    const shown = await issueWithSan(ours, 'mallory.example', [
      { type: uri, value: 'urn:DNS:alice.lan' },
      { type: uri, value: 'urn:x, DNS:alice.lan' },
      { type: uri, value: 'urn:", DNS:alice.lan' },
      { type: email, value: 'x@DNS:alice.lan' },
      { type: email, value: 'x@IP Address:10.0.0.7' },
      { type: 2, value: 'x, DNS:alice.lan' },
      { type: 2, value: 'last.example' },
    ])
    expect((await certificateOf(shown))?.names).toEqual(['last.example', 'mallory.example'])
  })

  it('does not trust unknown authorities, though they send their chain along', async () => {
    expect(await certificateOf(await issue(strange, ['bob.example']))).toMatchObject({ trusted: false })
    expect(await certificateOf(await issueForServersOnly(strange, 'bob.example'))).toMatchObject({
      trusted: false,
      clientPurpose: false,
    })
  })

  it('does not trust a chain that only mentions a known authority', async () => {
    const { cert, key } = await issueForServersOnly(strange, 'bob.example')
    expect(await certificateOf({ cert: cert + ours.certificate, key })).toMatchObject({ trusted: false })
  })

  it('does not trust a certificate that a trusted host issued', async () => {
    const host = await issue(ours, ['mallory.example'])
    const forged = await issueForServersOnly({ certificate: host.cert, key: host.key }, 'bob.example')
    expect(await certificateOf(forged)).toMatchObject({ trusted: false })
  })

  it('follows a chain over an authority in between, within the lengths that authorities allow', async () => {
    const { root, branch } = await rootAndBranch()
    const shown = await issue(branch, ['bob.example'])
    const { listener, accepted } = await listen({ ca: ours.certificate + root.certificate })
    await once(await dial(listener.port, shown), 'data')
    expect(accepted[0]?.info.certificate).toMatchObject({ trusted: true })
    // `ours` may issue for hosts only (pathLenConstraint 0).
    const { publicKey, privateKey } = await newPemPair()
    const between = await signDraft(
      {
        ...{ commonName: 'between', publicKey, notBefore: Date.now() - 2 * day, notAfter: Date.now() + day },
        extensions: [{ name: 'basicConstraints', critical: true, cA: true }],
      },
      ours,
    )
    const tooLong = await issue({ certificate: between + ours.certificate, key: privateKey }, ['bob.example'])
    expect(await certificateOf(tooLong)).toMatchObject({ trusted: false })
  })

  it('trusts a certificate that is itself among the authorities', async () => {
    const self = await newAuthority('pinned')
    const { listener, accepted } = await listen({ ca: ours.certificate + self.certificate })
    await once(await dial(listener.port, { cert: self.certificate, key: self.key }), 'data')
    expect(accepted[0]?.info.certificate).toMatchObject({ trusted: true })
  })

  it('names no authorities in its handshakes, so that they stay small and every client shows what it has', async () => {
    const { listener } = await listen()
    const carrier = connectTcp(listener.port, '127.0.0.1')
    const socket = connectTls({ socket: carrier, servername: 'localhost', ca: ours.certificate })
    await once(socket, 'secureConnect')
    expect(carrier.bytesRead).toBeLessThan(6_000)
    socket.destroy()
  })

  it('does not trust an expired certificate', async () => {
    expect(await certificateOf(await issue(ours, ['bob.example'], Date.now() - 900 * day))).toMatchObject({
      trusted: false,
    })
  })

  it('speaks TLS 1.2 and 1.3 and nothing older', async () => {
    const { listener } = await listen()
    for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
      const socket = connectTls({ port: listener.port, ca: ours.certificate, minVersion: version, maxVersion: version })
      await once(socket, 'secureConnect')
      expect(socket.getProtocol()).toBe(version)
      socket.destroy()
    }
    const old = connectTls({ port: listener.port, ca: ours.certificate, minVersion: 'TLSv1', maxVersion: 'TLSv1.1' })
    await expect(once(old, 'secureConnect')).rejects.toThrow()
  })

  it.each(['TLSv1.2', 'TLSv1.3'] as const)(
    'judges a client that comes again with its %s session as before',
    async (version) => {
      const { root, branch } = await rootAndBranch()
      const shown = await issue(branch, ['bob.example'])
      const { listener, accepted } = await listen({ ca: root.certificate })
      let session: Buffer | undefined
      const visit = async (): Promise<void> => {
        const socket = connectTls({
          ...{ ...shown, ca: ours.certificate, servername: 'localhost', port: listener.port },
          ...{ minVersion: version, maxVersion: version, ...(session === undefined ? {} : { session }) },
        })
        const closed = once(socket, 'close')
        socket.on('session', (given: Buffer) => (session = given))
        await once(socket, 'data')
        session ??= socket.getSession()
        socket.destroy()
        await closed
      }
      await visit()
      expect(session).toBeDefined()
      await visit()
      const judged = { trusted: true, private: true, clientPurpose: true, names: ['bob.example'] }
      expect(accepted.map(({ info }) => info.certificate)).toEqual([judged, judged])
    },
  )

  it('offers protocols by ALPN to those who ask', async () => {
    const { listener, accepted } = await listen({ alpn: ['atProtocol/1.0', 'http/1.1'] })
    await once(await dial(listener.port), 'data')
    const asking = connectTls({ port: listener.port, ca: ours.certificate, ALPNProtocols: ['http/1.1'] })
    await once(asking, 'data')
    asking.destroy()
    expect(accepted.map(({ info }) => info.alpn)).toEqual([undefined, 'http/1.1'])
  })

  it('shows a new certificate without dropping connections', async () => {
    const { listener, accepted } = await listen()
    const before = await dial(listener.port)
    await once(before, 'data')
    const next = await issue(strange, ['localhost'])
    listener.setContext({ ...next, ca: strange.certificate })
    const after = await dial(listener.port, { ca: [strange.certificate], ...(await issue(strange, ['bob.example'])) })
    await once(after, 'data')
    expect(accepted.at(-1)?.info.certificate).toMatchObject({ trusted: true })
    accepted[0]?.socket.write('still here')
    expect(String((await once(before, 'data'))[0])).toBe('still here')
  })

  it('refuses certificates that cannot be used, now and later', async () => {
    const other = await issue(ours, ['localhost'])
    await expect(listen({ key: other.key })).rejects.toThrow('The TLS certificate and its key cannot be used')
    const { listener } = await listen()
    expect(() => listener.setContext({ cert: 'nonsense', key: server.key })).toThrow('cannot be used')
    await dial(listener.port)
  })

  it('names the port that is busy', async () => {
    const { listener } = await listen()
    await expect(listen({ port: listener.port })).rejects.toThrow(
      `Cannot listen on port ${listener.port} of 127.0.0.1: another program uses it already`,
    )
  })

  it('drops open connections and half-open handshakes when it closes', async () => {
    const { listener } = await listen()
    const socket = await dial(listener.port)
    socket.resume()
    const half = connectTcp(listener.port, '127.0.0.1')
    half.on('error', () => {})
    await once(half, 'connect')
    const gone = Promise.all([once(socket, 'close'), once(half, 'close')])
    await listener.close()
    await gone
    expect(listener.connections()).toBe(0)
  })

  it('does not wait for a client that leaves during the handshake', async () => {
    const { listener } = await listen({ handshakeMs: 60_000 })
    const distrusting = dialTls({ host: 'localhost', port: listener.port, clock: systemClock })
    await expect(distrusting).rejects.toThrow('unknown authority')
    await listener.close(60_000)
  })

  it('waits for connections that end in time', async () => {
    const { listener, accepted } = await listen()
    const socket = await dial(listener.port)
    await once(socket, 'data')
    const closing = listener.close(60_000)
    accepted[0]?.socket.end('last words')
    expect(String((await once(socket, 'data'))[0])).toBe('last words')
    socket.destroy()
    await closing
  })

  it('logs a failed handshake and goes on', async () => {
    const messages: string[] = []
    const log: Log = (_level, message) => messages.push(message)
    const { listener } = await listen({ log })
    const plain = connectTcp(listener.port, '127.0.0.1')
    plain.on('error', () => {})
    plain.resume()
    plain.write('GET / HTTP/1.1\r\n\r\n')
    await once(plain, 'close')
    await dial(listener.port)
    expect(messages).toContain('TLS handshake failed')
  })

  it('takes no more sockets than it may; those that linger in their handshake give way', async () => {
    const { listener } = await listen({ maxSockets: 3 })
    const inUse = await dial(listener.port)
    await once(inUse, 'data')
    const lingering = [0, 1].map(() => connectTcp(listener.port, '127.0.0.1'))
    const closed = lingering.map((socket) => once(socket.on('error', () => {}).resume(), 'close'))
    for (const socket of lingering) await once(socket, 'connect')
    await once(await dial(listener.port), 'data')
    await closed[0]
    await once(await dial(listener.port), 'data')
    await closed[1]
    expect(await refusal(dial(listener.port))).toContain('AT0021')
    expect(inUse.destroyed).toBe(false)
  })

  describe.each(['TLSv1.2', 'TLSv1.3'] as const)('%s', (version) => {
    const answer = 'x'.repeat(100_000)
    /** A client whose bytes pass a relay, and what the relay holds towards the listener. */
    async function relayed() {
      const { listener, accepted } = await listen()
      const far = connectTcp({ port: listener.port, host: '127.0.0.1', allowHalfOpen: true })
      const relay = createTcpServer({ allowHalfOpen: true }, (near) => near.pipe(far).pipe(near)).listen(0, '127.0.0.1')
      cleanups.push(() => relay.close())
      await once(relay, 'listening')
      const only = { minVersion: version, maxVersion: version, ca: ours.certificate }
      const client = connectTls({ ...only, port: (relay.address() as { port: number }).port })
      cleanups.push(() => client.destroy())
      client.allowHalfOpen = true
      await once(client, 'data')
      return { client, far, server: (accepted[0] as Accepted).socket }
    }

    it.each(['close_notify', 'a bare FIN'])(
      'a client that has closed its side by %s is still answered',
      async (how) => {
        const { client, far, server: socket } = await relayed()
        client.write('last command')
        expect(String((await once(socket, 'data'))[0])).toBe('last command')
        const ended = once(socket, 'end')
        if (how === 'close_notify') client.end()
        else far.end()
        await ended
        socket.end(answer)
        let received = ''
        client.on('data', (chunk: Buffer) => (received += String(chunk)))
        await once(client, 'end')
        expect(received).toBe(answer)
      },
    )
  })
})
