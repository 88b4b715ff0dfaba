import { beforeAll, describe, expect, it } from 'vitest'
import { newSessionId } from '../../src/crypto/challenge.ts'
import { verifyRsa } from '../../src/crypto/signing.ts'
import { createAuthority, newPemPair } from '../../src/provision/authority.ts'
import { type IssuedCertificate, issueCertificate } from '../../src/provision/certificate.ts'
import { signDraft } from '../../src/provision/x509.ts'
import { newCertificate, startTestNetwork, type TestNetwork, until } from '../support/network.ts'

const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'

describe('the proof of life between two atServers', () => {
  let network: TestNetwork
  beforeAll(async () => {
    network = await startTestNetwork(['@alice', '@carol'])
  })

  it('is given to a peer that is called: from, pol, then the command', async () => {
    const bob = await network.script('@bob', (line, { usual }) =>
      line === 'lookup:all:phone.wavi@bob'
        ? 'data:{"key":"@alice:phone.wavi@bob","data":"555","metaData":{}}\n@alice@'
        : usual(),
    )
    const owner = await network.member('@alice').owner()
    expect(await owner.ask('lookup:phone.wavi@bob')).toBe('data:555\n@alice@')
    expect(bob.lines.map(({ line }) => line)).toEqual([
      ...['lookup:all:publickey@bob', 'from:@alice', 'pol', 'lookup:all:phone.wavi@bob'],
    ])
  })

  it('is asked of a caller by a bound challenge and answered by nothing but the new prompt', async () => {
    const bob = await network.script('@bob')
    const client = await network.connect('@alice')
    const reply = await client.ask('from:@bob')
    expect(reply).toMatch(new RegExp(`^data:proof:_${uuid}@bob:pol1\\.[A-Za-z0-9_-]+=*\n@$`))
    const [, name = '', challenge = ''] = /^data:proof:([^:]+):([^\n]+)\n@$/.exec(reply) ?? []
    const token = JSON.parse(Buffer.from(challenge.slice('pol1.'.length), 'base64url').toString()) as object
    expect(token).toEqual({ v: '@alice', n: expect.stringMatching(new RegExp(`^${uuid}$`)) })
    bob.published.set(name, bob.sign(challenge))
    client.write('pol\n')
    expect(await client.take(/^[\s\S]+@/)).toBe('@bob@')
    expect(client.chunks.at(-1)).toBe('@bob@')
    expect(bob.lines.map(({ line }) => line)).toEqual([`lookup:${name}`, 'lookup:signing_publickey@bob'])
    expect(await client.ask('noop:0')).toBe('data:ok\n@bob@')
  })

  it('holds both ways between two atServers', async () => {
    const [alice, carol] = [network.member('@alice'), network.member('@carol')]
    const owners = { alice: await alice.owner(), carol: await carol.owner() }
    await owners.alice.ask('update:@carol:a.wavi@alice for carol')
    await owners.carol.ask('update:@alice:c.wavi@carol for alice')
    expect(await owners.alice.ask('lookup:c.wavi@carol')).toBe('data:for alice\n@alice@')
    expect(await owners.carol.ask('lookup:a.wavi@alice')).toBe('data:for carol\n@carol@')
    expect(await owners.carol.ask('scan:@alice')).toBe('data:["a.wavi@alice"]\n@carol@')
  })

  it('publishes a signature for a minute, to anyone who knows the name of the session', async () => {
    const name = `${newSessionId()}@alice`
    await network.script('@bob', (line, { usual }) =>
      line === 'from:@alice' ? `data:proof:${name}:6f7d3f2c-1111-4222-8333-123456789abc\n@` : usual(),
    )
    const owner = await network.member('@alice').owner()
    await owner.ask('lookup:nothing.wavi@bob')
    const stranger = await network.connect('@alice')
    const [, signature = ''] = /^data:([^\n]+)\n@$/.exec(await stranger.ask(`lookup:${name}`)) ?? []
    const [, key = ''] = /^data:([^\n]+)\n@$/.exec(await stranger.ask('lookup:signing_publickey@alice')) ?? []
    expect(verifyRsa(key, '6f7d3f2c-1111-4222-8333-123456789abc', signature)).toBe(true)
    network.clock.advance(60_001)
    expect(await stranger.ask(`lookup:${name}`)).toContain('error:AT0015')
  })

  it('finds a signature under a session name that a peer wrote in capitals', async () => {
    const id = newSessionId().toUpperCase()
    let seen = ''
    await network.script('@bob', async (line, { usual }) => {
      if (line === 'from:@alice') return `data:proof:${id}@alice:6f7d3f2c-1111-4222-8333-123456789abc\n@`
      if (line === 'pol') seen = await (await network.connect('@alice')).ask(`lookup:${id}@alice`)
      return usual()
    })
    const owner = await network.member('@alice').owner()
    await owner.ask('lookup:nothing.wavi@bob')
    expect(seen).toMatch(/^data:[A-Za-z0-9+/]+=*\n@$/)
  })

  it.each([
    ['another record of ours', () => 'publickey@alice:6f7d3f2c-1111-4222-8333-123456789abc'],
    ['a name that is no session', () => '_short@alice:6f7d3f2c-1111-4222-8333-123456789abc'],
    ['a session of somebody else', () => `${newSessionId()}@carol:6f7d3f2c-1111-4222-8333-123456789abc`],
    ['a challenge that is neither bound nor a UUID', () => `${newSessionId()}@alice:sign-this-cheque`],
    ['a challenge that @carol issued', () => `${newSessionId()}@alice:pol1.${token('@carol')}`],
    ['a challenge that names nobody', () => `${newSessionId()}@alice:pol1.${token('')}`],
  ])('signs nothing for a peer that asks for %s', async (_what, proof) => {
    const bob = await network.script('@bob', (line, { usual }) =>
      line === 'from:@alice' ? `data:proof:${proof()}\n@` : usual(),
    )
    const owner = await network.member('@alice').owner()
    expect(await owner.ask('lookup:phone.wavi@bob')).toMatch(
      /^error:AT0008-Handshake failure : handshake with @bob failed/,
    )
    expect(bob.linesWith('pol')).toEqual([])
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  it.each([
    ['refuses us', 'error:AT0013-Exception: Unable to connect\n@'],
    ['cannot find us', 'error:AT0007-Exception: Unable to find secondary address for atSign:alice\n@'],
    ['is full', 'error:AT0012-Inbound connection limit exceeded\n@'],
  ])('is a failed handshake when the peer %s', async (_what, answer) => {
    await network.script('@bob', (line, { usual }) => (line === 'pol' ? answer : usual()))
    const owner = await network.member('@alice').owner()
    expect(await owner.ask('lookup:phone.wavi@bob')).toMatch(/^error:AT0008-Handshake failure : handshake with @bob/)
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  it.each([
    ['another atSign’s prompt', '@carol@'],
    ['the prompt of a stranger', '@'],
    ['data', 'data:success\n@alice@'],
  ])('has not succeeded when the peer answers pol with %s', async (_what, answer) => {
    await network.script('@bob', (line, { usual }) => (line === 'pol' ? answer : usual()))
    const owner = await network.member('@alice').owner()
    owner.write('lookup:phone.wavi@bob\n')
    const reply = owner.reply()
    await until(() => {
      network.clock.advance(500)
      return owner.chunks.at(-1)?.startsWith('error:') === true
    })
    expect(await reply).toMatch(/^error:AT00(?:08|23)-/)
  })

  it('is judged for each caller by itself, however many prove themselves at one time', async () => {
    const names = ['@p1', '@p2', '@p3', '@p4'] as const
    const peers = await Promise.all(names.map((name) => network.script(name)))
    const clients = await Promise.all(names.map(() => network.connect('@alice')))
    const replies = await Promise.all(
      clients.map(async (client, index) => {
        const name = names[index]
        const reply = await client.ask(`from:${name}`)
        const [, record = '', challenge = ''] = /^data:proof:([^:]+):([^\n]+)\n@$/.exec(reply) ?? []
        // Every second one publishes the signature of another text.
        peers[index]?.published.set(record, peers[index]?.sign(index % 2 === 0 ? challenge : 'x') ?? '')
        client.write('pol\n')
        return client.take(/^(?:@[^@\s:]+@|error:[^\n]*\n@)/u)
      }),
    )
    const failed = 'error:AT0401-Exception: Pol Authentication Failed\n@'
    expect(replies).toEqual(['@p1@', failed, '@p3@', failed])
  })

  it('is refused with a signature of somebody else, and its challenge is then spent', async () => {
    const bob = await network.script('@bob')
    const client = await network.connect('@alice')
    const [, name = ''] = /^data:proof:([^:]+):/.exec(await client.ask('from:@bob')) ?? []
    bob.published.set(name, bob.sign('something else'))
    expect(await client.ask('pol')).toBe('error:AT0401-Exception: Pol Authentication Failed\n@')
    expect(await client.ask('pol')).toContain("You must execute a 'from:' command before you may run the pol command")
    expect(await bob.prove(client)).toBe('@bob@')
  })

  it('is refused when the peer publishes no signature', async () => {
    await network.script('@bob')
    const client = await network.connect('@alice')
    await client.ask('from:@bob')
    expect(await client.ask('pol')).toBe('error:AT0011-Exception: Unable to verify signature\n@')
  })

  it('is refused when the peer answers null', async () => {
    await network.script('@bob', (line, { usual }) => (line.startsWith('lookup:_') ? 'data:null\n@' : usual()))
    const client = await network.connect('@alice')
    await client.ask('from:@bob')
    expect(await client.ask('pol')).toBe('error:AT0011-Exception: Unable to verify signature\n@')
  })

  it('is refused without from, and a minute after it', async () => {
    const bob = await network.script('@bob')
    const client = await network.connect('@alice')
    expect(await client.ask('pol')).toBe(
      "error:AT0011-Exception: You must execute a 'from:' command before you may run the pol command\n@",
    )
    const [, name = '', challenge = ''] = /^data:proof:([^:]+):([^\n]+)/.exec(await client.ask('from:@bob')) ?? []
    bob.published.set(name, bob.sign(challenge))
    network.clock.advance(60_001)
    expect(await client.ask('pol')).toBe('error:AT0401-Exception: Pol Authentication Failed\n@')
  })

  it('ends with a from of another atSign', async () => {
    const bob = await network.script('@bob')
    const client = await network.connect('@alice')
    expect(await bob.prove(client)).toBe('@bob@')
    expect(await client.ask('from:@carol')).toMatch(/^data:proof:_[^@]+@carol:/)
    expect(await client.ask('notify:@alice:x.wavi@bob:v')).toContain('error:AT0401')
  })

  it('keeps several peers apart that prove themselves at one time, on several connections each', async () => {
    const peers = await Promise.all((['@p1', '@p2', '@p3', '@p4'] as const).map((atSign) => network.script(atSign)))
    const clients = await Promise.all(
      [...peers, ...peers].map(async (peer) => ({ peer, client: await network.connect('@alice') })),
    )
    const prompts = await Promise.all(clients.map(({ peer, client }) => peer.prove(client)))
    expect(prompts).toEqual(clients.map(({ peer }) => `${peer.atSign}@`))
  })

  it('is refused when the peer cannot be reached, and the connection stays', async () => {
    const bob = await network.script('@bob')
    await bob.close()
    const client = await network.connect('@alice')
    await client.ask('from:@bob')
    expect(await client.ask('pol')).toContain('error:AT0021')
    expect(await client.ask('noop:0')).toBe('data:ok\n@')
    network.table.remove('@bob')
  })
})

const token = (issuer: string): string => Buffer.from(JSON.stringify({ v: issuer, n: 'x' })).toString('base64url')

describe('the certificate of a server that calls', () => {
  const failed = 'error:AT0401-Exception: Certificate Verification Failed'
  let own: IssuedCertificate
  let stranger: IssuedCertificate
  let elsewhere: IssuedCertificate
  let noClient: IssuedCertificate
  let network: TestNetwork

  beforeAll(async () => {
    network = await startTestNetwork(['@alice'])
    own = network.certificate
    stranger = await newCertificate(['localhost'])
    await network.script('@bob')
  })

  // The certificates of one authority that the atServer trusts, which the network's own helper does not keep the key of.
  async function withAuthority(): Promise<{ ca: string }> {
    const now = Date.now()
    const authority = await createAuthority({ name: 'mesh', now })
    elsewhere = await issueCertificate(authority, { names: ['elsewhere.example', 'evil-localhost'], now })
    const { publicKey, privateKey } = await newPemPair()
    const chain = await signDraft(
      {
        ...{ commonName: 'localhost', notBefore: now - 86_400_000, notAfter: now + 86_400_000, publicKey },
        extensions: [
          { name: 'extKeyUsage', serverAuth: true },
          { name: 'subjectAltName', altNames: [{ type: 2, value: 'localhost' }] },
        ],
      },
      authority,
    )
    noClient = { chain: `${chain}${authority.certificate}`, key: privateKey }
    return { ca: authority.certificate }
  }

  it('may be missing', async () => {
    const client = await network.connect('@alice')
    expect(await client.ask('from:@bob')).toMatch(/^data:proof:/)
  })

  it('is fine when the network knows its authority and it names the host of the atSign', async () => {
    const client = await network.connect('@alice', own)
    expect(await client.ask('from:@bob')).toMatch(/^data:proof:/)
  })

  it('is refused when it comes from elsewhere; the connection stays open', async () => {
    const client = await network.connect('@alice', stranger)
    expect(await client.ask('from:@bob')).toBe(`${failed}: it comes from an unknown authority\n@`)
    expect(await client.ask('pol')).toContain('error:AT0011')
    expect(await client.ask('noop:0')).toBe('data:ok\n@')
  })

  it('is of no interest where the owner logs in', async () => {
    const client = await network.connect('@alice', stranger)
    expect(await client.ask('from:@alice')).toMatch(/^data:_/)
  })

  it('belongs to an atSign that the directory knows', async () => {
    const client = await network.connect('@alice', own)
    expect(await client.ask('from:@nobody')).toContain('error:AT0007')
  })

  it('is refused when it names another host, and needs no client purpose unless that is asked for', async () => {
    const { ca } = await withAuthority()
    for (const clientPurpose of ['lenient', 'strict'] as const) {
      const mesh = await startTestNetwork(['@alice'], {
        federation: { clientCertificate: 'if-present', clientPurpose },
        trust: ca,
      })
      await mesh.script('@bob')
      const wrong = await mesh.connect('@alice', elsewhere)
      expect(await wrong.ask('from:@bob')).toBe(`${failed}: it does not name localhost\n@`)
      for (let time = 0; time < 5; time++) await wrong.ask('from:@bob')
      const told = (): unknown[] =>
        mesh.member('@alice').logs.flatMap(({ level, details }) => (level === 'warn' ? [details] : []))
      expect(told()).toEqual([{ peer: '@bob', reason: 'it does not name localhost' }])
      mesh.clock.advance(60_000)
      expect(told().slice(1)).toEqual([expect.objectContaining({ peer: '@bob', count: 5 })])
      const client = await mesh.connect('@alice', noClient)
      const reply = await client.ask('from:@bob')
      if (clientPurpose === 'lenient') expect(reply).toMatch(/^data:proof:/)
      else expect(reply).toBe(`${failed}: it is not meant for clients\n@`)
    }
  })

  it('closes the connection where it is required', async () => {
    const strict = await startTestNetwork(['@alice'], {
      federation: { clientCertificate: 'required', clientPurpose: 'lenient' },
    })
    await strict.script('@bob')
    const without = await strict.connect('@alice')
    without.write('from:@bob\n')
    expect(await without.closed).toBe(`${failed}: the client showed none\n@`)
    const foreign = await strict.connect('@alice', stranger)
    foreign.write('from:@bob\n')
    expect(await foreign.closed).toContain(failed)
    const right = await strict.connect('@alice', own)
    expect(await right.ask('from:@bob')).toMatch(/^data:proof:/)
  })

  it('does not matter where it is switched off', async () => {
    const open = await startTestNetwork(['@alice'], {
      federation: { clientCertificate: 'off', clientPurpose: 'strict' },
    })
    const client = await open.connect('@alice', stranger)
    expect(await client.ask('from:@bob')).toMatch(/^data:proof:/)
  })
})
