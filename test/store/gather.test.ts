import { expect, test } from 'vitest'
import { createGather } from '../../src/store/gather.ts'

function gathering() {
  let now = 1_000
  const gather = createGather(() => now)
  return { gather, pass: (ms: number) => (now += ms) }
}

test('the first change of all waits for nobody', () => {
  expect(gathering().gather.waits(1)).toBe(false)
})

test('who was answered together is awaited on slow flash, for a millisecond at most', () => {
  const { gather, pass } = gathering()
  gather.wrote(16, 20)
  expect(gather.waits(3)).toBe(true)
  expect(gather.waits(16)).toBe(false)
  pass(0.9)
  expect(gather.waits(3)).toBe(true)
  pass(0.1)
  expect(gather.waits(3)).toBe(false)
})

test('fast flash is kept busy instead', () => {
  const { gather } = gathering()
  gather.wrote(16, 0.7)
  expect(gather.waits(3)).toBe(false)
})

test('who comes alone never waits', () => {
  const { gather } = gathering()
  gather.wrote(1, 10)
  expect(gather.waits(1)).toBe(false)
})
