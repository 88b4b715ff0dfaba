import { generateKeyPairSync, sign } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { generateRsaPair, isPublicKey, signRsa, verifyPkam, verifyRsa } from '../../src/crypto/signing.ts'
import { auth, bound, client } from './vectors.ts'

const rsa = { algo: 'rsa2048', hashing: 'sha256', publicKey: auth.rsaPublic, challenge: auth.challenge } as const
const ecc = { ...rsa, algo: 'ecc_secp256r1', publicKey: auth.eccPublic } as const
const urlSafe = (text: string): string => text.replaceAll('+', '-').replaceAll('/', '_')

describe('RSA signatures of the protocol pages', () => {
  test.each([
    ['pkam, SHA-256', auth.rsaPrivate, auth.challenge, 'sha256', auth.rsaSha256],
    ['pkam, SHA-512', auth.rsaPrivate, auth.challenge, 'sha512', auth.rsaSha512],
    ['pol with a UUID', auth.rsaPrivate, auth.proof, 'sha256', auth.proofSignature],
    ['pol with a bound challenge', auth.rsaPrivate, bound.token, 'sha256', bound.signature],
    ['dataSignature', client.privateKey, '21.5', 'sha256', client.dataSignature],
  ] as const)('%s', (_, key, text, hash, signature) => {
    const publicKey = key === auth.rsaPrivate ? auth.rsaPublic : client.publicKey
    expect(signRsa(key, text, hash)).toBe(signature)
    expect(verifyRsa(publicKey, text, signature, hash)).toBe(true)
    expect(verifyRsa(publicKey, text, urlSafe(signature).replace(/=+$/, ''), hash)).toBe(true)
    expect(verifyRsa(publicKey, `${text} `, signature, hash)).toBe(false)
  })

  test('SHA-256 is the default', () => {
    expect(signRsa(auth.rsaPrivate, auth.challenge)).toBe(auth.rsaSha256)
    expect(verifyRsa(auth.rsaPublic, auth.challenge, auth.rsaSha256)).toBe(true)
  })

  test('a key that is not one is refused when signing', () => {
    expect(() => signRsa('AAAA', 'text')).toThrow('the signing key is not base64')
    expect(() => signRsa(auth.rsaPublic, 'text')).toThrow('the signing key is not base64')
  })
})

describe('a new pair', () => {
  test('signs and verifies and has the size that SDKs expect', async () => {
    const pair = await generateRsaPair()
    expect(pair.publicKey).toHaveLength(392)
    expect(isPublicKey('rsa2048', pair.publicKey)).toBe(true)
    expect(verifyRsa(pair.publicKey, 'text', signRsa(pair.privateKey, 'text'))).toBe(true)
    expect(verifyRsa(auth.rsaPublic, 'text', signRsa(pair.privateKey, 'text'))).toBe(false)
  })
})

describe('pkam', () => {
  test('RSA with both hashes', () => {
    expect(verifyPkam({ ...rsa, signature: auth.rsaSha256 })).toBe(true)
    expect(verifyPkam({ ...rsa, hashing: 'sha512', signature: auth.rsaSha512 })).toBe(true)
    expect(verifyPkam({ ...rsa, hashing: 'sha512', signature: auth.rsaSha256 })).toBe(false)
  })

  test('ECC as it is sent: base64 of the hex digits', () => {
    expect(Buffer.from(auth.eccSent, 'base64').toString()).toBe(auth.eccDigits)
    expect(verifyPkam({ ...ecc, signature: auth.eccSent })).toBe(true)
    expect(verifyPkam({ ...ecc, signature: auth.eccSent, challenge: `${auth.challenge}x` })).toBe(false)
  })

  test('ECC ignores the hash that the command names', () => {
    expect(verifyPkam({ ...ecc, hashing: 'sha512', signature: auth.eccSent })).toBe(true)
  })

  test('ECC of any fresh key', () => {
    const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const point = publicKey.export({ type: 'spki', format: 'der' }).subarray(-65).toString('hex')
    const bytes = sign('sha256', Buffer.from(auth.challenge), { key: privateKey, dsaEncoding: 'ieee-p1363' })
    const signature = Buffer.from(bytes.toString('hex')).toString('base64')
    expect(verifyPkam({ ...ecc, publicKey: point, signature })).toBe(true)
    expect(verifyPkam({ ...ecc, signature })).toBe(false)
  })

  test.each([
    ['RSA: empty signature', { ...rsa, signature: '' }],
    ['RSA: not base64', { ...rsa, signature: 'sha512:AAAA' }],
    ['RSA: too short', { ...rsa, signature: 'AAAA' }],
    ['RSA: no key', { ...rsa, publicKey: '', signature: auth.rsaSha256 }],
    ['RSA: an ECC key', { ...rsa, publicKey: auth.eccPublic, signature: auth.rsaSha256 }],
    ['RSA: a private key', { ...rsa, publicKey: auth.rsaPrivate, signature: auth.rsaSha256 }],
    ['ECC: digits without base64', { ...ecc, signature: auth.eccDigits }],
    ['ECC: raw bytes', { ...ecc, signature: Buffer.from(auth.eccDigits, 'hex').toString('base64') }],
    ['ECC: all zero', { ...ecc, signature: Buffer.from('0'.repeat(128)).toString('base64') }],
    ['ECC: an RSA key', { ...ecc, publicKey: auth.rsaPublic, signature: auth.eccSent }],
    ['ECC: a point beside the curve', { ...ecc, publicKey: `04${'11'.repeat(64)}`, signature: auth.eccSent }],
  ])('refuses without an exception: %s', (_, proof) => {
    expect(verifyPkam(proof)).toBe(false)
  })

  test('refuses any text whatsoever without an exception', () => {
    const text = fc.oneof(fc.string({ unit: 'binary' }), fc.base64String(), fc.string())
    fc.assert(
      fc.property(text, text, (publicKey, signature) => {
        expect(verifyPkam({ ...rsa, publicKey, signature })).toBe(false)
        expect(verifyPkam({ ...rsa, signature })).toBe(false)
        expect(verifyPkam({ ...ecc, signature })).toBe(false)
        expect(isPublicKey('rsa2048', publicKey) || isPublicKey('ecc_secp256r1', publicKey)).toBe(false)
      }),
    )
  })
})

describe('a public key', () => {
  const cut = (modulusLength: number): string =>
    generateKeyPairSync('rsa', { modulusLength }).publicKey.export({ type: 'spki', format: 'der' }).toString('base64')

  test('is known by its algorithm', () => {
    expect(isPublicKey('rsa2048', auth.rsaPublic)).toBe(true)
    expect(isPublicKey('ecc_secp256r1', auth.eccPublic)).toBe(true)
    expect(isPublicKey('rsa2048', auth.eccPublic)).toBe(false)
    expect(isPublicKey('ecc_secp256r1', auth.rsaPublic)).toBe(false)
  })

  test('may be larger than 2,048 bits but not smaller', () => {
    expect(isPublicKey('rsa2048', cut(3_072))).toBe(true)
    expect(isPublicKey('rsa2048', cut(1_024))).toBe(false)
  })

  test('is one line without armour', () => {
    expect(isPublicKey('rsa2048', `${auth.rsaPublic}\n`)).toBe(false)
    expect(isPublicKey('rsa2048', `-----BEGIN PUBLIC KEY-----${auth.rsaPublic}`)).toBe(false)
  })
})
