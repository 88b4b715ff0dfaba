import { beforeAll, describe, expect, test } from 'vitest'
import { asOwner, asPeer, connectServers, raw, startServer, type TestServer } from '../support/server.ts'

const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
const ownerReply = new RegExp(`^data:_${uuid}@alice:${uuid}\n@$`)

let alice: TestServer
beforeAll(async () => {
  alice = await startServer()
})

describe('from by the owner', () => {
  test.each(['from:@alice', 'from:alice', 'FROM:@ALICE', 'from:@al.ice', 'fr om:@alice'])(
    '%s is answered by _<uuid>@alice:<uuid> and nothing else (page 05, 2.3)',
    async (line) => {
      expect(await (await raw(alice)).ask(line)).toMatch(ownerReply)
    },
  )

  test('gets another challenge of the same session each time', async () => {
    const client = await raw(alice)
    const [first, second] = [await client.ask('from:@alice'), await client.ask('from:@alice')]
    expect(second).not.toBe(first)
    expect(second.slice(0, 42)).toBe(first.slice(0, 42))
  })

  test('keeps the login of an owner session', async () => {
    const owner = await asOwner(alice)
    expect(await owner.ask('from:@alice')).toMatch(/^data:_.*\n@alice@$/)
    expect(await owner.ask('stats:3')).toMatch(/^data: /)
  })
})

describe('from by another atSign', () => {
  test('is answered by a proof that names this atServer (page 08, 11.1)', async () => {
    const reply = await (await raw(alice)).ask('from:@bob')
    const [, token = ''] = new RegExp(`^data:proof:_${uuid}@bob:pol1\\.([A-Za-z0-9_-]+={0,2})\n@$`).exec(reply) ?? []
    expect(JSON.parse(Buffer.from(token, 'base64url').toString('utf8'))).toEqual({
      v: '@alice',
      n: expect.stringMatching(new RegExp(`^${uuid}$`)),
    })
  })

  test('takes an emoji atSign', async () => {
    expect(await (await raw(alice)).ask('from:@🦄🦄')).toMatch(/^data:proof:_[0-9a-f-]{36}@🦄🦄:pol1\./u)
  })

  test('ends the login of an owner session (page 02, section 2)', async () => {
    const owner = await asOwner(alice)
    expect(await owner.ask('from:@bob')).toMatch(/\n@$/)
    expect(await owner.ask('stats:3')).toBe('error:AT0401-Exception: Command cannot be executed without auth\n@')
  })

  test('ends the proof of a peer, whoever asks (page 02, section 2)', async () => {
    const bob = await startServer({ atSign: '@bob' })
    connectServers(alice, bob)
    for (const line of ['from:@bob', 'from:@carol', 'from:@alice']) {
      const peer = await asPeer(alice, bob)
      expect(await peer.ask('noop:0')).toBe('data:ok\n@bob@')
      expect(await peer.ask(line)).toMatch(/^data:.*\n@$/)
      expect(await peer.ask('notify:@alice:x.y@bob:v')).toMatch(/^error:AT0401-.*\n@$/)
    }
  })

  test('is refused and closed when the owner blocks it (page 01, 9.6)', async () => {
    const blocking = await startServer()
    const owner = await asOwner(blocking)
    await owner.ask('update:private:blocklist@alice {"blockList":["@bob"]}')
    const client = await raw(blocking)
    expect(await client.ask('from:@carol')).toMatch(/^data:proof:/)
    expect(await client.ask('from:@bo.b')).toBe('error:AT0013-Exception: Unable to connect\n@')
    expect(await client.closed).toBe('')
  })

  test('stays at the door without a certificate where one is required, and the connection closes', async () => {
    const strict = await startServer({ federation: { clientCertificate: 'required', clientPurpose: 'lenient' } })
    const client = await raw(strict)
    expect(await client.ask('from:@alice')).toMatch(ownerReply)
    expect(await client.ask('from:@bob')).toMatch(/^error:AT0401-Exception: Certificate Verification Failed: .*\n@$/)
    expect(await client.closed).toBe('')
  })
})

describe('from is refused and the connection lives on', () => {
  test.each([
    ['from', 'AT0003'],
    ['from:', 'AT0003'],
    ['from @alice', 'AT0003'],
    ['from:@a b', 'AT0003'],
    ['from:@a@b', 'AT0003'],
    ['from:@a!b', 'AT0011'],
    [`from:@${'a'.repeat(55)}`, 'AT0011'],
    ['from:@alice:config:{}', 'AT0003'],
    ['from:@alice:clientConfig:', 'AT0003'],
    ['from:@alice:clientConfig:{', 'AT0003'],
    ['from:@alice:clientConfig:[]x', 'AT0003'],
    ['from:@alice:clientConfig:null', 'AT0003'],
  ])('%s: %s', async (line, code) => {
    const client = await raw(alice)
    expect(await client.ask(line)).toMatch(new RegExp(`^error:${code}-Exception: [^\n]*\n@$`))
    expect(await client.ask('noop:0')).toBe('data:ok\n@')
  })
})

describe('clientConfig', () => {
  const json = 'error:{"errorCode":"AT0003","errorDescription":"Exception: invalid command"}\n@'
  const plain = 'error:AT0003-Exception: invalid command\n@'

  test.each([
    ['{"version":"3.0.57","clientId":"c1"}', json],
    ['{"version":"3.0.38"}', json],
    ['{"version":"4.0.0"}', json],
    ['{"version":"3.0.37"}', plain],
    ['{"version":"2.9.99"}', plain],
    ['{"version":"newest"}', plain],
    ['{"version":3}', plain],
    ['{"clientId":"c1"}', plain],
    ['{"constructor":1,"__proto__":{"version":"9.0.0"}}', plain],
  ])('%s decides the shape of errors (page 01, 5.3)', async (config, expected) => {
    const client = await raw(alice)
    expect(await client.ask(`from:@alice:clientConfig:${config}`)).toMatch(ownerReply)
    expect(await client.ask('bogus')).toBe(expected)
  })

  test('lasts until another from brings one', async () => {
    const client = await raw(alice)
    await client.ask('from:@alice:clientConfig:{"version":"3.0.57"}')
    await client.ask('from:@alice')
    expect(await client.ask('bogus')).toBe(json)
    await client.ask('from:@alice:clientConfig:{"version":"1.0.0"}')
    expect(await client.ask('bogus')).toBe(plain)
  })
})
