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

test('who was answered together is awaited, for a quarter of a flash write', () => {
  const { gather, pass } = gathering()
  gather.wrote(16, 2)
  expect(gather.waits(3)).toBe(true)
  expect(gather.waits(16)).toBe(false)
  pass(0.4)
  expect(gather.waits(3)).toBe(true)
  pass(0.1)
  expect(gather.waits(3)).toBe(false)
})

test('a change waits a millisecond at most, however slow the flash is', () => {
  const { gather, pass } = gathering()
  gather.wrote(16, 50)
  pass(1)
  expect(gather.waits(1)).toBe(false)
})

test('who comes alone never waits', () => {
  const { gather } = gathering()
  gather.wrote(1, 10)
  expect(gather.waits(1)).toBe(false)
})
