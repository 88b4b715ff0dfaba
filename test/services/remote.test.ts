import { beforeEach, describe, expect, it } from 'vitest'
import { startAlice } from '../support/alice.ts'
import { type Answer, newCertificate, type ScriptedPeer, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

let network: TestNetwork
let owner: Client

beforeEach(async () => {
  ;({ network, owner } = await startAlice())
})

/** A peer whose answers to `lookup:all:` are these bytes behind `data:`, prompt added. */
function answering(records: Record<string, string>): Promise<ScriptedPeer> {
  const answer: Answer = (line, { usual }) => {
    const entity = /^lookup:all:([^@]+)@bob$/.exec(line)?.[1]
    const text = entity === undefined ? undefined : records[entity]
    return text === undefined ? usual() : `${text}\n@alice@`
  }
  return network.script('@bob', answer)
}

const shared = (metaData: object, data = 'v1'): string =>
  `data:${JSON.stringify({ key: '@alice:phone.wavi@bob', data, metaData })}`
const open = (metaData: object, data = 'v1'): string =>
  `data:${JSON.stringify({ key: 'public:phone@bob', data, metaData })}`
const lastCommit = async (): Promise<string> => /"value":"(-?\d+)"/.exec(await owner.ask('stats:3'))?.[1] ?? ''
const copies = async (): Promise<string> => owner.ask('scan ^cached:')

describe('a copy of another atSign’s record', () => {
  it('is kept where its owner allows it, with the times of the owner, and answers until it has to be refreshed', async () => {
    const records = {
      'phone.wavi': shared({
        ...{ ttr: 3600, ccd: true, createdAt: '2020-01-02 03:04:05.678Z', updatedAt: '2021-02-03 04:05:06.789Z' },
        ...{ expiresAt: '2030-01-01 00:00:00.000Z', createdBy: '@bob', version: 7, isEncrypted: true, ivNonce: 'iv==' },
      }),
    }
    const bob = await answering(records)
    expect(await owner.ask('lookup:phone.wavi@bob')).toBe('data:v1\n@alice@')
    expect(JSON.parse((await owner.ask('llookup:all:cached:@alice:phone.wavi@bob')).slice(5, -8))).toEqual({
      key: 'cached:@alice:phone.wavi@bob',
      data: 'v1',
      metaData: {
        ...{ createdBy: '@bob', updatedBy: '@alice', status: 'active', version: 0, ttr: 3600, ccd: true },
        ...{ createdAt: '2020-01-02 03:04:05.678Z', updatedAt: '2021-02-03 04:05:06.789Z' },
        ...{ expiresAt: '2030-01-01 00:00:00.000Z', refreshAt: '2026-01-31 11:00:00.000Z' },
        ...{ isEncrypted: true, ivNonce: 'iv==' },
      },
    })
    records['phone.wavi'] = shared({ ttr: 3600 }, 'v2')
    network.clock.advance(3_600_000)
    owner = await network.member('@alice').owner()
    expect(await owner.ask('lookup:all:phone.wavi@bob')).toMatch(
      /^data:\{"key":"cached:@alice:phone.wavi@bob","data":"v1"/,
    )
    expect(bob.linesWith('lookup:all:phone')).toHaveLength(1)
    network.clock.advance(1)
    expect(await owner.ask('lookup:all:phone.wavi@bob')).toMatch(/^data:\{"key":"@alice:phone.wavi@bob","data":"v2"/)
    expect(await owner.ask('lookup:phone.wavi@bob')).toBe('data:v2\n@alice@')
    expect(bob.linesWith('lookup:all:phone')).toHaveLength(2)
  })

  it('is first shown with the version and the last writer that its owner told', async () => {
    await answering({ 'phone.wavi': shared({ ttr: 3600, version: 7, updatedBy: '@mallory', createdBy: '@mallory' }) })
    const metaData = { createdBy: '@bob', updatedBy: '@bob', status: 'active', version: 7, ttr: 3600 }
    expect(JSON.parse((await owner.ask('lookup:all:phone.wavi@bob')).slice(5, -8))).toEqual({
      ...{ key: '@alice:phone.wavi@bob', data: 'v1', metaData },
    })
  })

  it('is passed over on request, and is then as new as the answer', async () => {
    const records = { 'phone.wavi': shared({ ttr: -1 }) }
    await answering(records)
    await owner.ask('lookup:phone.wavi@bob')
    records['phone.wavi'] = shared({ ttr: -1 }, 'v2')
    expect(await owner.ask('lookup:phone.wavi@bob')).toBe('data:v1\n@alice@')
    expect(await owner.ask('lookup:bypassCache:true:phone.wavi@bob')).toBe('data:v2\n@alice@')
    expect(await owner.ask('lookup:phone.wavi@bob')).toBe('data:v2\n@alice@')
  })

  it('is not kept without permission, and an earlier one goes', async () => {
    const records = { phone: open({}) }
    await answering(records)
    expect(await owner.ask('plookup:phone@bob')).toBe('data:v1\n@alice@')
    expect(await copies()).toBe('data:[]\n@alice@')
    records.phone = open({ ttr: 60 })
    await owner.ask('plookup:phone@bob')
    expect(await copies()).toBe('data:["cached:public:phone@bob"]\n@alice@')
    records.phone = open({ ttr: 0 }, 'v3')
    expect(await owner.ask('plookup:bypassCache:true:phone@bob')).toBe('data:v3\n@alice@')
    expect(await copies()).toBe('data:[]\n@alice@')
  })

  it.each([
    ['says so', 'error:AT0015-Exception: gone'],
    ['answers null', 'data:null'],
  ])('goes when the owner of the record %s', async (_how, gone) => {
    const records = { 'phone.wavi': shared({ ttr: -1 }) }
    await answering(records)
    await owner.ask('lookup:phone.wavi@bob')
    const before = Number(await lastCommit())
    records['phone.wavi'] = gone
    const missing = 'error:AT0015-key not found : @alice:phone.wavi@bob does not exist in keystore\n@alice@'
    expect(await owner.ask('lookup:bypassCache:true:phone.wavi@bob')).toBe(missing)
    expect(await copies()).toBe('data:[]\n@alice@')
    expect(await lastCommit()).toBe(String(before + 1))
    expect(await owner.ask('lookup:phone.wavi@bob')).toBe(missing)
    expect(await lastCommit()).toBe(String(before + 1))
  })

  it('of an encryption key stays whatever its owner says about caching', async () => {
    const records = { publickey: 'data:{"key":"public:publickey@bob","data":"KEY1","metaData":{"ttl":1000}}' }
    await answering(records)
    expect(await owner.ask('plookup:publickey@bob')).toBe('data:KEY1\n@alice@')
    expect(await owner.ask('plookup:meta:publickey@bob')).toContain('"ttr":-1')
    records.publickey = 'data:null'
    expect(await owner.ask('plookup:bypassCache:true:publickey@bob')).toContain('error:AT0015')
    expect(await copies()).toBe('data:["cached:public:publickey@bob"]\n@alice@')
  })

  it('of an encryption key is made on the first connection for our own purposes, not by strangers who have us call', async () => {
    const key = 'data:{"key":"public:publickey@bob","data":"KEY1","metaData":{}}'
    const bob = await answering({ publickey: key })
    const stranger = await network.connect('@alice')
    expect(await bob.prove(stranger)).toBe('@bob@')
    expect(await copies()).toBe('data:[]\n@alice@')
    await owner.ask('lookup:phone.wavi@bob')
    expect(await copies()).toBe('data:["cached:public:publickey@bob"]\n@alice@')
    expect(await owner.ask('plookup:publickey@bob')).toBe('data:KEY1\n@alice@')
    expect(bob.linesWith('lookup:all:publickey')).toHaveLength(1)
  })

  it('of an encryption key that changed sets the keys of the pair aside, and keeps the latest of many', async () => {
    const pairKeys = async (): Promise<string[]> =>
      JSON.parse((await owner.ask('scan ^shared_key')).slice(5, -8)) as string[]
    await owner.ask('update:shared_key.bob@alice K0')
    for (let turn = 1; turn <= 12; turn++) {
      await answering({ publickey: `data:{"key":"public:publickey@bob","data":"KEY${turn}","metaData":{}}` })
      await owner.ask('plookup:bypassCache:true:publickey@bob')
      if (turn === 1) expect(await pairKeys()).toEqual(['shared_key.bob@alice'])
      network.clock.advance(1_000)
      await owner.ask(`update:shared_key.bob@alice K${turn}`)
    }
    const kept = await pairKeys()
    expect(kept.filter((name) => name.startsWith('shared_key.bob.until.'))).toHaveLength(8)
    expect(kept).toContain('shared_key.bob@alice')
    expect(await owner.ask(`llookup:shared_key.bob.until.${network.clock.now() - 1_000}@alice`)).toBe(
      'data:K11\n@alice@',
    )
    const before = await owner.ask('stats:3')
    await owner.ask('plookup:publickey@bob')
    expect(await owner.ask('stats:3')).toBe(before)
  })

  describe('of an encryption key that changed', () => {
    const event = '{"category":"atProtocol","name":"atsign_pk_changed","data":{"atSign":"@bob"}}'
    const events = async (): Promise<string[]> => JSON.parse((await owner.ask('scan __atserver')).slice(5, -8))
    const learn = async (value: string): Promise<void> => {
      await answering({
        publickey: `data:{"key":"public:publickey@bob","data":"${value}","metaData":{"createdAt":"2020-01-02 03:04:05.678Z"}}`,
      })
      await owner.ask('plookup:bypassCache:true:publickey@bob')
    }

    it('leaves an event that the clients read and cannot write, and tells monitors of it', async () => {
      const monitor = await network.member('@alice').owner()
      monitor.write(`monitor:selfNotifications \\.events\\.__atserver@alice$\nnoop:0\n`)
      await monitor.take(/^data:ok\n/)
      await learn('KEY1')
      expect(await events()).toEqual([])
      network.clock.advance(1_000)
      await learn('KEY2')
      const key = `${network.clock.now()}000.events.__atserver@alice`
      expect(await events()).toEqual([key])
      expect(await owner.ask(`llookup:${key}`)).toBe(`data:${event}\n@alice@`)
      const line = await monitor.take(/^notification: [^\n]*"key"[^\n]*__atserver[^\n]*\n/)
      expect(JSON.parse(line.slice('notification: '.length))).toMatchObject({ from: '@alice', key, value: event })
    })

    it('leaves one event of each atSign, the latest, and tells since when the key is known', async () => {
      await learn('KEY1')
      for (const value of ['KEY2', 'KEY3', 'KEY3', 'KEY4']) {
        network.clock.advance(1_000)
        await learn(value)
      }
      expect(await events()).toEqual([`${network.clock.now()}000.events.__atserver@alice`])
      expect(await owner.ask('llookup:meta:cached:public:publickey@bob')).toContain(
        '"createdAt":"2026-01-31 10:00:04.000Z"',
      )
    })
  })

  it('answers in place of an owner who cannot be reached, unless the copy’s life is over or it is passed over', async () => {
    const bob = await answering({ 'phone.wavi': shared({ ttr: 60, expiresAt: '2026-01-31 10:30:00.000Z' }) })
    await owner.ask('lookup:phone.wavi@bob')
    network.clock.advance(60_001)
    await bob.close()
    expect(await owner.ask('lookup:all:phone.wavi@bob')).toMatch(
      /^data:\{"key":"cached:@alice:phone.wavi@bob","data":"v1"/,
    )
    expect(await owner.ask('lookup:bypassCache:true:phone.wavi@bob')).toContain('error:AT0021')
    await answering({ 'phone.wavi': 'error:AT0009-Exception: not for you' })
    network.clock.advance(10_000)
    expect(await owner.ask('lookup:phone.wavi@bob')).toContain('error:AT0009')
    await (await network.script('@bob')).close()
    network.clock.advance(30 * 60_000)
    owner = await network.member('@alice').owner()
    expect(await owner.ask('lookup:phone.wavi@bob')).toContain('error:AT0021')
  })

  it('answers in place of a host that speaks no atProtocol', async () => {
    const bob = await answering({ 'phone.wavi': shared({ ttr: 60 }) })
    await owner.ask('lookup:phone.wavi@bob')
    network.clock.advance(60_001)
    await bob.close()
    await network.script('@bob', () => 'HTTP/1.1 502 Bad Gateway\r\n\r\n')
    expect(await owner.ask('lookup:phone.wavi@bob')).toBe('data:v1\n@alice@')
    expect(await owner.ask('lookup:bypassCache:true:phone.wavi@bob')).toContain('error:AT0008')
  })

  it('of an encryption key is checked on every new connection, before the proof', async () => {
    const records = { publickey: 'data:{"key":"public:publickey@bob","data":"KEY1","metaData":{}}' }
    await answering(records)
    await owner.ask('plookup:publickey@bob')
    const again = await answering({ publickey: 'data:{"key":"public:publickey@bob","data":"KEY2","metaData":{}}' })
    await owner.ask('lookup:phone.wavi@bob')
    expect(again.lines.map(({ line }) => line)).toEqual([
      ...['lookup:all:publickey@bob', 'from:@alice', 'pol', 'lookup:all:phone.wavi@bob'],
    ])
    expect(await owner.ask('plookup:publickey@bob')).toBe('data:KEY2\n@alice@')
  })
})

describe('copies of one atSign that become too many', () => {
  it('are not kept, and answer all the same', async () => {
    const peerQuota = { notifications: { count: 9, bytes: 9_000 }, copies: { count: 2, bytes: 9_000_000 } }
    ;({ network, owner } = await startAlice({ peerQuota }))
    const peer = (name: '@bob' | '@carol') =>
      network.script(name, (line, { usual }) => {
        const entity = /^lookup:all:([^@]+)@/.exec(line)?.[1]
        if (entity === undefined || entity === 'publickey') return usual()
        return `data:{"key":"@alice:${entity}${name}","data":"${entity}","metaData":{"ttr":-1}}\n@alice@`
      })
    await peer('@bob')
    await peer('@carol')
    for (const key of ['k1.wavi@bob', 'k2.wavi@bob', 'k3.wavi@bob', 'k4.wavi@bob', 'k1.wavi@carol']) {
      expect(await owner.ask(`lookup:${key}`)).toBe(`data:${key.replace(/@.*/, '')}\n@alice@`)
    }
    expect(JSON.parse((await copies()).slice(5, -8))).toEqual(
      ['k1.wavi@bob', 'k1.wavi@carol', 'k2.wavi@bob'].map((key) => `cached:@alice:${key}`),
    )
  })
})

describe('an answer that a peer makes up', () => {
  it.each([
    ['another record', '{"key":"@alice:other.wavi@bob","data":"x","metaData":{"ttr":-1}}'],
    ['a record of somebody else', '{"key":"@alice:phone.wavi@carol","data":"x","metaData":{"ttr":-1}}'],
    ['a record for somebody else', '{"key":"@carol:phone.wavi@bob","data":"x","metaData":{"ttr":-1}}'],
    ['a public record', '{"key":"public:phone.wavi@bob","data":"x","metaData":{"ttr":-1}}'],
    ['our own credential', '{"key":"privatekey:at_secret","data":"x","metaData":{"ttr":-1}}'],
    ['a copy', '{"key":"cached:@alice:phone.wavi@bob","data":"x","metaData":{"ttr":-1}}'],
    ['no key', '{"data":"x","metaData":{"ttr":-1}}'],
    ['a key that is none', '{"key":{"toString":1},"data":"x"}'],
    ['a broken atSign', '{"key":"@a@b@c:x@","data":"x"}'],
    ['no record at all', '[1,2]'],
    ['no JSON', 'hello'],
  ])('is refused when it is %s', async (_what, text) => {
    await answering({ 'phone.wavi': `data:${text}` })
    expect(await owner.ask('lookup:phone.wavi@bob')).toMatch(/^error:AT0008-Handshake failure : @bob /)
    expect(await copies()).toBe('data:[]\n@alice@')
    expect(await owner.ask('scan wavi')).toBe('data:[]\n@alice@')
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  it('loses the metadata that have no sense, and nothing else', async () => {
    const deep = JSON.parse(`${'{"a":'.repeat(50)}1${'}'.repeat(50)}`) as object
    await answering({
      'phone.wavi': shared({
        ...{ ttr: '60', ttl: -5, ttb: 'soon', ccd: 'maybe', isBinary: 7, ivNonce: 'a b', sharedKeyEnc: { x: 1 } },
        ...{ createdBy: '@a@b', createdAt: 'yesterday', updatedAt: 5, expiresAt: '2026-02-30 00:00:00.000Z' },
        ...{ pubKeyHash: 'x', hashingAlgo: 'sha256', appMetadata: deep, unknown: true, status: 'active', version: 'x' },
      }),
    })
    expect(await owner.ask('lookup:phone.wavi@bob')).toBe('data:v1\n@alice@')
    const copy = JSON.parse((await owner.ask('llookup:meta:cached:@alice:phone.wavi@bob')).slice(5, -8)) as object
    expect(copy).toEqual({
      ...{ createdBy: '@bob', updatedBy: '@alice', status: 'active', version: 0, ttr: 60 },
      refreshAt: '2026-01-31 10:01:00.000Z',
    })
  })

  it('cannot hold up or end the owner’s connection', async () => {
    for (const code of ['AT0002', 'AT0005', 'AT0012', 'AT0013', 'AT0024', 'AT9999']) {
      await answering({ 'phone.wavi': `error:${code}-Exception: made up` })
      expect(await owner.ask('lookup:phone.wavi@bob')).toMatch(/^error:AT\d{4}-/)
      expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
    }
  })
})

describe('a peer that cannot be asked', () => {
  it('is told apart from one that has no such record', async () => {
    const bob = await network.script('@bob')
    expect(await owner.ask('lookup:phone.wavi@bob')).toContain('error:AT0015-')
    await bob.close()
    expect(await owner.ask('lookup:phone.wavi@bob')).toMatch(/^error:AT0021-.*localhost:\d+: connection refused/)
    expect(await owner.ask('lookup:phone.wavi@nobody')).toBe(
      'error:AT0007-Secondary server not found : Unable to find secondary address for atSign:nobody\n@alice@',
    )
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  it('is not spoken to when its certificate comes from a stranger', async () => {
    const stranger = await newCertificate(['localhost'])
    const bob = await network.script('@bob', undefined, stranger)
    expect(await owner.ask('lookup:phone.wavi@bob')).toMatch(/^error:AT0021-.*its certificate comes from an unknown/)
    expect(await owner.ask('plookup:phone@bob')).toMatch(/^error:AT0021-/)
    expect(bob.lines).toEqual([])
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  it('is told as such when the directory is away', async () => {
    await network.stopDirectory()
    const answer = owner.ask('lookup:phone.wavi@bob')
    await until(() => {
      network.clock.advance(50)
      return network.refusals() === 3
    })
    expect(await answer).toMatch(/^error:AT0021-Unable to connect to secondary : .*atDirectory.*connection refused/)
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  it('is given ten seconds, then the connection to it is given up', async () => {
    const bob = await network.script('@bob', (line, { usual }) =>
      line.startsWith('lookup:all:phone') ? undefined : usual(),
    )
    owner.write('lookup:phone.wavi@bob\n')
    await until(() => bob.linesWith('lookup:all:phone').length === 1)
    network.clock.advance(10_000)
    expect(await owner.reply()).toMatch(
      /^error:AT0023-Timeout waiting for response : No answer to lookup within 10000 ms/,
    )
    await network.script('@bob')
    expect(await owner.ask('lookup:phone.wavi@bob')).toContain('error:AT0015-')
  })
})

describe('scan of another atSign', () => {
  it('passes the pattern on and gives the peer’s own list', async () => {
    const bob = await network.script('@bob', (line, { usual }) =>
      line.startsWith('scan') ? 'data:["phone.wavi@bob"]\n@alice@' : usual(),
    )
    expect(await owner.ask('scan:@bob')).toBe('data:["phone.wavi@bob"]\n@alice@')
    expect(await owner.ask('scan:@bob wavi')).toBe('data:["phone.wavi@bob"]\n@alice@')
    expect(bob.linesWith('scan')).toEqual(['scan', 'scan wavi'])
  })

  it('spells its list anew, so that no key can be taken for several lines', async () => {
    await network.script('@bob', (line, { usual }) =>
      line.startsWith('scan') ? 'data: [ "a\u2028data:x@bob" , "b\\r@bob"]\n@alice@' : usual(),
    )
    expect(await owner.ask('scan:@bob')).toBe('data:["a\\u2028data:x@bob","b\\r@bob"]\n@alice@')
  })

  it('gives no list that its new spelling makes longer than a reply may be, and pages of it', async () => {
    const long = '\u2028'.repeat(1_000_000)
    const keys = JSON.stringify([long, long, ...Array.from({ length: 1_000 }, (_, index) => `k${index}@bob`)])
    await network.script('@bob', (line, { usual }) => (line === 'scan' ? `data:${keys}\n@alice@` : usual()))
    expect(await owner.ask('scan:@bob')).toMatch(
      /^error:AT0008-Handshake failure : @bob sent more keys [^\n]*\n@alice@$/,
    )
    expect(await owner.ask('scan:@bob:page:2')).toBe('data:["k998@bob","k999@bob"]\n@alice@')
    expect(await owner.ask('scan:@bob:page:3')).toBe('data:[]\n@alice@')
  })

  it.each(['hello', 'null', '{}', '[1]', '["a",["b"]]', '["a"', ''])('refuses the list %j', async (list) => {
    await network.script('@bob', (line, { usual }) => (line === 'scan' ? `data:${list}\n@alice@` : usual()))
    expect(await owner.ask('scan:@bob')).toBe(
      'error:AT0008-Handshake failure : @bob sent an answer to scan that is not a JSON array of keys\n@alice@',
    )
  })

  it('passes on why there is none', async () => {
    await network.script('@bob', (line, { usual }) =>
      line === 'scan' ? 'error:AT0003-Exception: Invalid syntax. scan\n@alice@' : usual(),
    )
    expect(await owner.ask('scan:@bob')).toBe('error:AT0003-Invalid syntax : Invalid syntax. scan\n@alice@')
  })
})
