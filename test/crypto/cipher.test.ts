import { constants, createPublicKey, publicEncrypt } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  createIvSource,
  decryptText,
  encryptText,
  isAesKey,
  keyFingerprint,
  keyHash,
  newAesKey,
  unwrapKey,
  wrapKey,
} from '../../src/crypto/cipher.ts'
import { auth, ciphertexts, client } from './vectors.ts'

const { aesKey, iv, wrappingIv } = client
const wellFormed = fc.string({ unit: 'grapheme' })

describe('values of the protocol pages', () => {
  test.each(ciphertexts)('%j under three IVs', (plain, zero, random, wrapping) => {
    expect(encryptText(plain, aesKey)).toBe(zero)
    expect(encryptText(plain, aesKey, iv)).toBe(random)
    expect(encryptText(plain, aesKey, wrappingIv)).toBe(wrapping)
    expect(decryptText(zero, aesKey)).toBe(plain)
    expect(decryptText(random, aesKey, iv)).toBe(plain)
    expect(decryptText(wrapping, aesKey, wrappingIv)).toBe(plain)
  })

  test.each([
    ['hello', auth.aesHello],
    ['0123456789abcdef', auth.aes16Chars],
    ['@alice🛠', auth.aesEmoji],
    [auth.rsaPublic, auth.aesRsaPublic],
  ])('%.20s as a keys file holds it', (plain, encrypted) => {
    expect(encryptText(plain, auth.aesKey)).toBe(encrypted)
    expect(decryptText(encrypted, auth.aesKey)).toBe(plain)
  })
})

describe('encryption', () => {
  const newIv = createIvSource()

  test('comes back as it went in', () => {
    fc.assert(
      fc.property(wellFormed, (plain) => {
        const nonce = newIv()
        const key = newAesKey()
        expect(decryptText(encryptText(plain, key, nonce), key, nonce)).toBe(plain)
      }),
    )
  })

  test('keeps a byte order mark and a zero character', () => {
    expect(decryptText(encryptText('\ufeff\u0000x', aesKey), aesKey)).toBe('\ufeff\u0000x')
  })

  test('keys and nonces have their sizes and are never the same', () => {
    expect(isAesKey(newAesKey())).toBe(true)
    expect(newAesKey()).not.toBe(newAesKey())
    // More than are drawn at one time.
    const nonces = Array.from({ length: 1_000 }, newIv)
    for (const nonce of nonces) expect(nonce).toMatch(/^[A-Za-z0-9+/]{22}==$/)
    expect(new Set(nonces).size).toBe(nonces.length)
    expect(createIvSource()()).not.toBe(createIvSource()())
  })

  test.each([
    ['half a character', '\ud83d', aesKey, iv, 'half a surrogate pair'],
    ['a short key', 'x', 'AAAA', iv, 'AES key'],
    ['a key of 33 bytes', 'x', Buffer.alloc(33).toString('base64'), iv, 'AES key'],
    ['a short nonce', 'x', aesKey, 'AAAA', 'ivNonce'],
    ['an empty nonce', 'x', aesKey, '', 'ivNonce'],
  ])('refuses %s', (_, plain, key, nonce, reason) => {
    expect(() => encryptText(plain, key, nonce)).toThrow(reason)
  })
})

describe('decryption refuses', () => {
  const raw = (bytes: Buffer): string => {
    // Counter mode: the key stream is what a text of zeros turns into.
    const stream = Buffer.from(encryptText('\u0000'.repeat(bytes.length), aesKey, iv), 'base64')
    return Buffer.from(bytes.map((byte, at) => byte ^ (stream[at] ?? 0))).toString('base64')
  }
  const block = (...tail: number[]): Buffer => Buffer.from([...Array(16 - tail.length).fill(0x41), ...tail])

  test.each([
    ['text that is not base64', 'AAAA AAAA', 'not base64'],
    ['half a block', 'AAAA', 'not a multiple of 16'],
    ['nothing', '', 'not a multiple of 16'],
    ['padding of zero', raw(block(0)), 'padding'],
    ['padding of seventeen', raw(block(17)), 'padding'],
    ['uneven padding', raw(block(2, 3, 3)), 'padding'],
    ['bytes that are not UTF-8', raw(block(0xc3, 1)), 'UTF-8'],
  ])('%s', (_, encrypted, reason) => {
    expect(() => decryptText(encrypted, aesKey, iv)).toThrow(reason)
  })

  test('another key or nonce, all but about one time in 256', () => {
    const encrypted = encryptText('21.5', aesKey, iv)
    expect(() => decryptText(encrypted, aesKey)).toThrow('the key or the IV is another one')
    expect(() => decryptText(encrypted, Buffer.alloc(32).toString('base64'), iv)).toThrow('another one')
  })
})

describe('wrapped keys', () => {
  const wrap = (payload: Buffer): string =>
    publicEncrypt(
      {
        key: createPublicKey({ key: Buffer.from(client.publicKey, 'base64'), format: 'der', type: 'spki' }),
        padding: constants.RSA_PKCS1_PADDING,
      },
      payload,
    ).toString('base64')
  const wrapRaw = (block: Buffer): string =>
    publicEncrypt(
      {
        key: createPublicKey({ key: Buffer.from(client.publicKey, 'base64'), format: 'der', type: 'spki' }),
        padding: constants.RSA_NO_PADDING,
      },
      block,
    ).toString('base64')
  const framed = (head: number[], filler = 0x55): Buffer =>
    Buffer.concat([Buffer.from(head), Buffer.alloc(211 - head.length, filler), Buffer.from([0]), Buffer.from(aesKey)])

  test('the one of page 05', () => {
    expect(unwrapKey(client.privateKey, client.wrapped)).toBe(aesKey)
  })

  test('come back as they went in', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        const key = Buffer.from(bytes).toString('base64')
        const wrapped = wrapKey(client.publicKey, key)
        expect(wrapped).toHaveLength(344)
        expect(unwrapKey(client.privateKey, wrapped)).toBe(key)
      }),
      { numRuns: 30 },
    )
  })

  test('a block written by hand opens, so that the refusals below mean something', () => {
    expect(unwrapKey(client.privateKey, wrapRaw(framed([0, 2])))).toBe(aesKey)
  })

  test.each([
    ['padding type 1', wrapRaw(framed([0, 1]))],
    ['a first byte', wrapRaw(framed([1, 2]))],
    ['a zero at the start of the padding', wrapRaw(framed([0, 2, 0]))],
    ['a zero inside the padding', wrapRaw(framed([0, 2, 7, 7, 7, 7, 0]))],
    ['no zero before the payload', wrapRaw(Buffer.from(framed([0, 2]).map((byte, at) => (at === 211 ? 1 : byte))))],
    ['a payload of 43', wrap(Buffer.from(aesKey.slice(1)))],
    ['a payload of 45', wrap(Buffer.from(`${aesKey}x`))],
    ['the 32 bytes themselves', wrap(Buffer.alloc(32, 1))],
    ['44 characters that are not base64', wrap(Buffer.alloc(44, 0x2a))],
    ['44 characters that hold 33 bytes', wrap(Buffer.alloc(44, 0x41))],
    ['another key pair', wrapKey(auth.rsaPublic, aesKey)],
    ['a number above the modulus', Buffer.alloc(256, 0xff).toString('base64')],
    ['nothing', ''],
    ['a single block too few', Buffer.alloc(255, 1).toString('base64')],
    ['a megabyte', Buffer.alloc(1_000_000, 1).toString('base64')],
  ])('refused in one and the same sentence: %s', (_, wrapped) => {
    expect(() => unwrapKey(client.privateKey, wrapped)).toThrow('the wrapped key was not made for this key pair')
  })

  test('a public key that is too small is named', () => {
    // SPKI of a modulus of 64 bits: well-formed, and a peer may publish whatever it likes.
    const tiny = 'MCQwDQYJKoZIhvcNAQEBBQADEwAwEAIJAMWhMnLS4nMzAgMBAAE='
    expect(() => wrapKey(tiny, aesKey)).toThrow('the public key cannot encrypt')
  })

  test('malformed arguments are named', () => {
    expect(() => wrapKey('AAAA', aesKey)).toThrow('the public key')
    expect(() => wrapKey(client.publicKey, 'AAAA')).toThrow('the AES key')
    expect(() => unwrapKey('AAAA', client.wrapped)).toThrow('the private key')
    expect(() => unwrapKey(client.privateKey, '*')).toThrow('the wrapped key is not base64')
  })
})

describe('hashes of a public key', () => {
  test('pubKeyCS and pubKeyHash of page 05', () => {
    expect(keyFingerprint(client.publicKey)).toBe(client.fingerprint)
    expect(keyHash(client.publicKey, 'sha512')).toBe(client.sha512)
    expect(keyHash(client.publicKey, 'sha256')).toMatch(/^[0-9a-f]{64}$/)
  })
})
