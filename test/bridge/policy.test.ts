import { expect, test } from 'vitest'
import { type Policy, passes } from '../../src/bridge/policy.ts'

const last = { at: 1_000, value: 21.4 }

test.each<[string, Policy, number, string | number | boolean, boolean]>([
  ['without limits everything passes', {}, 1_000, 21.4, true],
  ['too soon', { minInterval: 500 }, 1_499, 30, false],
  ['soon enough', { minInterval: 500 }, 1_500, 30, true],
  ['the clock went back', { minInterval: 500 }, 900, 30, true],
  ['changed too little', { changeThreshold: 0.1 }, 9_000, 21.45, false],
  ['changed just enough, in spite of binary fractions', { changeThreshold: 0.1 }, 9_000, 21.5, true],
  ['changed downwards', { changeThreshold: 0.1 }, 9_000, 21.2, true],
  ['changed enough, but too soon', { changeThreshold: 0.1, minInterval: 500 }, 1_100, 30, false],
  ['another kind of value', { changeThreshold: 5 }, 9_000, 'unavailable', true],
])('%s', (_name, policy, at, value, expected) => {
  expect(passes(policy, last, { at, value })).toBe(expected)
})

test('the first reading always passes, and a word passes when it changes', () => {
  const policy = { minInterval: 1_000, changeThreshold: 1 }
  expect(passes(policy, undefined, last)).toBe(true)
  expect(passes(policy, { at: 0, value: 'ON' }, { at: 5_000, value: 'ON' })).toBe(false)
  expect(passes(policy, { at: 0, value: 'ON' }, { at: 5_000, value: 'OFF' })).toBe(true)
})
