import { expect, test } from 'vitest'
import { createCache, createRecurrence } from '../../src/core/cache.ts'

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

const held = (cache: { get(key: string): unknown }, names: readonly string[]): string[] =>
  names.filter((name) => cache.get(name) !== undefined)

test('a cache holds what is set in turn, as long as it fits into three quarters of it', () => {
  const cache = createCache<number>(1_000, () => 10)
  const names = keys(75)
  for (let round = 0; round < 9; round++) {
    for (const [index, name] of names.entries()) cache.set(name, index)
    expect(held(cache, names)).toEqual(names)
  }
})

test('what is seldom asked for stays beside a few that are asked for all the while', () => {
  const cache = createCache<number>(1_000, () => 10)
  const [seldom = '', ...often] = keys(40)
  cache.set(seldom, 1)
  for (let round = 0; round < 50; round++)
    for (const name of often) if (cache.get(name) === undefined) cache.set(name, 2)
  expect(held(cache, [seldom])).toEqual([seldom])
})

test('what is asked for stays, and what is not makes room for what comes', () => {
  const cache = createCache<number>(1_000, () => 10)
  const [hot, passing] = [keys(10), keys(1_000).slice(10)]
  for (const name of hot) cache.set(name, 1)
  for (const name of passing) {
    cache.set(name, 2)
    expect(held(cache, hot)).toEqual(hot)
  }
  expect(held(cache, passing.slice(0, 890))).toEqual([])
  expect(held(cache, passing.slice(-10))).toEqual(passing.slice(-10))
})

test('the size of a value is that of its latest version, and a huge one takes no place', () => {
  const cache = createCache<number>(1_000, (_key, value = 10) => value)
  const names = keys(7)
  for (const size of [100, 50, 100]) for (const name of names) cache.set(name, size)
  expect(held(cache, names)).toEqual(names)
  cache.set(names[0] ?? '', 126)
  expect(held(cache, names)).toEqual(names.slice(1))
  cache.set('absent', undefined)
  expect(cache.get('absent')).toEqual({ value: undefined, bytes: 10 })
  cache.clear()
  expect(held(cache, ['absent', ...names])).toEqual([])
})
