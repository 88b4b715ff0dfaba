import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limitPackets } from '../../src/bridge/packet-limit.ts'
import { createRetainedBudget } from '../../src/bridge/retained.ts'

/** One MQTT packet of `size` bytes after its header. */
function packet(size: number): Buffer {
  const digits: number[] = []
  let rest = size
  do {
    digits.push((rest % 128) + (rest >= 128 ? 128 : 0))
    rest = Math.floor(rest / 128)
  } while (rest > 0)
  return Buffer.concat([Buffer.from([0x30, ...digits]), Buffer.alloc(size, 0xff)])
}

describe('the packet limit', () => {
  test('lets through what fits, however it is cut', () => {
    const sizes = fc.array(fc.integer({ min: 0, max: 20_000 }), { maxLength: 5 })
    fc.assert(
      fc.property(sizes, fc.integer({ min: 1, max: 5_000 }), (lengths, step) => {
        const most = 16_384
        const fits = limitPackets(most)
        const stream = Buffer.concat(lengths.map(packet))
        let verdict = true
        for (let i = 0; i < stream.length; i += step) verdict = fits(stream.subarray(i, i + step))
        expect(verdict).toBe(lengths.every((length) => length <= most))
      }),
    )
  })

  test('judges by the announced length, before the body arrives, and refuses a length without end', () => {
    expect(limitPackets(100)(packet(101).subarray(0, 2))).toBe(false)
    expect(limitPackets(100)(packet(100))).toBe(true)
    expect(limitPackets(2 ** 40)(Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff]))).toBe(false)
  })
})

test('the budget of retained messages counts topics and bytes, and gets them back', () => {
  const budget = createRetainedBudget({ topics: 2, bytes: 100 })
  expect(budget.admit('a', 40)).toBe(true)
  expect(budget.admit('b', 60)).toBe(false)
  expect(budget.admit('b', 50)).toBe(true)
  expect(budget.admit('a', 49)).toBe(false)
  expect(budget.admit('c', 1)).toBe(false)
  expect(budget.admit('b', 10)).toBe(true)
  expect(budget.admit('a', 0)).toBe(true)
  expect(budget.admit('c', 80)).toBe(true)
  expect(budget.admit('nothing', 0)).toBe(true)
})
