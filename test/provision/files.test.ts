import { X509Certificate } from 'node:crypto'
import { chmod, cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { type Authority, createAuthority } from '../../src/provision/authority.ts'
import { describeCertificate, issueCertificate } from '../../src/provision/certificate.ts'
import { ensureAuthority, ensureCertificate } from '../../src/provision/files.ts'

const day = 86_400_000
const now = Date.UTC(2026, 10, 20)
const names = ['device.local', '192.168.1.20']

// RSA keys are slow to cut: the tests start from copies of one directory and share one stranger.
let root: string
let template: string
let stranger: Authority
let directory: string
let count = 0

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), 'atedge-files-'))
  template = join(root, 'template')
  stranger = await createAuthority({ name: 'Public Root', now })
  await ensureCertificate(template, await ensureAuthority(template, 'home', now), names, now)
})
afterAll(() => rm(root, { recursive: true }))
beforeEach(() => {
  count += 1
  directory = join(root, String(count))
})

const mode = async (path: string): Promise<number> => (await stat(path)).mode & 0o777
const madeAuthority = async () => {
  await cp(template, directory, { recursive: true })
  return ensureAuthority(directory, 'home', now)
}
const pair = async () => {
  const authority = await madeAuthority()
  return { authority, first: await ensureCertificate(directory, authority, names, now) }
}

describe('the authority of a directory', () => {
  test('is made once, its key for the owner only', async () => {
    const made = await ensureAuthority(directory, 'home', now)
    expect(made.certificatePath).toBe(join(directory, 'ca.pem'))
    expect(made.keyPath).toBe(join(directory, 'ca-key.pem'))
    expect(await mode(made.keyPath)).toBe(0o600)
    expect(await mode(made.certificatePath)).toBe(0o644)
    expect(await readFile(made.keyPath, 'utf8')).toBe(made.key)
    expect((await readdir(directory)).sort()).toEqual(['ca-key.pem', 'ca.pem'])
    expect(await ensureAuthority(directory, 'another name', now + 365 * day)).toEqual(made)
  })

  test('is made again when the first attempt was cut off after the key', async () => {
    const made = await madeAuthority()
    await rm(made.certificatePath)
    const again = await ensureAuthority(directory, 'home', now)
    expect(new X509Certificate(again.certificate).subject).toBe('CN=home')
    expect(again.key).not.toBe(made.key)
    expect(await ensureAuthority(directory, 'home', now)).toEqual(again)
  })

  test('is refused without its key, or beside the key of another', async () => {
    const made = await madeAuthority()
    await writeFile(made.keyPath, stranger.key)
    await expect(ensureAuthority(directory, 'home', now)).rejects.toThrow(`${made.keyPath} is not the key of`)
    await writeFile(made.keyPath, 'nonsense')
    await expect(ensureAuthority(directory, 'home', now)).rejects.toThrow(`${made.keyPath} is not the key of`)
    await rm(made.keyPath)
    await expect(ensureAuthority(directory, 'home', now)).rejects.toThrow(`${made.keyPath} is missing`)
    expect(await readFile(made.certificatePath, 'utf8')).toBe(made.certificate)
  })
})

describe('the certificate of a directory', () => {
  test('is issued once, its key for the owner only', async () => {
    const authority = await madeAuthority()
    await Promise.all(['fullchain.pem', 'privkey.pem'].map((name) => rm(join(directory, name))))
    const first = await ensureCertificate(directory, authority, names, now)
    expect(first).toMatchObject({
      chainPath: join(directory, 'fullchain.pem'),
      keyPath: join(directory, 'privkey.pem'),
      issued: true,
    })
    expect(await mode(first.keyPath)).toBe(0o600)
    expect(await mode(first.chainPath)).toBe(0o644)
    expect((await readdir(directory)).sort()).toEqual(['ca-key.pem', 'ca.pem', 'fullchain.pem', 'privkey.pem'])
    expect(await ensureCertificate(directory, authority, names, now)).toEqual({ ...first, issued: false })
  })

  test('stays for fewer names and for other spellings of the same', async () => {
    const { authority } = await pair()
    for (const held of [['192.168.1.20'], ['DEVICE.local.'], []]) {
      expect((await ensureCertificate(directory, authority, held, now)).issued).toBe(false)
    }
  })

  test('is issued anew for a name that is missing', async () => {
    const { authority, first } = await pair()
    const second = await ensureCertificate(directory, authority, [...names, 'fd00::1'], now)
    expect(second.issued).toBe(true)
    expect(second.key).not.toBe(first.key)
    expect(describeCertificate(await readFile(second.chainPath, 'utf8')).names).toEqual([...names, 'fd00::1'])
  })

  test('is issued anew when fewer than thirty days are left', async () => {
    const { authority, first } = await pair()
    const { notAfter } = describeCertificate(first.chain)
    const at = (time: number) => ensureCertificate(directory, authority, names, time)
    expect((await at(notAfter - 30 * day)).issued).toBe(false)
    expect((await at(notAfter - 30 * day + 1)).issued).toBe(true)
    expect((await at(notAfter - 30 * day + 1)).issued).toBe(false)
  })

  test('is not issued over and over in the last days of its authority', async () => {
    const { authority } = await pair()
    const late = describeCertificate(authority.certificate).notAfter - 10 * day
    expect((await ensureCertificate(directory, authority, names, late)).issued).toBe(true)
    expect((await ensureCertificate(directory, authority, names, late)).issued).toBe(false)
  })

  test('is issued anew when its key is lost or another, as after a cut between the two writes', async () => {
    const { authority, first } = await pair()
    await writeFile(first.keyPath, stranger.key)
    expect((await ensureCertificate(directory, authority, names, now)).issued).toBe(true)
    await rm(first.keyPath)
    expect((await ensureCertificate(directory, authority, names, now)).issued).toBe(true)
    expect(await mode(first.keyPath)).toBe(0o600)
  })

  test('is issued anew when the authority was made anew', async () => {
    const { first } = await pair()
    await rm(join(directory, 'ca.pem'))
    const authority = await ensureAuthority(directory, 'home', now)
    const second = await ensureCertificate(directory, authority, names, now)
    expect(second.issued).toBe(true)
    expect(second.chain).not.toBe(first.chain)
  })

  test("is left alone when it is someone else's", async () => {
    const { authority, first } = await pair()
    const dropped = await issueCertificate(stranger, { names, now })
    await writeFile(first.chainPath, dropped.chain)
    await expect(ensureCertificate(directory, authority, names, now)).rejects.toThrow(
      `${first.chainPath} was issued by "CN=Public Root", not by "CN=home"`,
    )
    expect(await readFile(first.chainPath, 'utf8')).toBe(dropped.chain)
    await writeFile(first.chainPath, 'nonsense')
    await expect(ensureCertificate(directory, authority, names, now)).rejects.toThrow('holds no certificate')
  })

  test('is not taken for absent when it cannot be read', async () => {
    const { authority, first } = await pair()
    await rm(first.chainPath)
    await mkdir(first.chainPath)
    await expect(ensureCertificate(directory, authority, names, now)).rejects.toThrow('EISDIR')
  })

  test('closes the mode of a key that stood open', async () => {
    const { authority, first } = await pair()
    await chmod(first.keyPath, 0o644)
    await ensureCertificate(directory, authority, ['new.local'], now)
    expect(await mode(first.keyPath)).toBe(0o600)
  })
})
