import { expect, test } from 'vitest'
import { createTuning } from '../../src/services/tuning.ts'

const usual = { inboundMaxLimit: 200, autoNotify: true }

test('a setting is what was set, and after a reset what the configuration says', () => {
  const { set, reset, print, tuned } = createTuning(usual, () => {})
  set('inboundMaxLimit', '2')
  set('autoNotify', 'false')
  expect(tuned).toEqual({ inboundMaxLimit: 2, autoNotify: false })
  expect([print('inboundMaxLimit'), print('autoNotify')]).toEqual(['2', 'false'])
  reset('inboundMaxLimit')
  reset('autoNotify')
  expect(tuned).toEqual(usual)
})

test('what means nothing here is remembered and shown', () => {
  const { set, reset, print } = createTuning(usual, () => {})
  expect(print('timeFrameInMillis')).toBeNull()
  set('timeFrameInMillis', '1000')
  expect(print('timeFrameInMillis')).toBe('1000')
  reset('timeFrameInMillis')
  expect(print('timeFrameInMillis')).toBeNull()
})

test('copies are refreshed when that is asked for', () => {
  let rounds = 0
  const { set } = createTuning(usual, () => rounds++)
  set('doCacheRefreshNow', 'false')
  expect(rounds).toBe(0)
  set('doCacheRefreshNow', 'true')
  expect(rounds).toBe(1)
})

test.each([
  ['inboundMaxLimit', '0'],
  ['inboundMaxLimit', '-1'],
  ['inboundMaxLimit', '1e3'],
  ['inboundMaxLimit', '100001'],
  ['autoNotify', 'yes'],
  ['doCacheRefreshNow', '1'],
  ['maxRequestsPerTimeFrame', ''],
  ['maxRequestsPerTimeFrame', 'x'.repeat(65)],
])('%s cannot be %j, and stays as it was', (name, value) => {
  const { set, print } = createTuning(usual, () => {})
  const before = print(name)
  expect(() => set(name, value)).toThrow(
    expect.objectContaining({ code: 'AT0022', message: expect.stringContaining(name) }),
  )
  expect(print(name)).toBe(before)
})
