import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { Identity } from '../../src/core/access.ts'
import { AtError, catalogue, type ErrorCode, keyNotFound } from '../../src/core/errors.ts'
import { data, dataSpaced, errorLine, wantsJsonErrors } from '../../src/wire/reply.ts'

const owner: Identity = { kind: 'owner', via: 'cram' }
const peer: Identity = { kind: 'peer', atSign: '@bob' }
const anyone: Identity = { kind: 'anyone' }
const json = '3.0.57'

describe('a result', () => {
  test.each([
    [data('a'), 'data:a'],
    [data(null), 'data:null'],
    [data('data:x'), 'data:data:x'],
    [dataSpaced('[]'), 'data: []'],
  ])('%j', (reply, text) => {
    expect(reply).toEqual({ text, answered: true })
  })
})

describe('an error has one of three shapes (page 01, 5.1 and 5.2)', () => {
  const missing = keyNotFound('nokey.x@alice')
  const denied = new AtError('AT0025', 'enrollment_id: e1 is denied', { shape: 'colon' })

  test.each<[string, AtError, Identity, string | undefined, string]>([
    [
      'plain, owner',
      missing,
      owner,
      undefined,
      'error:AT0015-key not found : nokey.x@alice does not exist in keystore',
    ],
    ['plain, peer', missing, peer, undefined, 'error:AT0015-Exception: nokey.x@alice does not exist in keystore'],
    ['plain, anyone', missing, anyone, undefined, 'error:AT0015-Exception: nokey.x@alice does not exist in keystore'],
    [
      'plain up to 3.0.37',
      missing,
      owner,
      '3.0.37',
      'error:AT0015-key not found : nokey.x@alice does not exist in keystore',
    ],
    [
      'JSON, owner',
      missing,
      owner,
      json,
      'error:{"errorCode":"AT0015","errorDescription":"key not found : nokey.x@alice does not exist in keystore"}',
    ],
    [
      'JSON, anyone',
      missing,
      anyone,
      json,
      'error:{"errorCode":"AT0015","errorDescription":"Exception: nokey.x@alice does not exist in keystore"}',
    ],
    ['colon', denied, anyone, undefined, 'error:AT0025:enrollment_id: e1 is denied'],
    ['colon, even for JSON clients', denied, owner, json, 'error:AT0025:enrollment_id: e1 is denied'],
  ])('%s', (_, error, who, version, line) => {
    expect(errorLine(error, who, version)).toBe(line)
  })

  test('no description says data:, which Java and Python look for first', () => {
    const error = new AtError('AT0003', 'unknown metadata:x, data:, dadata:ta:')
    expect(errorLine(error, owner, undefined)).toBe(
      'error:AT0003-Invalid syntax : unknown metadata :x, data :, dadata :ta:',
    )
  })

  test('line ends and control characters become blanks', () => {
    const error = new AtError('AT0022', 'a\nb\r\nc\u0085d\u2028e\u2029f\u001b[2Jg\u0000h\td\na\nta:')
    expect(errorLine(error, anyone, undefined)).toBe('error:AT0022-Exception: a b c d e f [2Jg h d a ta:')
  })

  test('every error is one line of bounded length without data:', () => {
    const codes = fc.constantFrom(...(Object.keys(catalogue) as ErrorCode[]))
    const text = fc.string({
      unit: fc.constantFrom('data', ':', 'da', 'ta:', '\n', '\r', '\u2028', '"', '\\', '🦄', 'a'),
    })
    const shape = fc.constantFrom('plain', 'colon' as const)
    fc.assert(
      fc.property(
        codes,
        text,
        shape,
        fc.constantFrom(owner, peer, anyone),
        fc.boolean(),
        (code, detail, form, who, asks) => {
          const line = errorLine(new AtError(code, detail, { shape: form }), who, asks ? json : undefined)
          expect(line).toMatch(/^error:[^\r\n\u0085\u2028\u2029]+$/)
          expect(line).not.toContain('data:')
          expect(line.slice(6)).toContain(code)
        },
      ),
    )
    expect(errorLine(new AtError('AT0003', 'x'.repeat(1e6)), owner, undefined).length).toBeLessThan(1_100)
  })
})

describe('JSON errors are for clients that announced a version above 3.0.37', () => {
  test.each(['3.0.38', '3.0.38-dev', '3.0.38+1', '3.1.0', '3.10.0', '4.0.0', '10.0.0', '3.0.100'])('%s', (version) => {
    expect(wantsJsonErrors(version)).toBe(true)
  })

  test.each([
    undefined,
    '',
    '3.0.37',
    '3.0.37+9',
    '3.0.9',
    '2.99.99',
    '0.0.0',
    '3',
    '3.1',
    'v3.1.0',
    'x',
    '3.0.38.1',
    ' 3.1.0',
  ])('not %s', (version) => {
    expect(wantsJsonErrors(version)).toBe(false)
  })
})
