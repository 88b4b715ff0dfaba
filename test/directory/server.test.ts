import { once } from 'node:events'
import { type Duplex, duplexPair } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { AtError } from '../../src/core/errors.ts'
import { silent } from '../../src/core/log.ts'
import { createClients } from '../../src/directory/clients.ts'
import {
  type Caller,
  type ConversationOptions,
  directoryLimits,
  serveDirectory,
} from '../../src/directory/conversation.ts'
import { createResolver } from '../../src/directory/resolver.ts'
import { startDirectory } from '../../src/directory/server.ts'
import { createTable, parseAddress } from '../../src/directory/table.ts'
import { dialTls } from '../../src/net/dial.ts'
import { issue, newAuthority } from '../net/certificates.ts'
import { manualClock } from '../support/clock.ts'

const table = createTable([
  ['@alice', 'alice.lan:6464'],
  ['bob', '192.168.1.7:6465'],
  ['😀', 'smile.lan:6466'],
])

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** A client of the directory; `writes` holds what came, one entry for each write of the directory. */
function visit(options: Partial<ConversationOptions> = {}, caller: Caller = {}) {
  const clock = manualClock()
  const [near, far] = duplexPair()
  const writes: string[] = []
  near.on('data', (chunk) => writes.push(String(chunk)))
  let ended = false
  near.on('end', () => {
    ended = true
  })
  serveDirectory(far, { table, clock, log: silent, ...options }, caller)
  const say = async (bytes: string | Uint8Array): Promise<void> => {
    near.write(bytes)
    await settle()
  }
  return { clock, near, far, writes, say, ended: () => ended || far.destroyed }
}

describe('an atDirectory', () => {
  it('greets with one byte', async () => {
    const { writes } = visit()
    await settle()
    expect(writes).toEqual(['@'])
  })

  it.each([
    ['alice\n', 'alice.lan:6464'],
    ['@alice\n', 'alice.lan:6464'],
    ['ALICE\r\n', 'alice.lan:6464'],
    ['  @Al.i.ce \n', 'alice.lan:6464'],
    ['bob\n', '192.168.1.7:6465'],
    ['😀\n', 'smile.lan:6466'],
    ['carol\n', 'null'],
    ['\n', 'null'],
    ['@\n', 'null'],
    ['two words\n', 'null'],
    ['a@b@c\n', 'null'],
    ['__proto__\n', 'null'],
  ])('answers %j in one write', async (line, address) => {
    const { writes, say } = visit()
    await say(line)
    expect(writes).toEqual(['@', `${address}\r\n@`])
  })

  it('joins what arrives byte by byte', async () => {
    const { writes, say } = visit()
    for (const byte of Buffer.from('😀\r\n@bob\n')) await say(Buffer.of(byte))
    expect(writes).toEqual(['@', 'smile.lan:6466\r\n@', '192.168.1.7:6465\r\n@'])
  })

  it('answers several names of one chunk one by one and punishes no misses', async () => {
    const { writes, say } = visit()
    await say('\r\nnobody\nno.one\nalice\n')
    expect(writes).toEqual(['@', 'null\r\n@', 'null\r\n@', 'null\r\n@', 'alice.lan:6464\r\n@'])
  })

  it.each([['@exit\n'], ['@exit'], ['@EXIT\r\n'], ['alice\n@exit']])('closes at %j', async (bytes) => {
    const { say, ended } = visit()
    await say(bytes)
    expect(ended()).toBe(true)
  })

  it('does not take the atSign @exit2 for a goodbye', async () => {
    const { writes, say, ended } = visit()
    await say('@exit2\n')
    expect(writes.at(-1)).toBe('null\r\n@')
    expect(ended()).toBe(false)
  })

  it('closes after null when a name is too long or no text', async () => {
    for (const bytes of [`${'x'.repeat(255)}\n`, 'x'.repeat(300), Buffer.from([0xc3, 0x28, 0x0a])]) {
      const { writes, say, ended } = visit()
      await say(bytes)
      const tooLong = Buffer.byteLength(bytes) > 256 || typeof bytes !== 'string'
      expect(writes.at(-1)).toBe('null\r\n@')
      expect(ended()).toBe(tooLong)
    }
  })

  it('closes an idle connection, not a busy one', async () => {
    const { clock, say, ended } = visit()
    clock.advance(directoryLimits.idleMs - 1)
    await say('alice\n')
    clock.advance(directoryLimits.idleMs - 1)
    expect(ended()).toBe(false)
    clock.advance(1)
    expect(ended()).toBe(true)
  })

  it('sees changes of its table at once', async () => {
    const changing = createTable()
    const { writes, say } = visit({ table: changing })
    await say('dave\n')
    changing.set('@Da.ve', 'dave.lan:1')
    await say('dave\n')
    changing.remove('dave')
    await say('dave\n')
    expect(writes.slice(1)).toEqual(['null\r\n@', 'dave.lan:1\r\n@', 'null\r\n@'])
  })

  it('forwards what it does not know, in order', async () => {
    const asked: string[] = []
    const forward = async (atSign: string): Promise<string | undefined> => {
      asked.push(atSign)
      return atSign === '@far' ? 'far.example:64' : undefined
    }
    const { writes, say } = visit({ forward })
    await say('far\nalice\nnobody\n')
    expect(writes.slice(1)).toEqual(['far.example:64\r\n@', 'alice.lan:6464\r\n@', 'null\r\n@'])
    expect(asked).toEqual(['@far', '@nobody'])
  })

  it('answers what was asked before the client closed its side', async () => {
    let tell = (_address: string | undefined): void => {}
    const forward = (): Promise<string | undefined> =>
      new Promise((resolve) => {
        tell = resolve
      })
    const { near, writes, say, ended } = visit({ forward })
    await say('far\nalice\n')
    near.end()
    await settle()
    expect(ended()).toBe(false)
    tell('far.example:64')
    await settle()
    expect(writes.slice(1)).toEqual(['far.example:64\r\n@', 'alice.lan:6464\r\n@'])
    expect(ended()).toBe(true)
  })

  it('hangs up rather than deny an atSign that it cannot ask about now', async () => {
    const { writes, say, ended } = visit({ table: { get: () => Promise.reject(new Error('away')) } })
    await say('far\n')
    expect(writes).toEqual(['@'])
    expect(ended()).toBe(true)
  })

  it('answers later, in order, to a client that asks faster than it may', async () => {
    const clock = manualClock()
    const share = createClients({ clock, connections: 1, perSecond: 2 }).admit('192.0.2.1')
    const { writes, say } = visit({ clock }, { share })
    await say('alice\nbob\nalice\nbob\n')
    expect(writes).toHaveLength(3)
    clock.advance(500)
    await settle()
    expect(writes).toHaveLength(4)
    clock.advance(500)
    await settle()
    expect(writes.slice(3)).toEqual(['alice.lan:6464\r\n@', '192.168.1.7:6465\r\n@'])
  })

  it('passes a registration on with the certificate, and says what became of it', async () => {
    const shown = { trusted: true, clientPurpose: true, names: ['carol.lan'] }
    const seen: unknown[] = []
    const register: ConversationOptions['register'] = async (line, certificate) => {
      seen.push([line, certificate])
      if (line.atSign === '@mallory') throw new AtError('AT0401', 'not for\nyou')
      return true
    }
    const { writes, say } = visit({ register }, { certificate: shown })
    await say('@register:Carol:carol.lan:1\n@unregister:carol\n@register:mallory:a:1\n@register:carol\nalice\n')
    expect(writes.slice(1)).toEqual([
      'data:carol.lan:1\r\n@',
      'data:null\r\n@',
      'error:AT0401-not for you\r\n@',
      'error:AT0003-expected @register:<atSign>:<host>:<port> or @unregister:<atSign>\r\n@',
      'alice.lan:6464\r\n@',
    ])
    expect(seen[0]).toEqual([{ atSign: '@carol', address: 'carol.lan:1' }, shown])
  })

  it('takes a registration for an unknown name where devices may not register, as the reference does', async () => {
    const { writes, say } = visit()
    await say('@register:carol:carol.lan:1\n')
    expect(writes.at(-1)).toBe('null\r\n@')
  })

  it('survives a client that goes away while it is answered', async () => {
    const { near, far, say } = visit()
    await say('alice\n')
    near.destroy()
    far.destroy(new Error('reset'))
    await settle()
    expect(far.destroyed).toBe(true)
  })

  it('serves a resolver over TLS', async () => {
    const authority = await newAuthority('directory')
    const { cert, key } = await issue(authority, ['localhost'])
    const directory = await startDirectory({
      listen: { cert, key, host: '127.0.0.1', port: 0 },
      table,
      clock: systemClock,
      log: silent,
    })
    const dial = (): Promise<Duplex> =>
      dialTls({ host: 'localhost', port: directory.port, ca: [authority.certificate], clock: systemClock })
    const resolver = createResolver({ clock: systemClock, dial })
    expect(await resolver.resolve('@alice')).toEqual({ host: 'alice.lan', port: 6464 })
    await expect(resolver.resolve('@carol')).rejects.toMatchObject({ code: 'AT0007' })
    const raw = await dial()
    const [greeting] = await once(raw, 'data')
    expect(String(greeting)).toBe('@')
    const closed = once(raw, 'close')
    raw.resume()
    raw.end('@exit')
    await closed
    resolver.close()
    await directory.close()
  })
})

describe('a table', () => {
  it('folds names and lists them bare', () => {
    const names = createTable([['@Al.ice', 'a:1']])
    names.set('bob', 'b:2')
    expect(names.get('@ALICE')).toBe('a:1')
    expect(names.entries()).toEqual([
      ['alice', 'a:1'],
      ['bob', 'b:2'],
    ])
    expect(names.remove('@bob')).toBe(true)
    expect(names.remove('@bob')).toBe(false)
  })

  it('refuses names and addresses that no client could use', () => {
    expect(() => createTable([['al ice', 'a:1']])).toThrow('invalid @sign')
    for (const address of ['host', 'host:0', 'host:65536', ':64', 'a b:64', '[::1]:64', 'host:64:64', 'https://a:64']) {
      expect(() => createTable([['alice', address]])).toThrow('has to be host:port')
      expect(parseAddress(address)).toBeUndefined()
    }
  })
})
