import { mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { createByteReader } from '../../src/core/byte-reader.ts'
import { limits } from '../../src/core/limits.ts'
import { collectFiles, type DeviceFiles, readContent, writeContent } from '../../src/provision/backup-content.ts'

async function* stream(...parts: (string | Uint8Array)[]): AsyncGenerator<Uint8Array> {
  for (const part of parts) yield Buffer.from(part)
}

async function folder(): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'atedge-content-'))
  onTestFinished(() => rm(path, { recursive: true, force: true }))
  return path
}

const read = (manifest: unknown, ...parts: string[]): Promise<DeviceFiles> =>
  readContent(createByteReader(stream(`${JSON.stringify(manifest)}\n`, ...parts)))

test('files, configuration and snapshot come out as they went in', async () => {
  const device: DeviceFiles = {
    dataDir: '/var/lib/atedge',
    config: "atSign: '@device' # ü\n",
    files: [
      { name: 'ca.pem', mode: 0o644, bytes: Buffer.from('ca') },
      { name: 'keys/@device_key.atKeys', mode: 0o600, bytes: Buffer.from([0, 10, 255]) },
      { name: 'empty', mode: 0o600, bytes: Buffer.alloc(0) },
    ],
  }
  const reader = createByteReader(writeContent(device, stream('snap', 'shot')))
  expect(await readContent(reader)).toEqual(device)
  expect(`${await reader.take(100)}`).toBe('snapshot')
})

const base = { version: 1, dataDir: '/data', files: [] }
const file = (name: unknown, bytes: unknown = 1) => ({ ...base, files: [{ name, mode: 0o600, bytes }] })

// Anybody can lock a backup to a public key, so that its content is no more trusted than any other input.
test.each<[string, unknown]>([
  ['a path upwards', file('../../etc/passwd')],
  ['an absolute path', file('/etc/passwd')],
  ['the folder itself', file('.')],
  ['an empty name', file('')],
  ['a path through the store', file('store/level/CURRENT')],
  ['a path through the snapshots', file('snapshots/000001.snapshot')],
  ['a backslash', file('..\\x')],
  ['a control character', file('a\nb')],
  ['no text as name', file(7)],
  ['a file that is too large', file('a', limits.backupFileBytes + 1)],
  ['a negative size', file('a', -1)],
  [
    'too many files',
    { ...base, files: Array.from({ length: limits.backupFiles + 1 }, (_, i) => file(`f${i}`).files[0]) },
  ],
  [
    'files that are too large together',
    { ...base, files: Array.from({ length: 20 }, (_, i) => file(`f${i}`, limits.backupFileBytes).files[0]) },
  ],
  ['no list of files', { ...base, files: {} }],
  ['an entry that is none', { ...base, files: [null] }],
  ['no data folder', { ...base, dataDir: 1 }],
  ['no object', 'text'],
  ['files that are not all there', file('a', 100)],
])('a backup with %s is refused', async (_what, manifest) => {
  await expect(read(manifest, 'x')).rejects.toMatchObject({ reason: 'damaged' })
})

test('files that others may write become files that they may not', async () => {
  const { files } = await read({ ...base, files: [{ name: 'a', mode: 0o4777, bytes: 1 }] }, 'x')
  expect(files[0]?.mode).toBe(0o755)
})

test('content of a newer version is told apart', async () => {
  await expect(read({ ...base, version: 2 })).rejects.toMatchObject({ reason: 'newer' })
})

test('a device is its own files and those that its configuration names', async () => {
  const data = await folder()
  for (const name of ['store/level', 'snapshots', 'keys', 'tls']) await mkdir(join(data, name), { recursive: true })
  const made = [
    'ca.pem',
    'x.tmp',
    '.hidden',
    'store/level/CURRENT',
    'snapshots/1',
    'keys/k.atKeys',
    'tls/a.pem',
    'tls/b.pem',
  ]
  for (const name of made) await writeFile(join(data, name), name)
  await writeFile(join(data, 'huge.log'), Buffer.alloc(limits.backupFileBytes + 1))
  await symlink(join(data, 'tls/b.pem'), join(data, 'chain.pem'))
  await symlink('/nowhere', join(data, 'dangling'))
  const named = [join(data, 'tls/a.pem'), join(data, 'not-yet'), '/etc/elsewhere.pem']
  const { files, leftOut } = await collectFiles(data, named)
  expect(files.map(({ name, bytes }) => [name, `${bytes}`])).toEqual([
    ['ca.pem', 'ca.pem'],
    ['chain.pem', 'tls/b.pem'],
    ['keys/k.atKeys', 'keys/k.atKeys'],
    ['tls/a.pem', 'tls/a.pem'],
  ])
  expect(leftOut).toEqual(['/etc/elsewhere.pem', join(data, 'huge.log')])
})
