import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { cachedForm, isCommitted, keyKind, makeAtKey, namespaceOf, parseAtKey } from '../../src/core/at-key.ts'
import { refusal, vectors } from '../vectors/read.ts'

describe('a key', () => {
  test.each(vectors('atkey_valid.txt'))('%s', (text, stored, kind, namespace, committed) => {
    const key = parseAtKey(text ?? '')
    expect(key.text).toBe(stored === '=' ? text : stored)
    expect(keyKind(key) ?? 'none').toBe(kind)
    expect(namespaceOf(key) ?? '-').toBe(namespace)
    expect(isCommitted(key) ? 'yes' : 'no').toBe(committed)
    expect(parseAtKey(key.text)).toEqual(key)
    expect(makeAtKey(key)).toEqual(key)
  })

  test.each(vectors('atkey_invalid.txt'))('%j is refused with %s: %s', (text, code) => {
    expect(refusal(() => parseAtKey(text ?? '')).code).toBe(code)
  })

  test('line ends and control characters are refused', () => {
    for (const character of ['\n', '\r', '\t', '\u0000', '\u007f', '\u0085', '\u2028', '\ufeff', '\ud83d']) {
      expect(refusal(() => parseAtKey(`a${character}b@alice`)).code).toBe('AT0016')
    }
  })

  test('the refusal names the prefix that is unknown', () => {
    expect(refusal(() => parseAtKey('privat:x@alice')).message).toBe('unknown prefix "privat" in key privat:x@alice')
  })

  test('of an owner is kept by its recipient under cached:', () => {
    expect(cachedForm(parseAtKey('@bob:phone.wavi@alice')).text).toBe('cached:@bob:phone.wavi@alice')
    expect(cachedForm(parseAtKey('public:phone@alice')).text).toBe('cached:public:phone@alice')
  })

  test('never survives in a form that reads differently', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab.:@_-*🦄 '), maxLength: 24 }), (text) => {
        let stored: string
        try {
          stored = parseAtKey(text).text
        } catch {
          return
        }
        expect(parseAtKey(stored).text).toBe(stored)
      }),
      { numRuns: 2_000 },
    )
  })
})

describe('the length of a key', () => {
  const named = (length: number, prefix = '') => `${prefix}${'a'.repeat(length - prefix.length - 6)}@alice`
  const tooLong = (length: number, most: number) => ({
    code: 'AT0016',
    message: `key length ${length} is greater than max allowed ${most} chars`,
  })

  test('is at most 248', () => {
    expect(parseAtKey(named(248)).text).toHaveLength(248)
    expect(refusal(() => parseAtKey(named(249)))).toEqual(tooLong(249, 248))
    expect(refusal(() => parseAtKey(named(249, '@bob:')))).toEqual(tooLong(249, 248))
  })

  test('is at most 255 for copies, so that cached: always fits', () => {
    expect(parseAtKey(named(255, 'cached:@bob:')).text).toHaveLength(255)
    expect(refusal(() => parseAtKey(named(256, 'cached:@bob:')))).toEqual(tooLong(256, 255))
    expect(parseAtKey(cachedForm(parseAtKey(named(248, '@bob:'))).text).text).toHaveLength(255)
  })

  test('counts UTF-16 units', () => {
    expect(parseAtKey(`${'🦄'.repeat(121)}@alice`).text).toHaveLength(248)
    expect(refusal(() => parseAtKey(`${'🦄'.repeat(122)}@alice`)).code).toBe('AT0016')
  })

  test.each(['a', '.', '🦄', '\u3000', ':', '@', '@.'])('a flood of %j is refused without work', (unit) => {
    expect(refusal(() => parseAtKey(`${unit.repeat(4_000_000)}@alice`)).message).toContain('key length')
  })
})
