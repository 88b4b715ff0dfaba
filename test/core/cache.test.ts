import { expect, test } from 'vitest'
import { createRecurrence } from '../../src/core/cache.ts'

const keys = (count: number): string[] => Array.from({ length: count }, (_, index) => `reading${index}.bench@many`)

test('a key recurs when it was asked for not long ago', () => {
  const recurs = createRecurrence(1_024)
  const few = keys(100)
  expect(few.filter(recurs)).toEqual([])
  expect(few.filter(recurs).length).toBeGreaterThan(80)
})

test('keys that are asked for once in a long while do not recur', () => {
  const recurs = createRecurrence(1_024)
  const many = keys(50_000)
  expect(many.filter(recurs)).toEqual([])
  expect(many.filter(recurs)).toEqual([])
})
