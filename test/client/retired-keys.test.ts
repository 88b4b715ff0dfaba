import { describe, expect, it } from 'vitest'
import { type AtClient, connectAtClient } from '../../src/client/client.ts'
import { replyTime } from '../../src/core/clock.ts'
import { createIvSource, encryptText, keyFingerprint, newAesKey, wrapKey } from '../../src/crypto/cipher.ts'
import { generateRsaPair } from '../../src/crypto/signing.ts'
import { auth, client as vectors } from '../crypto/vectors.ts'
import { manualClock } from '../support/clock.ts'
import { aliceKeys, fakeServer, missing } from './fake-server.ts'

// @alice reads what she wrote for @bob under keys that her atServer has set aside since.

const [march, june, september] = [Date.UTC(2025, 2, 1), Date.UTC(2025, 5, 1), Date.UTC(2025, 8, 1)]
const keys = { march: newAesKey(), june: newAesKey(), now: newAesKey() }
const newIv = createIvSource()
const formerKey = 'fingerprint of a former key'

/** A record of @alice for @bob, as her atServer shows it. */
function written(aesKey: string, at: number, pubKeyCS?: string): string {
  const ivNonce = newIv()
  const metaData = {
    isEncrypted: true,
    ivNonce,
    updatedAt: replyTime(at),
    ...(pubKeyCS === undefined ? {} : { pubKeyCS }),
  }
  return `data:${JSON.stringify({ key: '@bob:note.wavi@alice', data: encryptText('as it was', aesKey, ivNonce), metaData })}`
}

interface World {
  readonly client: AtClient
  readonly lines: string[]
}

/** @param current whether there is a key that is not set aside */
async function world(note: string, { current = true, mayScan = true } = {}): Promise<World> {
  const wrapped = (aesKey: string): string => `data:${wrapKey(vectors.publicKey, aesKey)}`
  const names = [
    `shared_key.bob.until.${june}@alice`,
    `shared_key.bob.until.${march}@alice`,
    'shared_key.bob.until.x@alice',
  ]
  const answers: Record<string, string> = {
    'llookup:all:@bob:note.wavi@alice': note,
    'scan ^shared_key\\.bob\\.until\\.': mayScan
      ? `data:${JSON.stringify(names)}`
      : 'error:AT0009-Exception: not yours',
    [`llookup:shared_key.bob.until.${march}@alice`]: wrapped(keys.march),
    [`llookup:shared_key.bob.until.${june}@alice`]: wrapped(keys.june),
    'plookup:publickey@bob': `data:${auth.rsaPublic}`,
    ...(current ? { 'llookup:shared_key.bob@alice': wrapped(keys.now) } : {}),
  }
  const server = fakeServer((line) => answers[line] ?? missing)
  const client = await connectAtClient({
    ...{ atSign: '@alice', keys: aliceKeys, connect: server.connect, clock: manualClock(), random: () => 0 },
  })
  return { client, lines: server.connections[0]?.lines ?? [] }
}

const read = async ({ client }: World): Promise<string | null | undefined> =>
  (await client.get('@bob:note.wavi'))?.value

describe('an own record for another atSign', () => {
  it('that names a former key of the recipient is opened with the key of its time, and no other is fetched', async () => {
    const before = await world(written(keys.june, march + 1, formerKey))
    expect(await read(before)).toBe('as it was')
    expect(before.lines.filter((line) => line.startsWith('llookup:shared_key'))).toEqual([
      `llookup:shared_key.bob.until.${june}@alice`,
    ])
    expect(await read(await world(written(keys.march, march - 1, formerKey)))).toBe('as it was')
  })

  it('that names the key of today is opened without looking for others', async () => {
    const today = await world(written(keys.now, september, keyFingerprint(auth.rsaPublic)))
    expect(await read(today)).toBe('as it was')
    expect(today.lines.filter((line) => /scan|until/.test(line))).toEqual([])
  })

  it('that names none is tried with the key of today, then with those that were set aside', async () => {
    expect(await read(await world(written(keys.now, september)))).toBe('as it was')
    expect(await read(await world(written(keys.march, march - 1), { current: false }))).toBe('as it was')
  })

  it('written after the last change is opened with the key of today, though the recipient has changed again', async () => {
    expect(await read(await world(written(keys.now, september, formerKey), { current: true }))).toBe('as it was')
  })

  it('is refused when no key can be had, or this client may list none', async () => {
    const other = await generateRsaPair()
    const lost = written(keys.march, march - 1, keyFingerprint(other.publicKey))
    await expect(read(await world(lost, { current: false, mayScan: false }))).rejects.toMatchObject({ code: 'AT0011' })
  })
})
