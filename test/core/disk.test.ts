import { expect, test } from 'vitest'
import { type DiskState, fillOf, nextState } from '../../src/core/disk.ts'

const MiB = 1_048_576

test('a store fills the disk that it lies on, or what it may take', () => {
  expect(fillOf({ totalBytes: 800 * MiB, freeBytes: 200 * MiB }, 10 * MiB, undefined)).toBe(0.75)
  expect(fillOf({ totalBytes: 800 * MiB, freeBytes: 200 * MiB }, 10 * MiB, 11 * MiB)).toBeCloseTo(0.909)
  expect(fillOf({ totalBytes: 800 * MiB, freeBytes: 200 * MiB }, 10 * MiB, 90 * MiB)).toBe(0.75)
})

test('a large disk with more than 1 GiB left is not full', () => {
  expect(fillOf({ totalBytes: 2_000_000 * MiB, freeBytes: 1024 * MiB }, 0, undefined)).toBe(0)
  expect(fillOf({ totalBytes: 2_000_000 * MiB, freeBytes: 1023 * MiB }, 0, undefined)).toBeGreaterThan(0.99)
})

test('a small disk is full while the database still has room to work in', () => {
  const fill = (freeMiB: number) => fillOf({ totalBytes: 400 * MiB, freeBytes: freeMiB * MiB }, 0, undefined)
  expect([fill(144), fill(127), fill(95)].map((at) => nextState('ok', at))).toEqual(['ok', 'tight', 'full'])
})

test('states begin higher than they end', () => {
  const fills = [0.89, 0.9, 0.88, 0.869, 0.88, 0.97, 0.95, 0.94, 0.939, 0.9, 0.87, 0.86]
  let state: DiskState = 'ok'
  const states = fills.map((fill) => {
    state = nextState(state, fill)
    return state
  })
  expect(states.join(' ')).toBe('ok tight tight ok ok full full full tight tight tight ok')
})
