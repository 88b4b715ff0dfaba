import { cp, mkdir, readdir, readFile, rename, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { crc32 } from 'node:zlib'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Device, startDevice } from '../../src/app-device.ts'
import { parseConfig } from '../../src/config/load.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { silent as log } from '../../src/core/log.ts'
import { version } from '../../src/version.ts'
import { cli } from '../support/cli.ts'
import { until } from '../support/network.ts'
import { ended, openData, run, useOldDevice, values } from './old-device.ts'

const { at, of, oldConfig, unlocked, byPassphrase, made, given, target } = useOldDevice()

/** Every file below a folder, with its size. */
async function tree(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => [])
  const files = entries.filter((entry) => entry.isFile()).map(({ parentPath, name }) => join(parentPath, name))
  return Promise.all(files.sort().map(async (path) => `${path} ${(await stat(path)).size}`))
}

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
    expect(await readdir(at())).toEqual(['x.atbackup'])
  })

  it('with another passphrase', async () => {
    const file = await made(...byPassphrase())
    await writeFile(at('other'), 'wrong horse')
    const { status, err } = await cli(['restore', file, ...target('--passphrase-file', at('other'))])
    expect({ status, err }).toEqual({ status: 16, err: 'atedge: this is not the passphrase of the backup\n' })
    expect((await readdir(at())).sort()).toEqual(['other', 'x.atbackup'])
  })

  it('where a device of another atSign is configured', async () => {
    const file = await given()
    await writeFile(at('new.yaml'), `atSign: '@other'\ndataDir: ./new\n`)
    const { status, err } = await cli(['restore', file, '-c', at('new.yaml'), ...unlocked()])
    expect({ status, err }).toEqual({
      status: 13,
      err: expect.stringContaining('is for @other, the backup is of @device'),
    })
    expect((await readdir(at())).sort()).toEqual(['new.yaml', 'x.atbackup'])
  })

  it('where something is, until it is told to set that aside', async () => {
    const file = await given()
    await mkdir(at('new'))
    await writeFile(at('new/precious'), 'mine')
    const before = await tree(at())
    const refused = await cli(['restore', file, ...target(...unlocked())])
    expect(refused).toMatchObject({ status: 1, err: expect.stringContaining('is not empty, so nothing was restored') })
    expect(await tree(at())).toEqual(before)
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
    expect(await readdir(at())).toEqual(['x.atbackup'])
  })

  it('when the place cannot be written', async () => {
    const file = await given()
    await writeFile(at('file'), '')
    const { status, err } = await cli(['restore', file, '-c', at('new.yaml'), '--data', at('file/new'), ...unlocked()])
    expect({ status, err }).toEqual({ status: 1, err: expect.stringContaining('file') })
    expect((await readdir(at())).sort()).toEqual(['file', 'x.atbackup'])
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

  it('sets the configuration of another atSign aside when it is told to', async () => {
    const file = await given()
    const other = `atSign: '@other'\ndataDir: ./other\n`
    await writeFile(at('new.yaml'), other)
    const { status, out } = await cli(['restore', file, ...target(...unlocked()), '--force', '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, config: { outcome: 'replaced' } })
    expect(await readFile(at('new.yaml.before-restore'), 'utf8')).toBe(other)
    expect(await readFile(at('new.yaml'), 'utf8')).toContain("'@device'")
  })

  it('does not put data where the configuration does not look', async () => {
    const file = await given()
    await writeFile(at('new.yaml'), `atSign: '@device'\ndataDir: ./elsewhere\n`)
    const { status, err } = await cli(['restore', file, ...target(...unlocked())])
    expect({ status, err }).toEqual({ status: 2, err: expect.stringContaining(`keeps its data in ${at('elsewhere')}`) })
    expect((await readdir(at())).sort()).toEqual(['new.yaml', 'x.atbackup'])
  })

  it('puts back what was set aside when it was killed between its two renames', async () => {
    await mkdir(at('new.before-restore'))
    await writeFile(at('new.before-restore/precious'), 'mine')
    await mkdir(at('new.restoring'))
    const { status } = await cli(['restore', await given(), ...target(...unlocked())])
    expect(status).toBe(1)
    expect(await readFile(at('new/precious'), 'utf8')).toBe('mine')
  })

  it('of a store alone is undone by the next start when it was killed between its two renames', async () => {
    await cp(of('.'), at('copy'), { recursive: true })
    await rename(at('copy/data/store'), at('copy/data/store.before-restore'))
    await mkdir(at('copy/data/store.restoring'))
    const { status, err } = await cli(['serve', '-c', at('copy/atedge.yaml')], { stopped: Promise.resolve() })
    expect({ status, err }).toMatchObject({ status: 0 })
    const store = await openData(at('copy/data'))
    onTestFinished(() => store.close())
    expect(await store.records.get('r299.sensors@device')).toMatchObject({ value: values[299] })
  })

  it('throws away what a killed attempt has left', async () => {
    const file = await given()
    await mkdir(at('new.restoring/store/level'), { recursive: true })
    await writeFile(at('new.restoring/store/level/CURRENT'), 'half done')
    expect(await cli(['restore', file, ...target(...unlocked())])).toMatchObject({ status: 0 })
    expect((await readdir(at())).sort()).toEqual(['new', 'new.yaml', 'x.atbackup'])
  })

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
    expect((await readdir(at())).sort()).toEqual(['new.restoring', 'x.atbackup'])
    const end = ended(child)
    child.kill('SIGKILL')
    expect(await end).toBe('SIGKILL')
    expect(await cli(['restore', at('x.atbackup'), ...target(...unlocked())])).toMatchObject({ status: 0 })
    expect((await readdir(at())).sort()).toEqual(['new', 'new.yaml', 'x.atbackup'])
  })
})

describe('while the device runs', () => {
  let device: Device
  beforeAll(async () => {
    const path = of('atedge.yaml')
    device = await startDevice({ config: parseConfig(await readFile(path, 'utf8'), path), clock, log, version })
  })
  afterAll(() => device.close())

  it('nothing is restored over it', async () => {
    const file = await given()
    const { status, err } = await cli(['restore', file, ...oldConfig(), ...unlocked(), '--force'])
    expect({ status, err }).toEqual({ status: 10, err: expect.stringContaining('a device is running on') })
    expect(await readdir(of('.'))).not.toContain('data.before-restore')
  })
})
