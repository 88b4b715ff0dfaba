import { describe, expect, test } from 'vitest'
import { AtError, catalogue, isErrorCode, keyNotFound } from '../../src/core/errors.ts'

describe('the catalogue of errors', () => {
  test('closes the connection for these codes alone', () => {
    const closing = Object.entries(catalogue).filter(([, entry]) => entry.closes)
    expect(closing.map(([code]) => code)).toEqual(['AT0002', 'AT0005', 'AT0012', 'AT0013', 'AT0024'])
  })

  test('has no text that a client could take for a result', () => {
    for (const { text } of Object.values(catalogue)) expect(text).not.toMatch(/data:|[\r\n]/)
  })

  test('keeps the words that released clients compare', () => {
    expect(catalogue.AT0015.text).toBe('key not found')
    expect(keyNotFound('x@alice').message).toBe('x@alice does not exist in keystore')
  })

  test.each(['constructor', '__proto__', 'toString', 'at0001', 'AT0014', ''])('does not know %j', (code) => {
    expect(isErrorCode(code)).toBe(false)
  })

  test('lets one error decide otherwise', () => {
    expect(new AtError('AT0003', 'x').closes).toBe(false)
    expect(new AtError('AT0003', 'x', { closes: true }).closes).toBe(true)
    expect(new AtError('AT0005', 'x', { closes: false }).closes).toBe(false)
  })
})
