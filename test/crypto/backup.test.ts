import { crc32 } from 'node:zlib'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createByteReader } from '../../src/core/byte-reader.ts'
import {
  type BackupLock,
  lockByPassphrase,
  lockToAtSign,
  unlockByKeys,
  unlockByPassphrase,
} from '../../src/crypto/backup-lock.ts'
import { newBackupKey, openBackup, sealBackup } from '../../src/crypto/backup-stream.ts'
import { generateRsaPair } from '../../src/crypto/signing.ts'

const key = newBackupKey()
const lock: BackupLock = { kind: 'atsign', atSign: '@alice', fingerprint: 'f', key: 'k' }
const header = { atSign: '@device', time: 1_790_000_000_000, lock } as const

async function* pieces(bytes: Uint8Array, size = 10_000): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

async function joined(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

const sealed = (content: Uint8Array, size?: number): Promise<Buffer> =>
  joined(sealBackup(header, key, pieces(content, size)))

async function opened(bytes: Uint8Array, size?: number, secret = key): Promise<Buffer> {
  const backup = await openBackup(createByteReader(pieces(bytes, size)))
  return joined(backup.content(secret))
}

/** Why a backup is refused; `fine` when it is not. */
async function verdict(bytes: Uint8Array, secret = key): Promise<string> {
  try {
    await opened(bytes, 10_000, secret)
    return 'fine'
  } catch (error) {
    return error instanceof Error && 'reason' in error ? String(error.reason) : String(error)
  }
}

test('what was sealed comes out, whatever its length and however the streams are cut', async () => {
  for (const length of [0, 1, 65_535, 65_536, 65_537, 200_000]) {
    const content = Buffer.alloc(length, 'content ')
    expect((await opened(await sealed(content, 777), 4321)).equals(content), `${length} bytes`).toBe(true)
  }
  await fc.assert(
    fc.asyncProperty(fc.uint8Array({ maxLength: 500 }), fc.integer({ min: 1, max: 600 }), async (content, size) => {
      expect((await opened(await sealed(content, size), size)).equals(Buffer.from(content))).toBe(true)
    }),
  )
})

test('one changed bit anywhere is noticed', async () => {
  const bytes = await sealed(Buffer.from('a small backup'))
  for (let bit = 0; bit < bytes.length * 8; bit += 1) {
    const changed = Buffer.from(bytes)
    changed[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    expect(await verdict(changed), `bit ${bit}`).toMatch(/^(?:damaged|foreign)$/)
  }
})

test('a backup that is cut off anywhere, or goes on behind its end, is refused', async () => {
  const bytes = await sealed(Buffer.from('a small backup'))
  for (let length = 0; length < bytes.length; length += 1) {
    expect(await verdict(bytes.subarray(0, length)), `${length} bytes`).toMatch(/^(?:damaged|foreign)$/)
  }
  expect(await verdict(Buffer.concat([bytes, Buffer.from([0])]))).toBe('damaged')
})

test('chunks cannot be left out, swapped, repeated, or taken from another backup under the same key', async () => {
  const content = Buffer.alloc(65_536 * 3, 'x')
  const bytes = await sealed(content)
  const start = bytes.indexOf('\n') + 1
  const head = bytes.subarray(0, start)
  const [one, two, three] = [0, 1, 2].map((at) => bytes.subarray(start + at * 65_552, start + (at + 1) * 65_552))
  const parts = { head, one: one ?? head, two: two ?? head, three: three ?? head }
  const made = (...names: (keyof typeof parts)[]): Buffer => Buffer.concat(names.map((name) => parts[name]))
  expect(await verdict(made('head', 'one', 'two', 'three'))).toBe('fine')
  expect(await verdict(made('head', 'one', 'two'))).toBe('damaged')
  expect(await verdict(made('head', 'one', 'three'))).toBe('damaged')
  expect(await verdict(made('head', 'two', 'one', 'three'))).toBe('damaged')
  expect(await verdict(made('head', 'one', 'one', 'two', 'three'))).toBe('damaged')
  const other = await joined(sealBackup({ ...header, time: header.time + 1 }, key, pieces(content)))
  expect(await verdict(Buffer.concat([other.subarray(0, start), made('one', 'two', 'three')]))).toBe('damaged')
  expect(await verdict(bytes, newBackupKey())).toBe('damaged')
})

test('what was made by a newer version, and what is no backup, are told apart from damage', async () => {
  const json = '{"new":true}'
  const line = `atedge backup 2 ${crc32(`2 ${json}`).toString(16).padStart(8, '0')} ${json}\n`
  expect(await verdict(Buffer.from(line))).toBe('newer')
  expect(await verdict(Buffer.from('PK\u0003\u0004'))).toBe('foreign')
  expect(await verdict(Buffer.alloc(0))).toBe('foreign')
})

test('a passphrase opens its lock however its letters were composed, and no other one does', async () => {
  const made = await lockByPassphrase(key, 'Schlüssel für @device')
  expect((await unlockByPassphrase(made, 'Schlüssel für @device'.normalize('NFD'))).equals(key)).toBe(true)
  await expect(unlockByPassphrase(made, 'Schlussel fur @device')).rejects.toMatchObject({ reason: 'passphrase' })
  const again = await lockByPassphrase(key, 'Schlüssel für @device')
  expect([again.salt === made.salt, again.key === made.key]).toEqual([false, false])
})

test('a lock may not ask for more work or memory than any lock needs', async () => {
  const made = await lockByPassphrase(key, 'correct horse')
  for (const cost of [{ n: 30 }, { r: 1_000 }, { p: 100_000 }, { n: 0 }, { key: 'AAAA' }, { salt: '!' }]) {
    await expect(unlockByPassphrase({ ...made, ...cost }, 'correct horse')).rejects.toMatchObject({ reason: 'damaged' })
  }
})

test('only the keys of the recipient open what is locked to an atSign', async () => {
  const [alice, other] = await Promise.all([generateRsaPair(), generateRsaPair()])
  const pair = ({ publicKey, privateKey }: typeof alice) => ({
    encryptPublicKey: publicKey,
    encryptPrivateKey: privateKey,
  })
  const made = lockToAtSign(key, '@alice', alice.publicKey)
  expect(unlockByKeys(made, pair(alice)).equals(key)).toBe(true)
  expect(() => unlockByKeys(made, pair(other))).toThrow('locked to other keys of @alice')
  const forged = { ...pair(alice), encryptPrivateKey: other.privateKey }
  expect(() => unlockByKeys(made, forged)).toThrow('locked to other keys of @alice')
  expect(() => lockToAtSign(key, '@alice', 'bm8ga2V5')).toThrow('the public key of @alice is not an RSA key')
})
