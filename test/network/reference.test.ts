import type { Duplex } from 'node:stream'
import { beforeEach, describe, expect, it } from 'vitest'
import { verifyRsa } from '../../src/crypto/signing.ts'
import { listenTls } from '../../src/net/listen.ts'
import { startAlice } from '../support/alice.ts'
import { closeLater, type Member, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

// Conversations with a released reference server, byte for byte (pages 01, 02 and 04): what it says stands here as it
// writes it, and what it hears from us must be exactly what it reads.

const session = '_0f6c1b9e-5d0e-4c57-9a54-2b8f4c1d7e31'
const uuid = '7b1d3f5a-2c4e-4f60-8a9b-1c2d3e4f5a6b'
const bound = `pol1.${Buffer.from(`{"v":"@bob","n":"${uuid}"}`).toString('base64url')}`
const published = 'data:{"key":"public:publickey@bob","data":"MIIBIjANBgkq","metaData":{"createdBy":"@bob"}}\n@'

/** What a server of a given age says; `features` undefined for those that list none. */
interface Age {
  readonly challenge: string
  readonly info: string
}

const ages: readonly (readonly [string, Age])[] = [
  ['3.0.52 of 2024', { challenge: uuid, info: 'data:{"version":"3.0.52","uptimeAsMillis":5855295}\n@alice@' }],
  [
    '3.17.0 of 2026',
    {
      challenge: bound,
      info: 'data:{"version":"3.17.0","uptimeAsMillis":7,"features":[{"name":"notify.eph","status":"GA","description":""},{"name":"notify.eAtn","status":"GA","description":""}]}\n@alice@',
    },
  ],
]

let network: TestNetwork
let alice: Member
let owner: Client

async function start(autoNotify: boolean): Promise<void> {
  ;({ network, alice, owner } = await startAlice({ autoNotify }))
}

/** @bob's server: reads as the reference does, which takes what has arrived for one command once it ends with LF. */
async function bobIs(age: Age, more: Readonly<Record<string, string>> = {}): Promise<{ heard: string[] }> {
  const heard: string[] = []
  const says: Record<string, string> = {
    'lookup:all:publickey@bob\n': published,
    'from:@alice\n': `data:proof:${session}@alice:${age.challenge}\n@`,
    'info:brief\n': age.info,
    ...more,
  }
  const answer = async (command: string): Promise<string> => {
    if (command === 'pol\n')
      return (await callsBack()) ? '@alice@' : 'error:AT0401-Exception: Pol Authentication Failed\n@'
    if (/^notify:id:[^\n]*\n$/.test(command)) return 'data:success\n@alice@'
    return says[command] ?? `error:AT0003-Exception: invalid command\n@`
  }
  const callsBack = async (): Promise<boolean> => {
    const back = await network.connect('@alice')
    expect(back.chunks).toEqual(['@'])
    expect(await back.ask('lookup:all:publickey@alice')).toBe(
      'error:AT0015-Exception: public:publickey@alice does not exist in keystore\n@',
    )
    const [, signature = ''] = /^data:([A-Za-z0-9+/=]{344})\n@$/.exec(await back.ask(`lookup:${session}@alice`)) ?? []
    const [, key = ''] = /^data:(MIIB[A-Za-z0-9+/=]+)\n@$/.exec(await back.ask('lookup:signing_publickey@alice')) ?? []
    back.leave()
    return verifyRsa(key, age.challenge, signature)
  }
  const serve = (socket: Duplex): void => {
    let buffer = ''
    socket.on('error', () => {})
    socket.on('data', (chunk: Buffer) => {
      buffer += chunk.toString()
      if (!buffer.endsWith('\n')) return
      const command = buffer
      buffer = ''
      heard.push(command)
      void answer(command).then((bytes) => socket.write(bytes))
    })
    socket.on('end', () => socket.end())
    socket.write('@')
  }
  const { certificate, table } = network
  const listener = await listenTls({
    ...{ cert: certificate.chain, key: certificate.key, ca: certificate.ca, host: '127.0.0.1', port: 0 },
    ...{ handshakeMs: 30_000, log: () => {}, onConnection: serve },
  })
  closeLater(() => listener.close())
  table.set('@bob', `localhost:${listener.port}`)
  return { heard }
}

const handshake = ['lookup:all:publickey@bob\n', 'from:@alice\n', 'pol\n']

describe.each(ages)('calling the reference server %s', (_name, age) => {
  beforeEach(() => start(true))

  it('reads a record that it shares with us', async () => {
    const record = '{"key":"@alice:phone.wavi@bob","data":"+1 555","metaData":{"createdBy":"@bob","ttr":0}}'
    const { heard } = await bobIs(age, { 'lookup:all:phone.wavi@bob\n': `data:${record}\n@alice@` })
    expect(await owner.ask('lookup:phone.wavi@bob')).toBe('data:+1 555\n@alice@')
    expect(heard).toEqual([...handshake, 'lookup:all:phone.wavi@bob\n'])
  })

  it('reads a public record without saying who asks', async () => {
    const record = '{"key":"public:city@bob","data":"Oslo","metaData":{}}'
    const { heard } = await bobIs(age, { 'lookup:all:city@bob\n': `data:${record}\n@` })
    expect(await owner.ask('plookup:city@bob')).toBe('data:Oslo\n@alice@')
    expect(heard).toEqual(['lookup:all:city@bob\n'])
  })

  it('passes its refusal on and goes on with the same connection', async () => {
    const missing = 'error:AT0015-Exception: @alice:none.wavi@bob does not exist in keystore\n@'
    const { heard } = await bobIs(age, {
      'lookup:all:none.wavi@bob\n': missing,
      'scan\n': 'data:["a.wavi@bob"]\n@alice@',
    })
    expect(await owner.ask('lookup:none.wavi@bob')).toBe(
      'error:AT0015-key not found : @alice:none.wavi@bob does not exist in keystore\n@alice@',
    )
    expect(await owner.ask('scan:@bob')).toBe('data:["a.wavi@bob"]\n@alice@')
    expect(heard).toEqual([...handshake, 'lookup:all:none.wavi@bob\n', 'scan\n'])
  })

  it('delivers a notification in the words that its tests pin down', async () => {
    const { heard } = await bobIs(age)
    const id = (await owner.ask('notify:update:isEncrypted:false:@bob:temp.sensors@alice:21.5')).slice(5, -8)
    await until(() => heard.length === 4)
    expect(heard).toEqual([
      ...handshake,
      `notify:id:${id}:update:messageType:key:notifier:SYSTEM:ttln:900000:ttl:0:ttb:0:isEncrypted:false:@bob:temp.sensors@alice:21.5\n`,
    ])
    await until(async () => (await owner.ask(`notify:status:${id}`)) === 'data:delivered\n@alice@')
  })

  it('announces the removal of a record', async () => {
    const { heard } = await bobIs(age)
    await owner.ask('delete:@bob:phone.wavi@alice')
    await until(() => heard.length === 4)
    expect(heard[3]).toMatch(
      /^notify:id:[0-9a-f-]{36}:delete:messageType:key:notifier:system:ttln:900000:@bob:phone\.wavi@alice\n$/,
    )
  })

  it('sends the second of several commands when the first is answered, until it knows that the peer can do better', async () => {
    const { heard } = await bobIs(age)
    const lines = ['one', 'two', 'three'].map((text) => `notify:isEncrypted:false:@bob:n.wavi@alice:${text}`)
    for (const line of lines) await owner.ask(line)
    const sent = (): string[] => heard.filter((command) => command.startsWith('notify:'))
    await until(() => sent().join('').split('\n').length === 4)
    for (const text of ['one', 'two', 'three']) expect(sent().join('')).toContain(`@bob:n.wavi@alice:${text}\n`)
    if (age.challenge === uuid) expect(sent()).toHaveLength(3)
  })
})

describe('called by a reference server', () => {
  let bob: Client

  beforeEach(async () => {
    await start(false)
    await owner.ask('update:public:publickey@alice MIIBalice')
    await owner.ask('update:ttr:3600:@bob:phone.wavi@alice +44 123')
    const peer = await network.script('@bob')
    bob = await network.connect('@alice', network.certificate)
    const challenge = await greet(bob)
    peer.published.set(challenge.name, peer.sign(challenge.text))
    bob.write('pol\n')
    expect(await bob.take(/^@bob@/)).toBe('@bob@')
    expect(peer.lines.map(({ line }) => line)).toEqual([`lookup:${challenge.name}`, 'lookup:signing_publickey@bob'])
  })

  /** The reference takes the greeting for one only when it comes alone, and the key before it says who it is. */
  async function greet(client: Client): Promise<{ name: string; text: string }> {
    expect(client.chunks).toEqual(['@'])
    expect(await client.ask('lookup:all:publickey@alice')).toMatch(
      /^data:\{"key":"public:publickey@alice","data":"MIIBalice","metaData":\{"createdBy":"@alice",[^\n]*\}\}\n@$/,
    )
    const reply = await client.ask('from:@bob')
    const [, name = '', text = ''] = /^data:proof:(_[0-9a-f-]{36}@bob):(pol1\.[A-Za-z0-9_-]+=*)\n@$/.exec(reply) ?? []
    expect(JSON.parse(Buffer.from(text.slice(5), 'base64url').toString())).toMatchObject({ v: '@alice' })
    return { name, text }
  }

  it('answers in one write each: text, line feed and prompt; success of pol is the prompt alone', () => {
    expect(bob.chunks).toEqual([
      '@',
      expect.stringMatching(/^data:\{"key":"public:publickey@alice"[^\n]*\n@$/),
      expect.stringMatching(/^data:proof:[^\n]*\n@$/),
      '@bob@',
    ])
  })

  it.each([
    [
      'lookup:all:phone.wavi@alice',
      /^data:\{"key":"@bob:phone\.wavi@alice","data":"\+44 123","metaData":\{[^\n]*"ttr":3600[^\n]*\}\}\n@bob@$/,
    ],
    ['lookup:phone.wavi@alice', /^data:\+44 123\n@bob@$/],
    ['lookup:none.wavi@alice', /^error:AT0015-Exception: @bob:none\.wavi@alice does not exist in keystore\n@$/],
    ['scan', /^data:\["phone\.wavi@alice"\]\n@bob@$/],
    ['scan wavi', /^data:\["phone\.wavi@alice"\]\n@bob@$/],
    ['info:brief', /^data:\{"version":"[^"]+","uptimeAsMillis":\d+,"features":\[[^\n]*\]\}\n@bob@$/],
    ['noop:0', /^data:ok\n@bob@$/],
    ['update:x.wavi@alice v', /^error:AT0401-Exception: Command cannot be executed without auth\n@$/],
    ['nonsense', /^error:AT0003-Exception: invalid command\n@$/],
  ])('answers %s', async (line, bytes) => {
    expect(await bob.ask(line)).toMatch(bytes)
    expect(bob.chunks.at(-1)).toMatch(bytes)
  })

  it.each([
    [
      'of 2024',
      'notify:id:n1:update:messageType:key:notifier:SYSTEM:ttln:900000:ttl:0:ttb:0:isEncrypted:false:@alice:temp.sensors@bob:21.5',
    ],
    [
      'of 2024, by autoNotify',
      'notify:id:n2:update:messageType:key:notifier:system:ttln:900000:isEncrypted:false:@alice:temp.sensors@bob:21.5',
    ],
    [
      'of 2026',
      'notify:id:n3:update:messageType:key:notifier:SYSTEM:eAtn:2026-01-31T10:05:00.000000Z:ttl:0:ttb:0:isEncrypted:false:@alice:temp.sensors@bob:21.5',
    ],
    [
      'of 2026, in memory only',
      'notify:id:n4:update:messageType:key:notifier:SYSTEM:ttln:60000:eph:ttl:0:ttb:0:isEncrypted:false:@alice:temp.sensors@bob:21.5',
    ],
    [
      'of 2026, with times',
      'notify:id:n5:update:messageType:key:notifier:system:ttln:900000:cAt:2026-01-31T10:00:00.000000Z:uAt:2026-01-31T10:00:00.000000Z:isEncrypted:false:@alice:temp.sensors@bob:21.5',
    ],
  ])('takes a notification in the words %s', async (_age, line) => {
    const monitor = await alice.monitor()
    expect(await bob.ask(line)).toBe('data:success\n@bob@')
    expect(await monitor.values(1)).toEqual(['21.5'])
    expect(monitor.received[0]?.key).toBe('@alice:temp.sensors@bob')
  })

  it('takes the announcement that a record is gone', async () => {
    expect(await bob.ask('notify:id:d1:delete:messageType:key:notifier:system:ttln:900000:@alice:phone.wavi@bob')).toBe(
      'data:success\n@bob@',
    )
  })
})
