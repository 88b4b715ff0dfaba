import { mkdtemp, readdir, readFile, rm, stat, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import { encryptText, newAesKey, unwrapKey, wrapKey } from '../../src/crypto/cipher.ts'
import {
  type AtKeys,
  createAtKeys,
  defaultKeysPath,
  formatKeysFile,
  parseKeysFile,
  readKeysFile,
  writeKeysFile,
} from '../../src/crypto/keys-file.ts'
import { signRsa, verifyRsa } from '../../src/crypto/signing.ts'
import { auth, client } from './vectors.ts'

const known: AtKeys = {
  atSign: '@alice',
  pkamPublicKey: auth.rsaPublic,
  pkamPrivateKey: auth.rsaPrivate,
  encryptPublicKey: client.publicKey,
  encryptPrivateKey: client.privateKey,
  selfEncryptionKey: auth.aesKey,
}

const change = (members: Record<string, unknown>): string =>
  JSON.stringify({ ...JSON.parse(formatKeysFile(known)), ...members })

let directory: string
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atedge-keys-'))
})
afterAll(() => rm(directory, { recursive: true }))

describe('the text of a keys file', () => {
  test('has the members and the encryption of page 02', () => {
    const members = JSON.parse(formatKeysFile(known))
    expect(Object.keys(members)).toEqual([
      'aesPkamPublicKey',
      'aesPkamPrivateKey',
      'aesEncryptPublicKey',
      'aesEncryptPrivateKey',
      'selfEncryptionKey',
      '@alice',
    ])
    expect(members.aesPkamPublicKey).toBe(auth.aesRsaPublic)
    expect(members['@alice']).toBe(auth.aesKey)
  })

  test('fits the 8,192 bytes that at_c reads', () => {
    const enrolled = { ...known, apkamSymmetricKey: newAesKey(), enrollmentId: auth.proof }
    expect(formatKeysFile(enrolled).length).toBeLessThan(8_192)
  })

  test('comes back as it went in', () => {
    const atSign = fc.constantFrom<AtSign>('@alice', '@bob🛠', '@x-1')
    fc.assert(
      fc.property(atSign, fc.boolean(), fc.option(fc.uuid()), (name, symmetric, id) => {
        const keys: AtKeys = {
          ...known,
          atSign: name,
          selfEncryptionKey: newAesKey(),
          ...(symmetric ? { apkamSymmetricKey: newAesKey() } : {}),
          ...(id === null ? {} : { enrollmentId: id }),
        }
        expect(parseKeysFile(formatKeysFile(keys), name)).toEqual(keys)
      }),
      { numRuns: 20 },
    )
  })

  test('may carry members that are newer than us', () => {
    const typed = { version: 1, atsign: '@alice', atsignKeys: [{ keyId: 'x' }], enrollments: [], other: null }
    expect(parseKeysFile(change(typed), '@alice')).toEqual(known)
  })

  test('may name no atSign, as at_java writes it', () => {
    expect(parseKeysFile(change({ '@alice': undefined }), '@alice')).toEqual(known)
  })

  test('may be written with a byte order mark or line breaks', () => {
    const spaced = JSON.stringify(JSON.parse(formatKeysFile(known)), null, 2)
    expect(parseKeysFile(`\ufeff${spaced}\r\n`, '@alice')).toEqual(known)
  })
})

describe('a keys file is refused', () => {
  const hidden = (text: string): string => encryptText(text, auth.aesKey)

  test.each([
    ['not JSON', '{', 'is not JSON'],
    ['empty', '', 'is not JSON'],
    ['a list', '[]', 'not one JSON object'],
    ['null', 'null', 'not one JSON object'],
    ['locked', '{"v":1,"content":"AAAA","iv":"AAAA","hashingAlgoType":"argon2id"}', 'locked with a passphrase'],
    ["another atSign's", change({ '@alice': undefined, '@bob': 'x' }), 'belongs to @bob, not to @alice'],
    ["another atSign's by its typed member", change({ '@alice': undefined, atsign: '@bob' }), 'belongs to @bob'],
    ['no self key', change({ selfEncryptionKey: undefined }), 'has no selfEncryptionKey'],
    [
      'a short self key',
      change({ selfEncryptionKey: 'AAAA' }),
      'selfEncryptionKey in the keys file is not base64 of 32',
    ],
    ['a number', change({ aesPkamPublicKey: 1 }), 'aesPkamPublicKey in the keys file is not text'],
    ['no private key', change({ aesPkamPrivateKey: undefined }), 'has no aesPkamPrivateKey'],
    ['another self key', change({ selfEncryptionKey: Buffer.alloc(32).toString('base64') }), 'cannot be decrypted'],
    ['a key in clear', change({ aesEncryptPublicKey: client.publicKey }), 'aesEncryptPublicKey in the keys file'],
    [
      'no key inside',
      change({ aesEncryptPublicKey: hidden('hello') }),
      'aesEncryptPublicKey in the keys file does not',
    ],
    [
      'halves swapped',
      change({ aesPkamPrivateKey: hidden(auth.rsaPublic) }),
      'aesPkamPrivateKey in the keys file does not',
    ],
    ['two pairs mixed', change({ aesPkamPrivateKey: hidden(client.privateKey) }), 'does not belong to the public key'],
    ['a short symmetric key', change({ apkamSymmetricKey: '' }), 'apkamSymmetricKey in the keys file'],
    ['an id with a colon', change({ enrollmentId: 'a:b' }), 'enrollmentId in the keys file'],
    ['too long', `"${'x'.repeat(1_048_576)}"`, 'longer than 1048576 bytes'],
  ])('%s', (_, text, reason) => {
    expect(() => parseKeysFile(text, '@alice')).toThrow(reason)
  })

  test('without a word of its content', () => {
    const broken = `{"selfEncryptionKey":"${auth.aesKey}",}`
    expect(() => parseKeysFile(broken, '@alice')).toThrow(/^the keys file is not JSON$/)
  })
})

describe('a keys file on disk', () => {
  test('lies where SDKs look for it', () => {
    expect(defaultKeysPath('/home/pi', '@alice')).toBe('/home/pi/.atsign/keys/@alice_key.atKeys')
  })

  test('is made with its directories, for its owner only, and leaves nothing beside it', async () => {
    const path = defaultKeysPath(join(directory, 'home'), '@alice')
    await writeKeysFile(path, known)
    expect((await stat(path)).mode & 0o777).toBe(0o600)
    expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o700)
    expect(await readdir(join(path, '..'))).toEqual(['@alice_key.atKeys'])
    expect(await readKeysFile(path, '@alice')).toEqual(known)
  })

  test('is not written over, unless asked', async () => {
    const path = join(directory, 'once.atKeys')
    const other = { ...known, selfEncryptionKey: newAesKey() }
    await writeKeysFile(path, known)
    await expect(writeKeysFile(path, other)).rejects.toThrow(`${path} exists already`)
    expect(await readFile(path, 'utf8')).toBe(formatKeysFile(known))
    await writeKeysFile(path, other, { overwrite: true })
    expect(await readKeysFile(path, '@alice')).toEqual(other)
    expect((await readdir(directory)).filter((name) => name.startsWith('once'))).toEqual(['once.atKeys'])
  })

  test('is written by one of several that try at once', async () => {
    const path = join(directory, 'race.atKeys')
    const tries = Array.from({ length: 8 }, () => writeKeysFile(path, { ...known, selfEncryptionKey: newAesKey() }))
    const ends = await Promise.allSettled(tries)
    expect(ends.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    await readKeysFile(path, '@alice')
  })

  test('loses a mode that was too open when it is written again', async () => {
    const path = join(directory, 'open.atKeys')
    await writeFile(path, 'old', { mode: 0o644 })
    await writeKeysFile(path, known, { overwrite: true })
    expect((await stat(path)).mode & 0o777).toBe(0o600)
  })

  test('is named in what goes wrong', async () => {
    const path = join(directory, 'absent.atKeys')
    await expect(readKeysFile(path, '@alice')).rejects.toThrow(path)
    await writeFile(path, '')
    await truncate(path, 4_000_000_000)
    await expect(readKeysFile(path, '@alice')).rejects.toThrow(`${path}: the keys file is longer`)
  })
})

describe('keys of a new atSign', () => {
  test('all work, and none is used twice', async () => {
    const keys = await createAtKeys('@alice')
    expect(keys.pkamPublicKey).not.toBe(keys.encryptPublicKey)
    expect(keys.selfEncryptionKey).not.toBe(keys.apkamSymmetricKey)
    expect(verifyRsa(keys.pkamPublicKey, 'x', signRsa(keys.pkamPrivateKey, 'x'))).toBe(true)
    const wrapped = wrapKey(keys.encryptPublicKey, keys.selfEncryptionKey)
    expect(unwrapKey(keys.encryptPrivateKey, wrapped)).toBe(keys.selfEncryptionKey)
    expect(parseKeysFile(formatKeysFile(keys), '@alice')).toEqual(keys)
  })
})
