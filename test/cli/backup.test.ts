import { cp, mkdir, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest'
import { type Device, startDevice } from '../../src/app-device.ts'
import { progressLine } from '../../src/cli/progress.ts'
import { parseConfig } from '../../src/config/load.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { limits } from '../../src/core/limits.ts'
import { silent as log } from '../../src/core/log.ts'
import { createAtKeys, readKeysFile, writeKeysFile } from '../../src/crypto/keys-file.ts'
import { startDirectory } from '../../src/directory/server.ts'
import { version } from '../../src/version.ts'
import { cli } from '../support/cli.ts'
import { startTestNetwork } from '../support/network.ts'
import { ended, openData, run, useOldDevice, values } from './old-device.ts'

const { at, of, oldConfig, locked, unlocked, byPassphrase, made, given, target } = useOldDevice()

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
      const before = join(of('data'), name)
      const after = join(at('new'), name)
      expect(await readFile(after, 'utf8')).toBe(await readFile(before, 'utf8'))
      expect((await stat(after)).mode).toBe((await stat(before)).mode)
    }
    expect(await readFile(at('new.yaml'), 'utf8')).toContain("atSign: '@device' # mine\ndataDir: ")
    expect(parseConfig(await readFile(at('new.yaml'), 'utf8'), at('new.yaml')).dataDir).toBe(at('new'))
    const store = await openData(at('new'))
    onTestFinished(() => store.close())
    expect(await store.records.get('r299.sensors@device')).toMatchObject({ value: values[299] })
    expect(store.commits.lastId()).toBe(report['continuesFrom'])
  })

  it('can be checked without being restored', async () => {
    const file = await given()
    const { status, out } = await cli(['restore', file, '--check', ...unlocked(), '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, atSign: '@device', files: 5, damaged: 0 })
  })

  it('locked to an atSign is opened by its keys alone', async () => {
    const { encryptPublicKey } = await readKeysFile(of('alice.atKeys'), '@alice')
    await writeKeysFile(at('wrong.atKeys'), await createAtKeys('@alice'))
    const lines = encryptPublicKey.replaceAll(/.{64}/g, '$&\n')
    await writeFile(at('alice.pem'), `-----BEGIN PUBLIC KEY-----\n${lines}\n-----END PUBLIC KEY-----\n`)
    const file = await made('--recipient', '@alice', '--recipient-key', at('alice.pem'))
    const wrong = await cli(['restore', file, ...target('-k', at('wrong.atKeys'))])
    expect(wrong).toMatchObject({ status: 16, err: expect.stringContaining('locked to other keys of @alice') })
    const none = await cli(['restore', file, ...target('-k', at('none.atKeys'))])
    expect(none).toMatchObject({ status: 1, err: expect.stringContaining('its .atKeys file is needed') })
    expect(await readdir(at())).not.toContain('new')
    expect(await cli(['restore', file, ...target(...unlocked())])).toMatchObject({ status: 0 })
  })

  it('is locked to the key that an atSign shows on its atServer', async () => {
    const network = await startTestNetwork(['@alice'])
    const { encryptPublicKey } = await readKeysFile(of('alice.atKeys'), '@alice')
    const alice = await network.member('@alice').owner()
    await alice.ask(`update:public:publickey@alice ${encryptPublicKey}`)
    const { chain, key, ca } = network.certificate
    const listen = { cert: chain, key, ca, host: '127.0.0.1', port: 0 }
    const directory = await startDirectory({ table: network.table, clock, log, listen })
    onTestFinished(() => directory.close())
    await cp(of('.'), at('copy'), { recursive: true })
    await Promise.all(Object.entries({ chain, key, ca }).map(([name, pem]) => writeFile(at(`copy/${name}.pem`), pem)))
    const config = `${await readFile(at('copy/atedge.yaml'), 'utf8')}certificates: { chain: chain.pem, key: key.pem, ca: ca.pem }
rootServer: { addresses: ['localhost:${directory.port}'] }\nhost: localhost\nbackup: { recipient: '@alice' }\n`
    await writeFile(at('copy/atedge.yaml'), config)
    const { status, err } = await cli(['backup', at('x'), '-c', at('copy/atedge.yaml')])
    expect({ status, err }).toEqual({ status: 0, err: expect.stringContaining('Locked to @alice, whose key has') })
    expect(await cli(['restore', at('x'), '--check', ...unlocked()])).toMatchObject({ status: 0 })
    const nobody = await cli(['backup', at('y'), '-c', at('copy/atedge.yaml'), '--recipient', '@nobody'])
    expect(nobody).toMatchObject({ status: 1, err: expect.stringContaining('the public key of @nobody cannot be had') })
    expect(await readdir(at())).toEqual(['copy', 'x'])
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
    const { status, out } = await cli(['backup', at(), '--keep', '2', ...oldConfig(), ...locked(), '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, removed: 1 })
    expect(await readdir(at())).toEqual([
      '@device-20210101T000000Z.atbackup',
      expect.stringMatching(/^@device-\d{8}T\d{6}Z\.atbackup$/),
      '@other-20200101T000000Z.atbackup',
    ])
  })

  it('of the store alone, or a snapshot of the device, replaces only the store', async () => {
    const file = await made('--plain')
    expect((await readFile(file)).toString('latin1', 0, 16)).toBe('atedge snapshot ')
    await cp(of('.'), at('copy'), { recursive: true })
    const config = ['-c', at('copy/atedge.yaml')]
    expect(await cli(['restore', file, ...config])).toMatchObject({ status: 1 })
    const { status, out } = await cli(['restore', file, ...config, '--force', '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, setAside: at('copy/data/store.before-restore') })
    expect(await readFile(at('copy/data/ca.pem'), 'utf8')).toBe(await readFile(of('data/ca.pem'), 'utf8'))
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
    expect(await readdir(at())).toEqual([])
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
    expect(await readdir(at())).toEqual(['empty.yaml'])
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
    expect(await readdir(at())).toEqual([])
  })

  it('tells which files that the configuration names stay behind', async () => {
    await cp(of('.'), at('copy'), { recursive: true })
    const config = `${await readFile(at('copy/atedge.yaml'), 'utf8')}certificates: { chain: /etc/x/chain.pem, key: ./data/k.pem }\n`
    await writeFile(at('copy/atedge.yaml'), config)
    const { err } = await cli(['backup', at('x'), '-c', at('copy/atedge.yaml'), ...locked()])
    expect(err).toContain(
      `Not in the backup, for it lies outside of ${at('copy/data')} or is too large: /etc/x/chain.pem\n`,
    )
  })

  it('of a store that lost its database there is no backup, and nothing is made anew', async () => {
    await cp(of('.'), at('copy'), { recursive: true })
    await rm(at('copy/data/store/level'), { recursive: true })
    await mkdir(at('copy/data/store/level'))
    const { status, err } = await cli(['backup', at('x'), '-c', at('copy/atedge.yaml'), ...locked()])
    expect({ status, err }).toEqual({ status: 1, err: expect.stringContaining('is not whole (its CURRENT file') })
    expect(await readdir(at('copy/data/store/level'))).toEqual([])
    expect(await readdir(at())).toEqual(['copy'])
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
    const path = of('atedge.yaml')
    device = await startDevice({ config: parseConfig(await readFile(path, 'utf8'), path), clock, log, version })
  })
  afterAll(() => device.close())

  it('a backup is read through its control socket', async () => {
    const file = await made(...locked())
    const { status, out } = await cli(['restore', file, '--check', ...unlocked(), '--json'])
    expect({ status, ...JSON.parse(out) }).toMatchObject({ status: 0, atSign: '@device', files: 5 })
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
