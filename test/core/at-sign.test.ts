import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { bareName, parseAtSign } from '../../src/core/at-sign.ts'
import { limits } from '../../src/core/limits.ts'
import { refusal } from '../vectors/read.ts'

describe('an atSign is normalised', () => {
  test.each([
    ['@alice', '@alice', 'as it is'],
    ['alice', '@alice', 'a missing @ is added'],
    ['@ALICE', '@alice', 'letters are folded'],
    ['@colin.constable', '@colinconstable', 'dots are dropped'],
    ['.a.l.ice.', '@alice', 'dots are dropped'],
    ['@ÉTÉ', '@été', 'letters of other scripts are folded'],
    ['@🦄🦄', '@🦄🦄', 'emoji stay'],
    ['@👨‍👩‍👧', '@👨‍👩‍👧', 'joined emoji stay'],
    ['@e\u0301', '@e\u0301', 'no Unicode normalisation'],
    ['@漢字', '@漢字', 'other scripts stay'],
    ['@-_%^~|\\"<>', '@-_%^~|\\"<>', 'not restricted'],
    ['@\u2420', '@\u2420', 'the picture of a blank is no control picture'],
    ['@constructor', '@constructor', 'a name of every JavaScript object'],
  ])('%j becomes %j: %s', (text, expected) => {
    expect(parseAtSign(text)).toBe(expected)
  })

  test('normalising twice changes nothing', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 70 }), (text) => {
        let once: string
        try {
          once = parseAtSign(text)
        } catch {
          return
        }
        expect(parseAtSign(once)).toBe(once)
        expect(bareName(parseAtSign(once))).toBe(once.slice(1))
      }),
    )
  })
})

describe('an atSign is refused', () => {
  const onlyOne = 'invalid @sign: Cannot Contain more than one @ character'
  const something = 'invalid @sign: must include one @ character and at least one character on the right'
  const reserved = "invalid @sign: Cannot contain !*'`();:&=+$,/?#[]{} characters"
  const blank = 'invalid @sign: Cannot Contain whitespace characters'
  const control = 'invalid @sign: must not include control characters'

  test.each(['', '@', '.', '@...'])('%j has no name', (text) => {
    expect(refusal(() => parseAtSign(text))).toEqual({ code: 'AT0011', message: something })
  })

  test.each(['@@', '@a@', 'a@b', '@@alice', '@!@'])('%j has a second @', (text) => {
    expect(refusal(() => parseAtSign(text))).toEqual({ code: 'AT0011', message: onlyOne })
  })

  test.each([..."!*'`();:&=+$,/?#[]{}"])('the reserved character %s', (character) => {
    expect(refusal(() => parseAtSign(`@a${character}b`))).toEqual({ code: 'AT0011', message: reserved })
  })

  test.each(
    [0x20, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x85, 0xa0, 0x1680, 0x2000, 0x2005, 0x200a, 0x2028, 0x2029, 0x202f, 0x205f]
      .concat(0x3000)
      .map((code) => code.toString(16)),
  )('white space U+%s', (code) => {
    const text = `@a${String.fromCodePoint(Number.parseInt(code, 16))}b`
    expect(refusal(() => parseAtSign(text))).toEqual({ code: 'AT0011', message: blank })
  })

  test.each([0x00, 0x08, 0x0e, 0x1f, 0x7f, 0x9f, 0x2400, 0x241f, 0x2421, 0x2424, 0x2425].map((c) => c.toString(16)))(
    'control character U+%s',
    (code) => {
      const text = `@a${String.fromCodePoint(Number.parseInt(code, 16))}b`
      expect(refusal(() => parseAtSign(text))).toEqual({ code: 'AT0011', message: control })
    },
  )

  test('half a surrogate pair', () => {
    expect(refusal(() => parseAtSign('@a\ud83d')).message).toBe('invalid @sign: must be well-formed UTF-8')
  })

  test('without closing the connection', () => {
    expect(() => parseAtSign('@a b')).toThrow(expect.objectContaining({ closes: false }))
  })
})

describe('the length of an atSign', () => {
  const longest = limits.atSignLength - 1

  test('counts its @, not its dots', () => {
    expect(parseAtSign(`@${'a'.repeat(longest)}`)).toHaveLength(limits.atSignLength)
    expect(parseAtSign(`@${'a.'.repeat(longest)}`)).toHaveLength(limits.atSignLength)
    expect(refusal(() => parseAtSign(`@${'a'.repeat(longest + 1)}`)).message).toContain('longer than 55')
  })

  test('counts one emoji once', () => {
    expect(parseAtSign('🦄'.repeat(longest))).toHaveLength(1 + 2 * longest)
    expect(refusal(() => parseAtSign('🦄'.repeat(longest + 1))).message).toContain('longer than 55')
  })

  test.each(['a', '.', '🦄', '@', ' '])('a flood of %j is refused without work', (unit) => {
    expect(refusal(() => parseAtSign(unit.repeat(5_000_000))).message).toContain('longer than 55')
  })
})
