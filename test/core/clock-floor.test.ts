import { describe, expect, test } from 'vitest'
import { type ClockStatus, createFlooredClock, earliestTime } from '../../src/core/clock-floor.ts'
import { manualClock } from '../support/clock.ts'

const day = 86_400_000
const decade = 3652 * day
const morning = Date.UTC(2026, 10, 20, 8)

/** A board whose wall clock shows `wall`, with the floor of an earlier run. */
function board(wall: number, floor?: number) {
  const base = manualClock(wall)
  const heard: ClockStatus[] = []
  return { base, clock: createFlooredClock(base, floor, (status) => heard.push(status)), heard }
}

describe('a wall clock that nobody vouches for', () => {
  test('is believed while nothing speaks against it, on the first day and on later ones', () => {
    for (const floor of [undefined, morning - 300 * day, morning]) {
      const { base, clock } = board(morning, floor)
      base.advance(1234)
      expect(clock.now()).toBe(morning + 1234)
      expect(clock.status()).toEqual({ trusted: true, source: 'plausible', floor: morning + 1234 })
    }
  })

  test('is not believed in 1970: time goes on from the floor, by what has passed', () => {
    const { base, clock } = board(0, morning)
    expect([clock.trusted(), clock.now()]).toEqual([false, morning])
    base.advance(5000)
    expect(clock.status()).toEqual({ trusted: false, source: 'none', floor: morning + 5000 })
  })

  test('is not believed in 1970 on a board that never ran: no time before this program is given', () => {
    const { clock } = board(0)
    expect([clock.trusted(), clock.now()]).toEqual([false, earliestTime])
  })

  test('never goes back to a millisecond that it gave before', () => {
    const { base, clock } = board(morning)
    expect(clock.now()).toBe(morning)
    base.jump(500)
    expect(clock.trusted()).toBe(true)
    base.jump(-500)
    expect(clock.now()).toBe(morning + 500)
  })

  test.each([decade, -decade])('is not believed when it jumps by %d ms, and is again when it comes back', (jump) => {
    const { base, clock, heard } = board(morning, morning - day)
    expect(clock.now()).toBe(morning)
    base.jump(jump)
    base.advance(60_000)
    expect([clock.trusted(), clock.now()]).toEqual([false, morning + 60_000])
    base.advance(60_000)
    base.jump(-jump)
    expect([clock.trusted(), clock.now()]).toEqual([true, morning + 120_000])
    expect(heard.map(({ source }) => source)).toEqual(['plausible', 'none', 'plausible'])
  })

  test('is not believed when it is ten years ahead of an earlier run', () => {
    const { clock } = board(morning + decade, morning)
    expect([clock.trusted(), clock.now()]).toEqual([false, morning])
  })

  test('never runs backwards when it is set back a little', () => {
    const { base, clock } = board(morning)
    expect(clock.now()).toBe(morning)
    base.jump(-20_000)
    base.advance(15_000)
    expect([clock.trusted(), clock.now()]).toEqual([true, morning])
    base.advance(15_000)
    expect(clock.now()).toBe(morning + 10_000)
  })
})

describe('a time service', () => {
  test('that has yet to set the wall clock makes it untrusted, however likely it looks', () => {
    const { base, clock } = board(morning + 3 * day, morning)
    base.voucher = 'waiting'
    expect([clock.trusted(), clock.now()]).toEqual([false, morning])
    base.advance(1000)
    base.voucher = 'timesync'
    expect(clock.status()).toEqual({ trusted: true, source: 'timesync', floor: morning + 3 * day + 1000 })
  })

  test('is believed after ten years in a drawer', () => {
    const { base, clock } = board(morning + decade, morning)
    base.voucher = 'timesync'
    expect([clock.trusted(), clock.now()]).toEqual([true, morning + decade])
  })

  test('at a start puts a floor right that nobody vouched for, and none that was vouched for', () => {
    const base = manualClock(morning)
    base.voucher = 'timesync'
    const future = morning + decade
    expect(createFlooredClock(base, future, undefined, morning - day).status()).toEqual({
      ...{ trusted: true, source: 'timesync', floor: morning },
    })
    const vouched = createFlooredClock(base, future, undefined, future)
    expect([vouched.trusted(), vouched.now()]).toEqual([false, future])
  })

  test.each([decade, -decade])('does not vouch for a jump of %d ms that somebody makes by hand later', (jump) => {
    const { base, clock } = board(morning, morning)
    base.voucher = 'timesync'
    expect(clock.trusted()).toBe(true)
    base.jump(jump)
    expect([clock.trusted(), clock.now()]).toEqual([false, morning])
  })

  test('may set the clock back by hours: time stands still until it is right', () => {
    const { base, clock } = board(morning, morning)
    expect(clock.now()).toBe(morning)
    base.voucher = 'timesync'
    base.jump(-7_200_000)
    expect([clock.trusted(), clock.now()]).toEqual([true, morning])
    base.advance(7_300_000)
    expect(clock.now()).toBe(morning + 100_000)
  })
})

describe('the word of the operator', () => {
  test.each([decade, -decade + 3000 * day])('puts a floor right that is off by %d ms', (off) => {
    const { base, clock } = board(morning, morning + off)
    base.voucher = 'setting'
    expect(clock.status()).toEqual({ trusted: true, source: 'setting', floor: morning })
  })

  test('does not make 1970 true', () => {
    const { base, clock } = board(0, morning)
    base.voucher = 'setting'
    expect([clock.trusted(), clock.now()]).toEqual([false, morning])
  })
})

test('timers and lengths of time know nothing of jumps', () => {
  const { base, clock } = board(morning)
  let rang = 0
  clock.after(1000, () => rang++)
  const before = clock.monotonic()
  base.jump(decade)
  base.advance(999)
  expect([clock.monotonic() - before, rang]).toEqual([999, 0])
  base.advance(1)
  expect(rang).toBe(1)
})
