import { createServer } from 'node:net'
import { beforeAll, describe, expect, it } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import {
  closeLater,
  freePort,
  type Member,
  type Monitor,
  newCertificate,
  type ScriptedPeer,
  startTestNetwork,
  type TestNetwork,
  until,
} from '../support/network.ts'
import type { Client } from '../support/server.ts'

/** Three atServers and a directory, and the servers of 200 more atSigns: some well, some away, some up to no good. */
let network: TestNetwork
let alice: Member
let owner: Client

const nameOf = (index: number): AtSign => `@p${index}`
const all = Array.from({ length: 200 }, (_, index) => nameOf(index))
/** Every third one is away. */
const down = all.filter((_, index) => index % 3 === 2)
const slow: AtSign = '@p0'
const resets: AtSign = '@p3'
const nonsense: AtSign = '@p6'
const impostor: AtSign = '@p9'
const stranger: AtSign = '@p12'
const bad = new Set([...down, slow, resets, nonsense, impostor, stranger])
const good = all.filter((atSign) => !bad.has(atSign))
const scripts = new Map<AtSign, ScriptedPeer>()

const received = (atSign: AtSign): string[] => scripts.get(atSign)?.linesWith('notify:') ?? []

/** Hangs up on whoever calls, without a byte. */
async function listenToReset(): Promise<number> {
  const server = createServer((socket) => socket.resetAndDestroy()).listen(0, '127.0.0.1')
  await until(() => server.listening)
  closeLater(async () => server.close())
  return (server.address() as { port: number }).port
}

beforeAll(async () => {
  network = await startTestNetwork(['@alice', '@bob', '@carol'])
  alice = network.member('@alice')
  owner = await alice.owner()
  const dead = await freePort()
  for (const atSign of down) network.table.set(atSign, `localhost:${dead}`)
  for (const atSign of good) scripts.set(atSign, await network.script(atSign))
  const { clock, certificate } = network
  // One byte a second, of an answer that has no end.
  await network.script(slow, (_line, { send }) => {
    const next = (): void => void (send('d') && clock.after(1_000, next))
    next()
    return undefined
  })
  await network.script(nonsense, () => 'HTTP/1.1 418 no atServer\r\n\r\n')
  await network.script(impostor, undefined, await certificate.sibling(['somebody.else.example']))
  await network.script(stranger, undefined, await newCertificate(['localhost']))
  network.table.set(resets, `localhost:${await listenToReset()}`)
})

describe('one notification for 202 atSigns', () => {
  let monitors: Monitor[]

  it('reaches everybody who can be reached, once, whatever the others do', async () => {
    monitors = [await network.member('@bob').monitor(), await network.member('@carol').monitor()]
    const to = [...all, '@bob', '@carol'].join(',')
    const reply = await owner.ask(`notify:multi:ttln:86400000:isEncrypted:false:${to}:alarm.sensors@alice:fire`)
    expect(reply).toMatch(/^data:\{"@p0":/)
    await until(() => {
      // There are fewer places than atSigns: some have to wait for a moment.
      network.clock.advance(20)
      return good.every((atSign) => received(atSign).length === 1)
    })
    for (const monitor of monitors) expect(await monitor.values(1)).toEqual(['fire'])
    expect(received('@p1')[0]).toMatch(/:@p1:alarm\.sensors@alice:fire$/)
  })

  it('leaves lookups as they were: the bad answer with their error, the good at once', async () => {
    const bob = await network.member('@bob').owner()
    await bob.ask('update:@alice:door.sensors@bob open')
    const hanging = (await alice.owner()) as Client
    hanging.write(`lookup:door.sensors${slow}\n`)
    expect(await owner.ask('lookup:door.sensors@bob')).toBe('data:open\n@alice@')
    for (const [atSign, reason] of [
      [impostor, /^error:AT0021-.*its certificate is for another host name/],
      [stranger, /^error:AT0021-.*its certificate comes from an unknown authority/],
      [resets, /^error:AT0021-.*connection closed during the TLS handshake/],
      [nonsense, /^error:AT0008-/],
      ['@p2', /^error:AT0021-.*connection refused/],
    ] as const) {
      expect(await owner.ask(`lookup:door.sensors${atSign}`)).toMatch(reason)
    }
    expect(await owner.ask('lookup:door.sensors@bob')).toBe('data:open\n@alice@')
    network.clock.advance(10_000)
    expect(await hanging.reply()).toMatch(/^error:AT00(?:08|23)-/)
  })

  it('is tried less and less often with those who cannot be reached, and named in the log once a minute', async () => {
    const named = (): number => alice.logs.filter(({ details }) => details['peer'] === '@p2').length
    const before = named()
    for (let second = 0; second < 120; second++) {
      network.clock.advance(1_000)
      expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
    }
    expect(named() - before).toBeLessThanOrEqual(3)
  })

  it('reaches those who come back, once, and nobody else again', async () => {
    const back = down.slice(0, 10)
    for (const atSign of back) scripts.set(atSign, await network.script(atSign))
    await until(() => {
      network.clock.advance(1_000)
      return back.every((atSign) => received(atSign).length === 1)
    })
    for (const atSign of [...good, ...back]) expect(received(atSign), atSign).toHaveLength(1)
    for (const monitor of monitors) expect(await monitor.values(1)).toEqual(['fire'])
  }, 90_000)
})

describe('copies that three atServers keep of each other', () => {
  it('become true again within a day though their owner says nothing', async () => {
    const quiet = await startTestNetwork(['@dora', '@emil', '@fred'], {
      autoNotify: false,
      random: () => 0,
    })
    const dora = await quiet.member('@dora').owner()
    for (const reader of ['@emil', '@fred'] as const) await dora.ask(`update:ttr:60:${reader}:menu.cafe@dora soup`)
    const readers = [await quiet.member('@emil').owner(), await quiet.member('@fred').owner()]
    for (const reader of readers) expect(await reader.ask('lookup:menu.cafe@dora')).toContain('data:soup')
    await dora.ask('update:ttr:60:@emil:menu.cafe@dora pie')
    await dora.ask('delete:@fred:menu.cafe@dora')
    const copyOf = async (name: '@emil' | '@fred'): Promise<string> =>
      (await quiet.member(name).owner()).ask(`llookup:cached:${name}:menu.cafe@dora`)
    expect(await copyOf('@emil')).toContain('data:soup')
    quiet.clock.advance(3_600_000)
    await until(async () => (await copyOf('@emil')).includes('data:pie'))
    await until(async () => (await copyOf('@fred')).includes('error:AT0015'))
  })
})
