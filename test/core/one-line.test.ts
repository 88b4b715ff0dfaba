import fc from 'fast-check'
import { expect, test } from 'vitest'
import { jsonLine, lineBreak } from '../../src/core/one-line.ts'

test('JSON is one line for every client, and says the same', () => {
  const texts = fc.array(
    fc.string({ unit: fc.constantFrom('a', '"', '\\', '\0', '\r', '\n', '\u0085', '\u2028', '\u2029') }),
  )
  fc.assert(
    fc.property(texts, (value) => {
      expect(jsonLine(value)).not.toMatch(lineBreak)
      expect(JSON.parse(jsonLine(value))).toEqual(value)
    }),
  )
})
