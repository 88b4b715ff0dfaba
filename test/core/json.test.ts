import { expect, test } from 'vitest'
import { isDeepJson } from '../../src/core/json.ts'

test.each<[string, number, boolean]>([
  ['', 0, false],
  ['1', 0, false],
  ['[]', 0, true],
  ['[]', 1, false],
  ['[{"a":[]}]', 2, true],
  ['[{"a":[]}]', 3, false],
  ['[[],[],[]]', 2, false],
  ['["[[[[", "\\"[[[["]', 1, false],
  ['["\\\\", [[]]]', 2, true],
  ['{"a":"}"},{"b":{}}', 2, false],
  ['['.repeat(1_000_000), 100, true],
  [']'.repeat(1_000_000), 0, false],
  ['"'.repeat(1_000_001), 0, false],
])('%s deeper than %d levels: %s', (text, levels, deep) => {
  expect(isDeepJson(text, levels)).toBe(deep)
})
