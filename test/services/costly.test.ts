import { expect, test } from 'vitest'
import { createCostly } from '../../src/services/costly.ts'
import { manualClock } from '../support/clock.ts'

/** Something that is found when a test says so. */
function finding() {
  const clock = manualClock()
  const asked: { resolve(answer: string): void; reject(error: Error): void }[] = []
  const ask = createCostly(clock, () => new Promise<string>((resolve, reject) => asked.push({ resolve, reject })))
  return { clock, asked, ask }
}

test('what is found quickly is found anew each time', async () => {
  const { clock, asked, ask } = finding()
  for (const answer of ['one', 'two']) {
    const reply = ask()
    clock.advance(100)
    asked.at(-1)?.resolve(answer)
    expect(await reply).toBe(answer)
  }
  expect(asked).toHaveLength(2)
})

test('whoever asks while it is looked for shares the answer, and it is given again for twenty times as long', async () => {
  const { clock, asked, ask } = finding()
  const replies = [ask(), ask()]
  clock.advance(1_000)
  replies.push(ask())
  asked[0]?.resolve('one')
  expect(await Promise.all(replies)).toEqual(['one', 'one', 'one'])
  clock.advance(19_999)
  expect(await ask()).toBe('one')
  clock.advance(1)
  const later = ask()
  expect(asked).toHaveLength(2)
  asked[1]?.resolve('two')
  expect(await later).toBe('two')
})

test('what failed is looked for anew', async () => {
  const { clock, asked, ask } = finding()
  const failed = ask()
  clock.advance(1_000)
  asked[0]?.reject(new Error('damaged'))
  await expect(failed).rejects.toThrow('damaged')
  const again = ask()
  asked[1]?.resolve('one')
  expect(await again).toBe('one')
})
