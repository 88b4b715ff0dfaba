import { generateKeyPairSync, sign } from 'node:crypto'
import type { AtSign } from '../../src/core/at-sign.ts'
import type { Enrollment } from '../../src/core/enrollment.ts'
import { cramDigest } from '../../src/crypto/challenge.ts'
import { generateRsaPair, signRsa } from '../../src/crypto/signing.ts'
import { openStore } from '../../src/store/store.ts'
import {
  type Answer,
  freePort,
  type Member,
  type ScriptedPeer,
  startTestNetwork,
  type TestNetwork,
} from '../support/network.ts'
import type { Wire, World } from './runner.ts'
import { httpsWire, openWire, ownerWire, type Place, rawWire, webSocketWire } from './wires.ts'

const features = JSON.stringify([
  { name: 'notify.eph', status: 'GA', description: '' },
  { name: 'notify.eAtn', status: 'GA', description: '' },
])

/** @carol's atServer knows the notifications of October 2026, @dave's is older. */
const modern: Answer = (line, { usual }) =>
  line === 'info:brief' ? `data:{"version":"3.17.0","uptimeAsMillis":1,"features":${features}}\n@alice@` : usual()

/** @slow's atServer never answers one lookup, @rude's hangs up on it, @mallory's answers a handshake with nonsense. */
const slow: Answer = (line, { usual }) => (line.startsWith('lookup:all:phone') ? undefined : usual())
const rude: Answer = (line, { usual, end }) => {
  if (!line.startsWith('lookup:all:phone')) return usual()
  end()
  return undefined
}
const nonsense: Answer = (line, { usual }) => (line.startsWith('from:') ? 'data:nonsense\n@' : usual())

/** P-256 keys in the form of `pkam` (page 02, section 4). */
function eccPair(): { publicKey: string; sign: (text: string) => string } {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return {
    publicKey: publicKey.export({ type: 'spki', format: 'der' }).subarray(-65).toString('hex'),
    sign(text) {
      const digits = sign('sha256', Buffer.from(text), { key: privateKey, dsaEncoding: 'ieee-p1363' }).toString('hex')
      return Buffer.from(digits).toString('base64')
    },
  }
}

type Pair = Awaited<ReturnType<typeof generateRsaPair>>

/** What other apps of @alice may do; each logs in with the same key. */
function enrollments(keys: Pair, ecc: string): Enrollment[] {
  const base = { appName: 'app', deviceName: 'device', publicKey: keys.publicKey, signingAlgo: 'rsa2048' } as const
  const approved = { ...base, state: 'approved' } as const
  return [
    { ...approved, id: 'wavi', namespaces: { wavi: 'rw' } },
    { ...approved, id: 'reader', namespaces: { wavi: 'r' } },
    { ...approved, id: 'curve', namespaces: { wavi: 'rw' }, publicKey: ecc, signingAlgo: 'ecc_secp256r1' },
    { ...approved, id: 'over', namespaces: { wavi: 'rw' }, expiresAt: 1 },
    { ...base, id: 'denied', namespaces: {}, state: 'denied' },
    { ...base, id: 'pending', namespaces: {}, state: 'pending' },
    { ...base, id: 'revoked', namespaces: {}, state: 'revoked' },
  ]
}

/** Writes enrollments into the store of a member, which is stopped for it. */
async function enroll(member: Member, list: readonly Enrollment[], { clock }: TestNetwork): Promise<void> {
  await member.stop()
  const store = await openStore({ directory: member.directory, atSign: member.atSign, clock, log: () => {} })
  await store.write(async (tx) => {
    for (const enrollment of list) await tx.putEnrollment(enrollment)
  })
  await store.close()
  await member.start()
}

/** Lines of a scene as they reach a scripted atServer, each a line. */
function arrivals({ lines }: ScriptedPeer, namespace: string): Wire {
  let seen = 0
  return {
    write() {
      throw new Error('this atServer only listens')
    },
    async take() {
      for (;;) {
        const next = lines[seen]
        if (next === undefined) await new Promise((resolve) => setImmediate(resolve))
        else {
          seen++
          if (next.line.includes(namespace)) return `${next.line}\n`
        }
      }
    },
    closed: Promise.resolve(''),
    leave() {},
    prompt: undefined,
  }
}

/** So little room that a scene can fill it. Bytes of what peers send are no matter here. */
const littleRoom = {
  places: { total: 4 },
  outboxPerPeer: 2,
  peerQuota: { notifications: { count: 2, bytes: 1_000_000 }, copies: { count: 1, bytes: 1_000_000 } },
}

/**
 * Two of our atServers, @alice's and @bob's, scripted ones such as @carol's and @dave's, and a directory, all over TLS on
 * free ports. Time is held in hand.
 * @param room `small` for atServers with four places, two notifications waiting for a recipient, two of a sender and one copy;
 *   @bob's has no room on its disk
 */
export async function startWorld(room: 'usual' | 'small' = 'usual'): Promise<World> {
  const network = await startTestNetwork(['@alice', '@bob'], room === 'small' ? littleRoom : {})
  const [keys, other] = await Promise.all([generateRsaPair(), generateRsaPair()])
  const ecc = eccPair()
  const alice = network.member('@alice')
  await enroll(alice, enrollments(keys, ecc.publicKey), network)
  for (const atSign of ['@alice', '@bob'] as const) {
    const owner = await network.member(atSign).owner()
    await owner.ask(`update:privatekey:at_pkam_publickey ${keys.publicKey}`)
    owner.leave()
  }
  if (room === 'small') {
    const bob = network.member('@bob')
    await bob.stop()
    await bob.start({ maxBytes: 1 })
  }
  const carol = await network.script('@carol', modern)
  const dave = await network.script('@dave')
  const late = await network.script('@slow', slow)
  await network.script('@rude', rude)
  await network.script('@mallory', nonsense)
  network.table.set('@gone', `localhost:${await freePort()}`)
  const secret = (await alice.server.cramSecret()) ?? ''

  const placeOf = (atSign: AtSign): Place => ({
    ...{ host: 'localhost', port: network.member(atSign).port, ca: [network.certificate.ca] },
  })
  const pkam = (challenge: string): string => signRsa(keys.privateKey, challenge)
  const owner = (atSign: AtSign, option = ''): Promise<Wire> =>
    ownerWire(placeOf(atSign), atSign, (challenge) => `pkam:${option}${pkam(challenge)}`)
  const peer = async (script: ScriptedPeer): Promise<Wire> => {
    const { write, take, closed, leave } = await script.session('@alice')
    return { ...{ write, take, closed, leave }, prompt: `${script.atSign}@`, errorPrompt: '@' }
  }

  const doors: Readonly<Record<string, (namespace: string) => Promise<Wire>>> = {
    raw: () => rawWire(placeOf('@alice')),
    anyone: () => openWire(placeOf('@alice')),
    https: async () => httpsWire(placeOf('@alice')),
    websocket: () => webSocketWire(placeOf('@alice')),
    cram: () => ownerWire(placeOf('@alice'), '@alice', (challenge) => `cram:${cramDigest(secret, challenge)}`),
    alice: () => owner('@alice'),
    wavi: () => owner('@alice', 'enrollmentId:wavi:'),
    reader: () => owner('@alice', 'enrollmentId:reader:'),
    bob: () => owner('@bob'),
    carol: () => peer(carol),
    carolserver: async (namespace) => arrivals(carol, namespace),
    daveserver: async (namespace) => arrivals(dave, namespace),
    slowserver: async (namespace) => arrivals(late, namespace),
  }
  return {
    kinds: new Set(Object.keys(doors)),
    async open(kind, namespace) {
      const door = doors[kind]
      if (door === undefined) throw new Error(`there is no connection of the kind ${kind}`)
      return door(namespace)
    },
    now: network.clock.now,
    wait: async (ms) => network.clock.advance(ms),
    values: new Map([
      ['primaryPublic', keys.publicKey],
      ['otherPublic', other.publicKey],
      ['enrollment', 'primary'],
      ['carol', '@carol'],
      ['gone', '@gone'],
      ['mallory', '@mallory'],
      ['rude', '@rude'],
      ...['wavi', 'denied', 'pending', 'revoked', 'over'].map((id) => [id, id] as const),
    ]),
    makers: new Map([
      ['cram', (challenge: string) => cramDigest(secret, challenge)],
      ['pkam', pkam],
      ['pkam512', (challenge: string) => signRsa(keys.privateKey, challenge, 'sha512')],
      ['otherPkam', (challenge: string) => signRsa(other.privateKey, challenge)],
      ['ecc', ecc.sign],
    ]),
    patienceMs: 10_000,
  }
}
