import { beforeEach, describe, expect, it } from 'vitest'
import { startAlice } from '../support/alice.ts'
import { type Answer, type ScriptedPeer, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

const minute = 60_000
const refreshTimes = { firstMs: minute, roundMs: 60 * minute, spreadMs: 2, longestPauseMs: 1, retryMs: minute }

let network: TestNetwork
let owner: Client
let bob: ScriptedPeer
/** What @bob answers to `lookup:all:menu.wavi`, without prompt; nothing stands for silence. */
let menu: string | undefined

const record = (entity: string, data: string): string =>
  `data:${JSON.stringify({ key: `@alice:${entity}.wavi@bob`, data, metaData: { ttr: 1 } })}`

const answer: Answer = (line, { usual }) => {
  const entity = /^lookup:all:(menu|tail)\.wavi@bob$/.exec(line)?.[1]
  if (entity === undefined) return usual()
  const text = entity === 'tail' ? record('tail', 'wags') : menu
  return text === undefined ? undefined : `${text}\n@alice@`
}

beforeEach(async () => {
  ;({ network, owner } = await startAlice({ refreshTimes, random: () => 0 }))
  bob = await network.script('@bob', answer)
  menu = record('menu', 'soup')
  for (const entity of ['menu', 'tail']) await owner.ask(`lookup:${entity}.wavi@bob`)
})

const asked = (entity: string): number => bob.linesWith(`lookup:all:${entity}.wavi@bob`).length
const copy = (): Promise<string> => owner.ask('llookup:cached:@alice:menu.wavi@bob')

/** Lets time pass until it is so. */
const passUntil = (condition: () => boolean | Promise<boolean>): Promise<void> =>
  until(async () => {
    if (await condition()) return true
    // Less than a wait for an answer that is on its way.
    network.clock.advance(500)
    return false
  })

describe('the copy of a record whose owner, asked again,', () => {
  it.each([
    ['has it no more', 'error:AT0015-Exception: menu.wavi@bob does not exist in keystore'],
    ['knows nothing of it', 'data:null'],
  ])('%s goes', async (_what, text) => {
    menu = text
    await passUntil(async () => (await copy()).startsWith('error:AT0015-'))
    await passUntil(() => asked('tail') >= 2)
  })

  it.each([
    ['refuses it', 'error:AT0009-Exception: not for you'],
    ['has a fault', 'error:AT0011-Exception: fault'],
    ['answers for another record', record('lamp', 'on')],
  ])('%s stays, and the others of that owner are asked for in the same turn', async (_what, text) => {
    menu = text
    await passUntil(() => asked('tail') >= 2)
    expect(asked('menu')).toBe(2)
    expect(await copy()).toBe('data:soup\n@alice@')
    expect(network.member('@alice').logs.map(({ message }) => message)).not.toContain('copies wait for their owners')
  })

  const comeBack = async (): Promise<void> => {
    bob = await network.script('@bob', answer)
  }

  it.each([
    [
      'says nothing in time',
      async () => {
        menu = undefined
      },
    ],
    ['cannot be reached', () => bob.close()],
    [
      'is not in the directory',
      async () => {
        await bob.close()
        network.table.remove('@bob')
      },
    ],
  ])('%s stays, and is asked for again before the next round', async (_what, leave) => {
    await leave()
    const waits = (): boolean =>
      network.member('@alice').logs.some(({ message }) => message === 'copies wait for their owners')
    await passUntil(waits)
    expect(await copy()).toBe('data:soup\n@alice@')
    const begun = network.clock.now()
    menu = record('menu', 'salad')
    await comeBack()
    await passUntil(async () => (await copy()).startsWith('data:salad'))
    expect(network.clock.now() - begun).toBeLessThan(30 * minute)
  })
})
