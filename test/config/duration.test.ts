import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { formatDuration, longestDuration, parseDuration } from '../../src/config/duration.ts'

const sizes = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

describe('a duration', () => {
  test('is a whole number and a unit', () => {
    const unit = fc.constantFrom('ms', 's', 'm', 'h', 'd')
    fc.assert(
      fc.property(fc.nat({ max: 100_000 }), unit, (count, word) => {
        const ms = count * sizes[word]
        expect(parseDuration(`${count}${word}`)).toBe(ms <= longestDuration ? ms : undefined)
      }),
    )
  })

  test('comes back from its shortest spelling', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: longestDuration }), (ms) => {
        expect(parseDuration(formatDuration(ms))).toBe(ms)
      }),
    )
    expect([90_000, 3_600_000, 0, 1_500].map(formatDuration)).toEqual(['90s', '1h', '0ms', '1500ms'])
  })

  test('is nothing else', () => {
    const other = fc.string().filter((text) => !/^\d+(ms|s|m|h|d)$/.test(text))
    fc.assert(fc.property(other, (text) => parseDuration(text) === undefined))
    for (const text of ['', '10', '1.5h', '-1s', '1h30m', ' 1s', '1S', '4000d', '٣s']) {
      expect(parseDuration(text)).toBeUndefined()
    }
  })
})
