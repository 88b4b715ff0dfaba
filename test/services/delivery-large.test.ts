import { beforeEach, expect, it } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { startAlice } from '../support/alice.ts'
import { type Member, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

let network: TestNetwork
let alice: Member
let owner: Client

beforeEach(async () => {
  ;({ network, alice, owner } = await startAlice())
})

/** Notifies @bob of so many characters. @returns the id */
const send = async (key: string, characters: number): Promise<string> => {
  const reply = await owner.ask(`notify:@bob:${key}.wavi@alice:${'x'.repeat(characters)}`)
  return /^data:([^\n]+)\n/.exec(reply)?.[1] ?? reply
}
const isDelivered = async (id: string): Promise<boolean> =>
  (await owner.ask(`notify:status:${id}`)) === 'data:delivered\n@alice@'
const keyIn = (line: string): string => /@bob:(\w+)\.wavi/.exec(line)?.[1] ?? ''

it('a notification longer than what is read ahead arrives, and so does what is behind it', async () => {
  const bob = await network.script('@bob')
  await send('large', 300_000)
  const behind = await send('behind', 1)
  await until(() => isDelivered(behind))
  expect(bob.linesWith('notify:').map(keyIn)).toEqual(['large', 'behind'])
})

it('more than what is read ahead arrives when the peer is back', async () => {
  await network.script('@bob').then((peer) => peer.close())
  const keys = Array.from({ length: 70 }, (_, index) => `k${index}`)
  const ids: string[] = []
  for (const key of keys) ids.push(await send(key, 5_000))
  await until(() => alice.logs.some(({ message }) => message === 'delivery waits'))
  const bob = await network.script('@bob')
  network.clock.advance(12_000)
  await until(() => isDelivered(ids.at(-1) ?? ''))
  expect(bob.linesWith('notify:').map(keyIn)).toEqual(keys)
})

it('no more characters are in flight than a bound, and the one that reaches it', async () => {
  const characters = 200_000
  const most = Math.ceil(limits.deliveryChars / characters)
  await network.script('@bob').then((peer) => peer.close())
  const ids: string[] = []
  for (let index = 0; index < 3 * most; index++) ids.push(await send(`k${index}`, characters))
  await until(() => alice.logs.some(({ message }) => message === 'delivery waits'))
  // The first one is answered once as many as may be are on their way.
  const bob = await network.script('@bob', async (line, { usual }) => {
    if (line === 'info:brief') return 'data:{"features":[{"name":"notify.eAtn","status":"GA"}]}\n@alice@'
    if (keyIn(line) === 'k0') await until(() => bob.maxUnread() >= most)
    return usual()
  })
  network.clock.advance(12_000)
  await until(() => isDelivered(ids.at(-1) ?? ''))
  expect(bob.linesWith('notify:')).toHaveLength(ids.length)
  expect(bob.maxUnread()).toBe(most)
})
