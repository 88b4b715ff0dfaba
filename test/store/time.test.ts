import { expect, test } from 'vitest'
import { manualClock } from '../support/clock.ts'
import { bare, opened, put, start, temporary } from './fixtures.ts'

const decade = 3652 * 86_400_000

/** A store whose writes of the floor are counted. */
async function timed(directory: string, clock = manualClock(start)) {
  const floors: number[] = []
  const lines: string[] = []
  const log = (level: string, message: string) => lines.push(`${level} ${message}`)
  const store = await opened(
    directory,
    { clock, log },
    {
      aroundBatch(write, operations) {
        for (const { key } of operations) if (key === '!meta!clock-floor') floors.push(clock.now())
        return write()
      },
    },
  )
  const set = (key: string) => store.write((tx) => put(tx, `${key}@alice`, '1'))
  return { store, clock, floors, lines, set }
}

test('the floor of the clock goes along with other changes, now and then, and is kept when the store closes', async () => {
  const { store, clock, floors, set } = await timed(await temporary())
  await set('a')
  await set('b')
  clock.advance(599_999)
  await set('c')
  expect(floors).toEqual([start])
  clock.advance(1)
  await set('d')
  expect(floors).toEqual([start, start + 600_000])
  clock.advance(60_000)
  await store.close()
  expect(floors).toEqual([start, start + 600_000, start + 660_000])
})

test('a store that is opened and closed again and again writes nothing', async () => {
  const directory = await temporary()
  const first = await timed(directory)
  await first.set('a')
  await first.store.close()
  const { store, floors } = await timed(directory)
  await store.close()
  expect(floors).toEqual([])
})

test('after a power cut time goes on from the floor, whatever the wall clock shows', async () => {
  const directory = await temporary()
  const before = await timed(directory)
  before.clock.advance(3_600_000)
  await before.set('a')
  await before.store.close()

  const { store, clock, lines } = await timed(directory, manualClock(0))
  expect([store.clock.trusted(), store.clock.now()]).toEqual([false, start + 3_600_000])
  clock.advance(5000)
  expect(store.clock.now()).toBe(start + 3_605_000)
  clock.jump(start + decade / 10)
  clock.voucher = 'timesync'
  expect([store.clock.trusted(), store.clock.now()]).toEqual([true, start + decade / 10 + 5000])
  expect(lines).toEqual([
    'warn the clock is not trusted; time goes on from the last that was known',
    'info the clock is trusted',
  ])
})

test.each([
  ['nobody', true],
  ['timesync', false],
] as const)(
  'a floor from the future that %s vouched for: a time service puts it right is %s',
  async (voucher, isRight) => {
    const directory = await temporary()
    const wrong = manualClock(start + decade)
    wrong.voucher = voucher
    const before = await timed(directory, wrong)
    await before.set('a')
    await before.store.close()
    const right = manualClock(start)
    right.voucher = 'timesync'
    const { store } = await timed(directory, right)
    expect([store.clock.trusted(), store.clock.now()]).toEqual([isRight, isRight ? start : start + decade])
  },
)

test('a damaged floor counts as none', async () => {
  const directory = await temporary()
  const { set, store } = await timed(directory)
  await set('a')
  await store.close()
  const database = await bare(directory)
  await database.batch([{ key: '!meta!clock-floor', value: Buffer.from('nonsense') }], true)
  await database.close()
  const again = await timed(directory)
  expect([again.store.clock.now(), again.store.health().report?.found]).toEqual([start, 1])
})
