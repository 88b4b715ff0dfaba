import { expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { createCrowding } from '../../src/services/crowding.ts'
import { manualClock } from '../support/clock.ts'

const room = { count: 160, bytes: 16_000 }
const [roomy, crowded] = [
  { count: 149, bytes: 14_999 },
  { count: 150, bytes: 0 },
]

/** What every round gives, and what was asked for and said. */
function pretended(outcome: () => number) {
  const clock = manualClock(1_000_000)
  const rounds: unknown[] = []
  const lines: string[] = []
  const crowding = createCrowding({
    store: {
      async thinOut(...how) {
        rounds.push(how)
        return outcome()
      },
    },
    ...{ clock, room },
    log: (_level, message, members) => void lines.push(`${message} ${JSON.stringify(members)}`),
  })
  const look = async (held = crowded): Promise<number> => {
    crowding.look('@bob', held)
    await new Promise((resolve) => setImmediate(resolve))
    return rounds.length
  }
  return { clock, rounds, lines, crowding, look }
}

test('a peer whose room is nearly full has its oldest dropped, none that has just arrived', async () => {
  const { look, rounds } = pretended(() => 10)
  expect(await look(roomy)).toBe(0)
  expect(await look()).toBe(1)
  expect(rounds).toEqual([['@bob', { count: 140, bytes: 14_000 }, 1_000_000 - limits.receivedKeepMs]])
  expect(await look({ count: 1, bytes: 15_000 })).toBe(2)
})

test('it is told once a minute, however often it is done', async () => {
  const { look, lines, clock } = pretended(() => 10)
  for (let times = 1; times <= 5; times++) expect(await look()).toBe(times)
  expect(lines).toHaveLength(1)
  clock.advance(60_000)
  expect(lines).toHaveLength(2)
  expect(lines[1]).toContain('"count":4')
})

test('where everything is too young, or the store fails, it is tried again a second later', async () => {
  let fails = false
  const { look, lines, clock, crowding } = pretended(() => {
    if (fails) throw new Error('no space left on device')
    return 0
  })
  expect([await look(), await look()]).toEqual([1, 1])
  fails = true
  clock.advance(1_000)
  expect([await look(), await look()]).toEqual([2, 2])
  expect(lines).toHaveLength(1)
  expect(lines[0]).toContain('no space left')
  clock.advance(1_000)
  crowding.close()
  expect(await look()).toBe(2)
})
