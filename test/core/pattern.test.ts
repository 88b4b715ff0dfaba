import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { compilePattern } from '../../src/core/pattern.ts'
import { refusal } from '../vectors/read.ts'

describe('a pattern', () => {
  test.each([
    ['.*', 'anything', true],
    ['', 'anything', true],
    ['wavi', '@bob:phone.wavi@alice', true],
    ['Wavi', '@bob:phone.wavi@alice', false],
    ['^public:', 'public:x@alice', true],
    ['^public:', '@bob:public@alice', false],
    ['\\.wavi@', 'x.wavi@alice', true],
    ['\\.wavi@', 'xwavi@alice', false],
    ['(?i)WAVI', 'x.wavi@alice', true],
    ['phone|mail', 'mail@alice', true],
    ['^.{3}@', 'abc@alice', true],
    ['🦄', 'x.🦄@alice', true],
    ['constructor', 'x@alice', false],
  ])('%j on %j: %j', (source, text, found) => {
    expect(compilePattern(source)(text)).toBe(found)
  })

  test('that is plain text finds what a regex would find', () => {
    fc.assert(
      fc.property(
        fc.string({ unit: fc.constantFrom(...'ab_@:-1'), minLength: 1, maxLength: 6 }),
        fc.string({ unit: fc.constantFrom(...'ab_@:-1'), maxLength: 20 }),
        (source, text) => {
          expect(compilePattern(source)(text)).toBe(new RegExp(source).test(text))
        },
      ),
    )
  })

  test.each(['(a+)+$', '(a|aa)+$', '^(a|a?)+$', '(.*a){12}$', '(?:a?){90}a{90}$'])(
    'cannot stop the server: %s on 50,000 letters',
    (source) => {
      expect(compilePattern(source)(`${'a'.repeat(50_000)}!`)).toBe(false)
    },
  )
})

describe('a pattern is refused', () => {
  test.each([
    ['(a)\\1', 'back-reference'],
    ['(?P<x>a)(?P=x)', 'named back-reference'],
    ['(?=a)b', 'look-ahead'],
    ['(?!a)b', 'negative look-ahead'],
    ['(?<=a)b', 'look-behind'],
    ['(?<!a)b', 'negative look-behind'],
    ['(', 'open group'],
    ['[a', 'open class'],
    ['*', 'nothing to repeat'],
    ['a{2000}', 'too many repetitions'],
    ['((a{100}){100}){100}', 'too many repetitions inside repetitions'],
    ['a\\', 'trailing backslash'],
  ])('%s: %s', (source) => {
    const { code, message } = refusal(() => compilePattern(source))
    expect(code).toBe('AT0003')
    expect(message).toContain(`Invalid regex: ${source} (`)
    expect(message).not.toMatch(/[\r\n]/)
  })

  test.each([
    '[a-z]{1,1000}'.repeat(30),
    '(x{0,600}|y)'.repeat(2),
    '((a{1,40}){1,40})',
    '(?:ab{2}(c[^]{9}]d){50}){3}',
    '[\\]a]{1000}b',
    'a{999}bc',
    '(a?b?){150}c{2}',
  ])('that is short and becomes large: %s', (source) => {
    const { code, message } = refusal(() => compilePattern(source))
    expect(code).toBe('AT0003')
    expect(message).toContain('(its repetitions come to more than 300 steps)')
  })

  test.each([
    '^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\\.wavi@',
    '^.{1,200}@alice$',
    '(\\d{1,3}\\.){3}\\d{1,3}',
    'x{,5}',
    'a{',
    '[{9999}]',
  ])('but not %s', (source) => {
    expect(compilePattern(source)('nothing of it')).toBe(false)
  })

  test(`over ${limits.patternLength} characters`, () => {
    expect(compilePattern('a'.repeat(limits.patternLength))('a')).toBe(false)
    expect(refusal(() => compilePattern('a'.repeat(limits.patternLength + 1)))).toEqual({
      code: 'AT0003',
      message: 'Invalid regex: longer than 512 characters',
    })
  })

  test('with AT0003 and nothing else, whatever it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: fc.constantFrom(...'ab(){}[]*+?|^$\\.,-<!=P1:'), maxLength: 30 }), (source) => {
        try {
          compilePattern(source)('ab1')
        } catch (error) {
          expect(error).toMatchObject({ code: 'AT0003' })
        }
      }),
      { numRuns: 1_000 },
    )
  })
})
