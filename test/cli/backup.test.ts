import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, open, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFinished } from 'vitest'
import { type Device, startDevice } from '../../src/app-device.ts'
import { progressLine } from '../../src/cli/progress.ts'
import { parseConfig } from '../../src/config/load.ts'
import { parseAtKey } from '../../src/core/at-key.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { limits } from '../../src/core/limits.ts'
import { silent as log } from '../../src/core/log.ts'
import type { Store } from '../../src/core/storage.ts'
import { createAtKeys, readKeysFile, writeKeysFile } from '../../src/crypto/keys-file.ts'
import { startDirectory } from '../../src/directory/server.ts'
import { openStore } from '../../src/store/store.ts'
import { version } from '../../src/version.ts'
import { cli, somePort } from '../support/cli.ts'
import { startTestNetwork, until } from '../support/network.ts'

// One device is made for all tests; each gets a folder of its own. `place` is that folder, `old` the device that is backed up.

let old: string
let place: string
const at = (name: string): string => join(place, name)

const rows = 300

async function openData(dataDir: string): Promise<Store> {
  return openStore({ directory: join(dataDir, 'store'), atSign: '@device', clock })
}

async function fill(store: Store): Promise<number> {
  return store.write(async (tx) => {
    let last = -1
    for (let i = 0; i < rows; i += 1) {
      const record = { value: `${i}`.padEnd(2_000, '.'), metadata: {} }
      last = await tx.putRecord(parseAtKey(`r${i}.sensors@device`), record, { operation: '*', opTime: 1, commit: true })
    }
    return last
  })
}

beforeAll(async () => {
  old = await mkdtemp(join(tmpdir(), 'atedge-device-'))
  const { status, err } = await cli(['init', '@device', '-c', join(old, 'atedge.yaml'), '--data', join(old, 'data')])
  if (status !== 0) throw new Error(err)
  const config = `atSign: '@device' # mine\ndataDir: ./data\nlisten: { host: 127.0.0.1, port: ${somePort()} }\nbridge: { enabled: false }\n`
  await writeFile(join(old, 'atedge.yaml'), config)
  await mkdir(join(old, 'data', 'keys'), { mode: 0o700 })
  await writeFile(join(old, 'data', 'keys', '@device_key.atKeys'), 'the keys', { mode: 0o600 })
  await writeFile(join(old, 'passphrase'), 'correct horse\n')
  const keys = await createAtKeys('@alice')
  await writeKeysFile(join(old, 'alice.atKeys'), keys)
  await writeFile(join(old, 'alice.pub'), keys.encryptPublicKey)
  const store = await openData(join(old, 'data'))
  await fill(store)
  await store.close()
  place = old
  await rename(await made(...locked()), join(old, 'given.atbackup'))
})
afterAll(() => rm(old, { recursive: true, force: true }))

beforeEach(async () => {
  place = await mkdtemp(join(tmpdir(), 'atedge-restore-'))
  onTestFinished(() => rm(place, { recursive: true, force: true }))
})

const oldConfig = (): string[] => ['-c', join(old, 'atedge.yaml')]
// To the keys of an atSign, since a passphrase takes its time on purpose.
const locked = (): string[] => ['--recipient', '@alice', '--recipient-key', join(old, 'alice.pub')]
const unlocked = (): string[] => ['-k', join(old, 'alice.atKeys')]
const byPassphrase = (): string[] => ['--passphrase-file', join(old, 'passphrase')]

/** A new backup of the old device. */
async function made(...options: string[]): Promise<string> {
  const { status, err } = await cli(['backup', at('x.atbackup'), ...oldConfig(), ...options])
  if (status !== 0) throw new Error(err)
  return at('x.atbackup')
}

/** The same backup every time. */
async function given(): Promise<string> {
  await cp(join(old, 'given.atbackup'), at('x.atbackup'))
  return at('x.atbackup')
}

/** Every file below a folder, with its size. */
async function tree(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return Promise.all(files.sort().map(async (path) => `${path} ${(await stat(path)).size}`))
}

const target = (...options: string[]): string[] => ['-c', at('new.yaml'), '--data', at('new'), ...options]

describe('a backup', () => {
  it('brings the whole device to new hardware, and its commit ids go on far above', async () => {
    const file = await made(...byPassphrase())
    expect((await stat(file)).mode & 0o777).toBe(0o600)
    const { status, out } = await cli(['restore', file, ...target(...byPassphrase()), '--json'])
    const report = JSON.parse(out) as Record<string, unknown>
    expect({ status, report }).toMatchObject({
      status: 0,
      report: {
        ...{ atSign: '@device', damaged: 0, dataDir: at('new') },
        config: { path: at('new.yaml'), outcome: 'written' },
        continuesFrom: Number(report['lastCommitId']) + limits.restoreCommitGap,
      },
    })
    for (const name of ['ca.pem', 'ca-key.pem', 'fullchain.pem', 'privkey.pem', 'keys/@device_key.atKeys']) {
      const before = join(old, 'data', name)
      const after = join(at('new'), name)
      expect(await readFile(after, 'utf8')).toBe(await readFile(before, 'utf8'))
      expect((await stat(after)).mode).toBe((await stat(before)).mode)
    }
    expect(await readFile(at('new.yaml'), 'utf8')).toContain("atSign: '@device' # mine\ndataDir: ")
    expect(parseConfig(await readFile(at('new.yaml'), 'utf8'), at('new.yaml')).dataDir).toBe(at('new'))
    const store = await openData(at('new'))
    onTestFinished(() => store.close())
    expect(await store.records.get('r299.sensors@device')).toMatchObject({ value: '299'.padEnd(2_000, '.') })
    expect(store.commits.lastId()).toBe(report['continuesFrom'])
  })

  it('can be checked without being restored', async () => {
    const file = await given()
    const { status, out } = await cli(['restore', file, '--check', ...unlocked(), '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, atSign: '@device', files: 5, damaged: 0 })
  })

  it('locked to an atSign is opened by its keys alone', async () => {
    const { encryptPublicKey } = await readKeysFile(join(old, 'alice.atKeys'), '@alice')
    await writeKeysFile(at('wrong.atKeys'), await createAtKeys('@alice'))
    const lines = encryptPublicKey.replaceAll(/.{64}/g, '$&\n')
    await writeFile(at('alice.pem'), `-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----\n`)
    const file = await made('--recipient', '@alice', '--recipient-key', at('alice.pem'))
    const wrong = await cli(['restore', file, ...target('-k', at('wrong.atKeys'))])
    expect(wrong).toMatchObject({ status: 16, err: expect.stringContaining('locked to other keys of @alice') })
    const none = await cli(['restore', file, ...target('-k', at('none.atKeys'))])
    expect(none).toMatchObject({ status: 1, err: expect.stringContaining('its .atKeys file is needed') })
    expect(await tree(at('new'))).toEqual([])
    expect(await cli(['restore', file, ...target(...unlocked())])).toMatchObject({ status: 0 })
  })

  it('is locked to the key that an atSign shows on its atServer', async () => {
    const network = await startTestNetwork(['@alice'])
    const { encryptPublicKey } = await readKeysFile(join(old, 'alice.atKeys'), '@alice')
    const alice = await network.member('@alice').owner()
    await alice.ask(`update:public:publickey@alice ${encryptPublicKey}`)
    const { chain, key, ca } = network.certificate
    const listen = { cert: chain, key, ca, host: '127.0.0.1', port: 0 }
    const directory = await startDirectory({ table: network.table, clock, log, listen })
    onTestFinished(() => directory.close())
    await cp(old, at('copy'), { recursive: true })
    await Promise.all(Object.entries({ chain, key, ca }).map(([name, pem]) => writeFile(at(`copy/${name}.pem`), pem)))
    const config = `${await readFile(at('copy/atedge.yaml'), 'utf8')}certificates: { chain: chain.pem, key: key.pem, ca: ca.pem }
rootServer: { addresses: ['localhost:${directory.port}'] }\nbackup: { recipient: '@alice' }\n`
    await writeFile(at('copy/atedge.yaml'), config)
    const { status, err } = await cli(['backup', at('x'), '-c', at('copy/atedge.yaml')])
    expect({ status, err }).toEqual({ status: 0, err: expect.stringContaining('Locked to @alice, whose key has') })
    expect(await cli(['restore', at('x'), '--check', ...unlocked()])).toMatchObject({ status: 0 })
    const nobody = await cli(['backup', at('y'), '-c', at('copy/atedge.yaml'), '--recipient', '@nobody'])
    expect(nobody).toMatchObject({ status: 1, err: expect.stringContaining('the public key of @nobody cannot be had') })
    expect(await readdir(place)).toEqual(['copy', 'x'])
  })

  it('goes to standard output whole, and comes back from standard input', async () => {
    const chunks: Uint8Array[] = []
    const written = await cli(['backup', ...oldConfig(), ...locked()], {
      streams: { write: async (bytes) => void chunks.push(bytes) },
    })
    expect(written).toEqual({ status: 0, out: '', err: expect.stringMatching(/^Locked to @alice[^\n]*\n$/) })
    const input = (async function* () {
      yield* chunks
    })()
    const restored = await cli(['restore', '-', ...target(...unlocked())], { streams: { input } })
    expect(restored).toMatchObject({ status: 0, out: expect.stringContaining('@device is restored') })
  })

  it('is not written to a terminal', async () => {
    const { status, err } = await cli(['backup', ...oldConfig(), ...locked()], { isTerminal: true })
    expect({ status, err }).toEqual({ status: 2, err: expect.stringContaining('no text for a terminal') })
  })

  it('names itself in a folder, where so many are kept', async () => {
    await writeFile(at('@device-20200101T000000Z.atbackup'), 'old')
    await writeFile(at('@device-20210101T000000Z.atbackup'), 'newer')
    await writeFile(at('@other-20200101T000000Z.atbackup'), "another device's")
    const { status, out } = await cli(['backup', place, '--keep', '2', ...oldConfig(), ...locked(), '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, removed: 1 })
    expect(await readdir(place)).toEqual([
      '@device-20210101T000000Z.atbackup',
      expect.stringMatching(/^@device-\d{8}T\d{6}Z\.atbackup$/),
      '@other-20200101T000000Z.atbackup',
    ])
  })

  it('of the store alone, or a snapshot of the device, replaces only the store', async () => {
    const file = await made('--plain')
    expect((await readFile(file)).toString('latin1', 0, 16)).toBe('atedge snapshot ')
    await cp(old, at('copy'), { recursive: true })
    const config = ['-c', at('copy/atedge.yaml')]
    expect(await cli(['restore', file, ...config])).toMatchObject({ status: 1 })
    const { status, out } = await cli(['restore', file, ...config, '--force', '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, setAside: at('copy/data/store.before-restore') })
    expect(await readFile(at('copy/data/ca.pem'), 'utf8')).toBe(await readFile(join(old, 'data/ca.pem'), 'utf8'))
  })

  it('is locked by a passphrase that was typed twice, and never of the command line', async () => {
    const asked = (...answers: string[]) => ({
      streams: { inputIsTerminal: true, ask: async () => answers.shift() ?? '' },
    })
    const path = at('typed.atbackup')
    const differ = await cli(['backup', path, ...oldConfig()], asked('correct horse', 'correct hors'))
    expect(differ).toMatchObject({ status: 1, err: expect.stringContaining('differ') })
    const short = await cli(['backup', path, ...oldConfig()], asked('horse', 'horse'))
    expect(short).toMatchObject({ status: 1, err: expect.stringContaining('8 characters at least') })
    expect(await readdir(place)).toEqual([])
    expect(await cli(['backup', path, ...oldConfig()], asked('correct horse', 'correct horse'))).toMatchObject({
      status: 0,
    })
    const check = await cli(['restore', path, '--check'], { input: 'correct horse\n' })
    expect(check).toMatchObject({ status: 0, err: expect.stringContaining('may be visible') })
    const options = (await cli(['backup', '--help'])).out
    expect(options).not.toMatch(/--passphrase[ =]/)
  })

  it('is not made of a folder without a store, and makes none there', async () => {
    await writeFile(at('empty.yaml'), `atSign: '@device'\ndataDir: ./nothing\n`)
    const { status, err } = await cli(['backup', at('x'), '-c', at('empty.yaml'), ...locked()])
    expect({ status, err }).toEqual({ status: 1, err: expect.stringContaining('there is no store in') })
    expect(await readdir(place)).toEqual(['empty.yaml'])
  })

  it('does not replace a file without being told', async () => {
    await writeFile(at('x.atbackup'), 'precious')
    const refused = await cli(['backup', at('x.atbackup'), ...oldConfig(), ...locked()])
    expect(refused).toMatchObject({ status: 1, err: expect.stringContaining('is not overwritten') })
    expect(await readFile(at('x.atbackup'), 'utf8')).toBe('precious')
    expect(await cli(['backup', at('x.atbackup'), ...oldConfig(), ...locked(), '--force'])).toMatchObject({ status: 0 })
  })

  it('that cannot be finished leaves no file', async () => {
    const stopped = Promise.resolve()
    const { status, err } = await cli(['backup', at('x.atbackup'), ...oldConfig(), ...locked()], { stopped })
    expect({ status, err }).toEqual({ status: 1, err: expect.stringContaining('the backup is not whole') })
    expect(await readdir(place)).toEqual([])
  })

  it('tells which files that the configuration names stay behind', async () => {
    await cp(old, at('copy'), { recursive: true })
    const config = `${await readFile(at('copy/atedge.yaml'), 'utf8')}certificates: { chain: /etc/x/chain.pem, key: ./data/k.pem }\n`
    await writeFile(at('copy/atedge.yaml'), config)
    const { err } = await cli(['backup', at('x'), '-c', at('copy/atedge.yaml'), ...locked()])
    expect(err).toContain(
      `Not in the backup, for it lies outside of ${at('copy/data')} or is too large: /etc/x/chain.pem\n`,
    )
  })
})

describe('a restore touches nothing', () => {
  const flip = (bytes: Buffer, where: number): Buffer => {
    bytes[where] = (bytes[where] ?? 0) ^ 1
    return bytes
  }
  const newer = (): Buffer => {
    const json = '{}'
    return Buffer.from(`atedge backup 9 ${crc32(`9 ${json}`).toString(16).padStart(8, '0')} ${json}\n`)
  }

  it.each<[string, (bytes: Buffer) => Buffer, number, string]>([
    ['that is cut off at its end', (bytes) => bytes.subarray(0, -1), 15, 'cut off or damaged at its end'],
    ['that is cut off in the middle', (bytes) => bytes.subarray(0, 100_000), 15, 'cut off or damaged at its end'],
    ['that is cut off between two parts', (bytes) => bytes.subarray(0, bytes.indexOf('\n') + 1 + 65_552), 15, ''],
    ['with a flipped bit in its first line', (bytes) => flip(bytes, 60), 15, 'first line'],
    ['with a flipped bit early', (bytes) => flip(bytes, 3_000), 15, 'a part of it is not as it was written'],
    ['with a flipped bit late', (bytes) => flip(bytes, bytes.length - 5_000), 15, 'damaged'],
    ['that is none', () => Buffer.from('%PDF-1.7'), 12, 'not a backup'],
    ['that is empty', () => Buffer.alloc(0), 12, 'not a backup'],
    ['of a newer version', newer, 11, 'newer version of atedge'],
  ])('with a backup %s', async (_what, alter, expected, words) => {
    const file = await given()
    await writeFile(file, alter(await readFile(file)))
    const { status, err } = await cli(['restore', file, ...target(...unlocked())])
    expect({ status, err }).toEqual({ status: expected, err: expect.stringContaining(words) })
    expect(err).toMatch(/^atedge: [^\n]+\n$/)
    expect(await readdir(place)).toEqual(['x.atbackup'])
  })

  it('with another passphrase', async () => {
    const file = await made(...byPassphrase())
    await writeFile(at('other'), 'wrong horse')
    const { status, err } = await cli(['restore', file, ...target('--passphrase-file', at('other'))])
    expect({ status, err }).toEqual({ status: 16, err: 'atedge: this is not the passphrase of the backup\n' })
    expect((await readdir(place)).sort()).toEqual(['other', 'x.atbackup'])
  })

  it('where a device of another atSign is configured', async () => {
    const file = await given()
    await writeFile(at('new.yaml'), `atSign: '@other'\ndataDir: ./new\n`)
    const { status, err } = await cli(['restore', file, '-c', at('new.yaml'), ...unlocked()])
    expect({ status, err }).toEqual({
      status: 13,
      err: expect.stringContaining('is for @other, the backup is of @device'),
    })
    expect((await readdir(place)).sort()).toEqual(['new.yaml', 'x.atbackup'])
  })

  it('where something is, until it is told to set that aside', async () => {
    const file = await given()
    await mkdir(at('new'))
    await writeFile(at('new/precious'), 'mine')
    const before = await tree(place)
    const refused = await cli(['restore', file, ...target(...unlocked())])
    expect(refused).toMatchObject({ status: 1, err: expect.stringContaining('is not empty, so nothing was restored') })
    expect(await tree(place)).toEqual(before)
    const { status, out } = await cli(['restore', file, ...target(...unlocked()), '--force', '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, setAside: at('new.before-restore') })
    expect(await readFile(at('new.before-restore/precious'), 'utf8')).toBe('mine')
    const again = await cli(['restore', file, ...target(...unlocked()), '--force'])
    expect(again).toMatchObject({ status: 1, err: expect.stringContaining('is still there from an earlier restore') })
  })

  it('when it is stopped', async () => {
    const file = await given()
    const { status, err } = await cli(['restore', file, ...target(...unlocked())], { stopped: Promise.resolve() })
    expect({ status, err }).toEqual({ status: 1, err: 'atedge: stopped; nothing was restored\n' })
    expect(await readdir(place)).toEqual(['x.atbackup'])
  })

  it('when the place cannot be written', async () => {
    const file = await given()
    await writeFile(at('file'), '')
    const { status, err } = await cli(['restore', file, '-c', at('new.yaml'), '--data', at('file/new'), ...unlocked()])
    expect({ status, err }).toEqual({ status: 1, err: expect.stringContaining('file') })
    expect((await readdir(place)).sort()).toEqual(['file', 'x.atbackup'])
  })
})

describe('a restore', () => {
  it('keeps the configuration that is there for the same atSign', async () => {
    const file = await given()
    const config = `atSign: '@device'\ndataDir: ./elsewhere\n`
    await writeFile(at('new.yaml'), config)
    const { status, out } = await cli(['restore', file, '-c', at('new.yaml'), ...unlocked()])
    expect({ status, out }).toEqual({ status: 0, out: expect.stringContaining('was there and is kept') })
    expect(await readFile(at('new.yaml'), 'utf8')).toBe(config)
    expect((await readdir(at('elsewhere'))).sort()).toContain('store')
  })

  it('throws away what a killed attempt has left', async () => {
    const file = await given()
    await mkdir(at('new.restoring/store/level'), { recursive: true })
    await writeFile(at('new.restoring/store/level/CURRENT'), 'half done')
    expect(await cli(['restore', file, ...target(...unlocked())])).toMatchObject({ status: 0 })
    expect((await readdir(place)).sort()).toEqual(['new', 'new.yaml', 'x.atbackup'])
  })
})

describe('in a process of its own', () => {
  const run = (args: readonly string[], stdio: ('pipe' | 'ignore' | number)[]): ChildProcess =>
    spawn(process.execPath, ['--import', 'tsx', 'src/main.ts', ...args], { stdio })
  const ended = async (child: ChildProcess): Promise<unknown> => {
    const [status, signal] = (await once(child, 'exit')) as [number | null, string | null]
    return status ?? signal
  }

  it('a restore that is killed half-way leaves nothing that counts, and the next one is whole', async () => {
    const bytes = await readFile(await given())
    const child = run(['restore', '-', ...target(...unlocked())], ['pipe', 'ignore', 'ignore'])
    child.stdin?.on('error', () => {})
    child.stdin?.write(bytes.subarray(0, bytes.length - 1))
    await until(() =>
      stat(at('new.restoring/store/level.restoring')).then(
        () => true,
        () => false,
      ),
    )
    expect((await readdir(place)).sort()).toEqual(['new.restoring', 'x.atbackup'])
    const end = ended(child)
    child.kill('SIGKILL')
    expect(await end).toBe('SIGKILL')
    expect(await cli(['restore', at('x.atbackup'), ...target(...unlocked())])).toMatchObject({ status: 0 })
    expect((await readdir(place)).sort()).toEqual(['new', 'new.yaml', 'x.atbackup'])
  })

  it('a backup that its output does not take whole is no success', async () => {
    const full = await open('/dev/full', 'w')
    onTestFinished(() => full.close())
    const child = run(['backup', ...oldConfig(), ...locked()], ['ignore', full.fd, 'ignore'])
    expect(await ended(child)).toBe(1)
    const piped = run(['backup', ...oldConfig(), ...locked()], ['ignore', 'pipe', 'ignore'])
    piped.stdout?.once('data', () => piped.stdout?.destroy())
    expect(await ended(piped)).toBe(1)
  })
})

describe('while the device runs', () => {
  let device: Device
  beforeAll(async () => {
    const path = join(old, 'atedge.yaml')
    device = await startDevice({ config: parseConfig(await readFile(path, 'utf8'), path), clock, log, version })
  })
  afterAll(() => device.close())

  it('a backup is read through its control socket', async () => {
    const file = await made(...locked())
    const { status, out } = await cli(['restore', file, '--check', ...unlocked(), '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, atSign: '@device', files: 5 })
  })

  it('nothing is restored over it', async () => {
    const file = await made(...locked())
    const { status, err } = await cli(['restore', file, ...oldConfig(), ...unlocked(), '--force'])
    expect({ status, err }).toEqual({ status: 10, err: expect.stringContaining('a device is running on') })
    expect(await readdir(old)).not.toContain('data.before-restore')
  })

  it('a backup whose reader goes away ends', async () => {
    const write = (): Promise<void> => Promise.reject(new Error('the reader of the output went away'))
    const { status, err } = await cli(['backup', '-', ...oldConfig(), ...locked()], { streams: { write } })
    expect({ status, err }).toEqual({ status: 1, err: expect.stringContaining('the reader of the output went away\n') })
  })

  it('a bar shows how far it is, where somebody can see it', async () => {
    const { err } = await cli(['backup', at('x'), ...oldConfig(), ...locked()], { streams: { errIsTerminal: true } })
    expect(err).toContain('\r\u001b[Kreading the store ')
    expect(err.endsWith('\r\u001b[K')).toBe(true)
  })
})

it('a bar fits its terminal', () => {
  expect(progressLine('restoring', 512, 1024, 80)).toBe(
    'restoring ████████████████████░░░░░░░░░░░░░░░░░░░░  50 %  512 B',
  )
  expect(progressLine('restoring', 5_000_000, undefined, 80)).toBe('restoring 4.8 MiB')
  expect(progressLine('restoring', 1024, 1024, 12)).toBe('restoring  ')
})
