import fc from 'fast-check'
import { afterEach, describe, expect, test, vi } from 'vitest'
import { latestTime, parseUtc, replyTime, systemClock, wireTime } from '../../src/core/clock.ts'

const at = Date.UTC(2024, 9, 24, 8, 0, 0, 123)

describe('a time is read', () => {
  test.each([
    ['2024-10-24T08:00:00.123Z', at],
    ['2024-10-24 08:00:00.123Z', at],
    ['2024-10-24T08:00:00.123999Z', at],
    ['2024-10-24T08:00:00.123456789012345Z', at],
    ['2024-10-24T08:00:00.12Z', at - 3],
    ['2024-10-24T08:00:00.1Z', at - 23],
    ['2024-10-24T08:00:00Z', at - 123],
    ['2024-02-29T00:00:00Z', Date.UTC(2024, 1, 29)],
    ['9999-12-31T23:59:59.999Z', latestTime],
    ['1970-01-01T00:00:00Z', 0],
    ['1969-12-31T23:59:59.999Z', -1],
  ])('%s', (text, ms) => {
    expect(parseUtc(text)).toBe(ms)
  })

  test.each([
    ['', 'empty'],
    ['2024-10-24T08:00:00.123', 'no zone: local time'],
    ['2024-10-24T08:00:00+01:00', 'another zone'],
    ['2024-10-24T08:00:00z', 'lower-case zone'],
    ['2024-10-24T08:00:00.Z', 'a point without digits'],
    ['2024-10-24T08:00Z', 'no seconds'],
    ['2024-10-24', 'no time'],
    ['2024-13-01T00:00:00Z', 'month 13'],
    ['2024-00-01T00:00:00Z', 'month 0'],
    ['2023-02-29T00:00:00Z', 'a day that the year did not have'],
    ['2024-02-30T00:00:00Z', 'a day that no February has'],
    ['2024-01-01T24:00:00Z', 'hour 24'],
    ['2024-01-01T23:60:00Z', 'minute 60'],
    ['2024-01-01T23:59:60Z', 'second 60'],
    ['12024-01-01T00:00:00Z', 'five-digit year'],
    ['2024-10-24T08:00:00Z\n', 'line end behind it'],
    ['1729756800123', 'a number'],
    ['now', 'a word'],
  ])('%j is refused: %s', (text) => {
    expect(parseUtc(text)).toBeUndefined()
  })
})

describe('a time is written', () => {
  test('inside replies with a blank and three digits', () => {
    expect(replyTime(at)).toBe('2024-10-24 08:00:00.123Z')
  })

  test('inside commands with a T and six digits', () => {
    expect(wireTime(at)).toBe('2024-10-24T08:00:00.123000Z')
  })

  test('so that it reads back, in both spellings', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: latestTime }), (ms) => {
        expect(parseUtc(replyTime(ms))).toBe(ms)
        expect(parseUtc(wireTime(ms))).toBe(ms)
      }),
    )
  })

  test.each([latestTime + 1, 1e15, 8.64e15 + 1, 1e18])('with a year of four digits, even at %d', (ms) => {
    expect(replyTime(ms)).toBe('9999-12-31 23:59:59.999Z')
    expect(wireTime(ms)).toBe('9999-12-31T23:59:59.999000Z')
  })
})

describe('a timer of the machine', () => {
  afterEach(() => {
    vi.useRealTimers()
  })

  test.each([1, 1_000, 2_147_483_647, 2_147_483_648, 10_000_000_000])('waits %d ms', (ms) => {
    vi.useFakeTimers()
    const task = vi.fn()
    systemClock.after(ms, task)
    vi.advanceTimersByTime(ms - 1)
    expect(task).toHaveBeenCalledTimes(0)
    vi.advanceTimersByTime(1)
    expect(task).toHaveBeenCalledTimes(1)
    vi.advanceTimersByTime(ms + 5_000_000_000)
    expect(task).toHaveBeenCalledTimes(1)
  })

  test.each([10, 10_000_000_000])('of %d ms can be cancelled', (ms) => {
    vi.useFakeTimers()
    const task = vi.fn()
    const cancel = systemClock.after(ms, task)
    vi.advanceTimersByTime(ms - 1)
    cancel()
    vi.advanceTimersByTime(ms)
    expect(task).not.toHaveBeenCalled()
    expect(vi.getTimerCount()).toBe(0)
  })

  test('in the past fires at once', () => {
    vi.useFakeTimers()
    const task = vi.fn()
    systemClock.after(-5, task)
    vi.advanceTimersByTime(1)
    expect(task).toHaveBeenCalledOnce()
  })
})
