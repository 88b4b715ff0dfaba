import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decodeBase2e15, encodeBase2e15 } from '../../src/crypto/base2e15.ts'
import { encryptText } from '../../src/crypto/cipher.ts'
import { client } from './vectors.ts'

describe('base2e15', () => {
  test('the values of page 05', () => {
    expect(encodeBase2e15(Uint8Array.of(0xff))).toBe('\ud724')
    const text = encodeBase2e15(Uint8Array.of(0, 1, 2, 3, 0xfe, 0xff))
    expect(text).toBe('\u3480\u754a\ud783\u3470')
    expect(encryptText(text, client.aesKey, client.iv)).toBe('cZJNarYcbVXZinfkRDZnEA==')
  })

  test('comes back as it went in', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        const text = encodeBase2e15(bytes)
        expect(decodeBase2e15(text)).toEqual(bytes)
        expect(text.isWellFormed()).toBe(true)
      }),
    )
  })

  test('covers every value of fifteen bits', () => {
    const bytes = Buffer.alloc(2 * 32_768 * 15)
    for (let at = 0; at < bytes.length; at += 2) bytes.writeUInt16BE((at * 40_503) & 0xffff, at)
    expect(Buffer.from(decodeBase2e15(encodeBase2e15(bytes))).equals(bytes)).toBe(true)
  })

  test('skips foreign characters', () => {
    expect(decodeBase2e15(' \u3480\u754a\n\ud783-\u3470\ud7a4')).toEqual(Uint8Array.of(0, 1, 2, 3, 0xfe, 0xff))
  })
})
