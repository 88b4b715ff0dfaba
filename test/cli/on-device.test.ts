import { execFile } from 'node:child_process'
import { chown, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Device, startDevice } from '../../src/app-device.ts'
import { callControl } from '../../src/cli/control.ts'
import { parseConfig } from '../../src/config/load.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { silent as log } from '../../src/core/log.ts'
import { createAuthority } from '../../src/provision/authority.ts'
import { issueCertificate } from '../../src/provision/certificate.ts'
import { cli, somePort } from '../support/cli.ts'

// A device whose certificate names its public host alone, and commands on that machine.

let folder: string
let config: string
let device: Device
let secret: string

const inFolder = (name: string): string => join(folder, name)
const modeOf = async (path: string): Promise<number> => (await stat(path)).mode & 0o777

async function start(): Promise<Device> {
  for (let attempt = 0; ; attempt++) {
    const text = (await readFile(config, 'utf8')).replace(
      /^listen:.*$/m,
      `listen: { host: 127.0.0.1, port: ${somePort()} }`,
    )
    await writeFile(config, text)
    try {
      return await startDevice({ config: parseConfig(text, config), clock, log, version: 'test' })
    } catch (error) {
      if (attempt === 20 || !String(error).includes('uses it already')) throw error
    }
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atedge-on-device-'))
  config = inFolder('atedge.yaml')
  const authority = await createAuthority({ name: 'site', now: Date.now() })
  const issued = await issueCertificate(authority, { names: ['device.example'], now: Date.now() })
  await writeFile(inFolder('chain.pem'), issued.chain)
  await writeFile(inFolder('key.pem'), issued.key, { mode: 0o600 })
  await writeFile(inFolder('ca.pem'), authority.certificate)
  await writeFile(
    config,
    `atSign: '@device'
host: device.example
listen: {}
dataDir: ${inFolder('data')}
certificates: { chain: ${inFolder('chain.pem')}, key: ${inFolder('key.pem')}, ca: ${inFolder('ca.pem')} }
control: { path: ${inFolder('run/control')} }
bridge: { enabled: false }
health: { enabled: false }
`,
  )
  const made = await cli(['init', '@device', '-c', config, '--json'])
  secret = (JSON.parse(made.out) as { cram: string }).cram
  device = await start()
})

afterAll(async () => {
  await device.close()
  await rm(folder, { recursive: true, force: true })
})

const verb = (line: string, ...more: string[]) => cli(['verb', line, '-c', config, ...more])

describe('atedge verb', () => {
  it('says that there is no owner yet', async () => {
    expect(await verb('scan')).toMatchObject({ status: 1, err: expect.stringContaining('atedge activate') })
  })
})

describe('a command with -c on the device itself', () => {
  it('meets it over loopback and expects the name of its public host', async () => {
    // As on a board, where root commands and another user serves; only root can give files away.
    if (process.getuid?.() === 0) await chown(inFolder('data'), 12_345, 12_345)
    expect(await cli(['activate', '-c', config, '--secret', secret])).toMatchObject({ status: 0 })
    const { bridge } = parseConfig(await readFile(config, 'utf8'), config)
    expect(await stat(bridge.keys)).toMatchObject({ uid: (await stat(inFolder('data'))).uid })
    expect(await modeOf(bridge.keys)).toBe(0o600)
    expect(await cli(['put', 'note.wavi', 'kept', '-c', config])).toMatchObject({ status: 0, err: '' })
    expect(await cli(['get', 'note.wavi', '-c', config])).toMatchObject({ status: 0, out: 'kept\n' })
  })

  it('takes no other name for it', async () => {
    const other = inFolder('other.yaml')
    await writeFile(other, (await readFile(config, 'utf8')).replace('host: device.example', 'host: other.example'))
    expect(await cli(['get', 'note.wavi', '-c', other])).toMatchObject({
      status: 1,
      err: expect.stringContaining('another host name'),
    })
  })
})

describe('atedge verb, once there is an owner', () => {
  it('runs any command as the owner, without keys', async () => {
    expect(await verb('update:public:place.wavi@device attic')).toMatchObject({
      status: 0,
      out: expect.stringMatching(/^data:\d+\n$/),
    })
    expect(await verb('llookup:public:place.wavi@device')).toEqual({ status: 0, out: 'data:attic\n', err: '' })
    const { out } = await verb('scan wavi', '--json')
    expect(JSON.parse(out)).toEqual({ reply: 'data:["note.wavi@device","public:place.wavi@device"]' })
  })

  it('shows a refusal and fails', async () => {
    expect(await verb('llookup:nothing.wavi@device')).toMatchObject({
      status: 1,
      out: expect.stringMatching(/^error:AT0015-/),
    })
  })

  it.each([
    ['of more than one line', 'scan\nscan', 'AT0003'],
    ['without end', 'monitor', 'AT0022'],
    ['that is none', ' ', 'AT0003'],
    ['that is no text', 5, 'AT0003'],
  ])('refuses a command %s', async (_what, line, code) => {
    await expect(callControl(inFolder('run/control'), 'verb', { line })).rejects.toMatchObject({ code })
  })

  it('cannot replace the key of the owner, and takes no place', async () => {
    const { out } = await verb('update:privatekey:at_pkam_publickey MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A')
    expect(out).toMatch(/^error:AT/)
    const { connections } = (await callControl(inFolder('run/control'), 'status')) as { connections: object }
    expect(connections).toMatchObject({ total: 0 })
  })

  it('is for those who may use the socket: nobody else may even enter its folder', async () => {
    expect(await modeOf(inFolder('run'))).toBe(0o750)
    expect(await modeOf(inFolder('run/control'))).toBe(0o660)
  })
})

describe('what atedge init writes', () => {
  it('can be read by the user of the service where it is no secret, under any umask, and only there', async () => {
    const file = inFolder('etc/atedge.yaml')
    const words = ['--import', 'tsx', 'src/main.ts', 'init', '@fresh', '-c', file, '--data', inFolder('fresh')]
    const script = 'umask 077; exec "$0" "$@"'
    await promisify(execFile)('sh', ['-c', script, process.execPath, ...words, '--host', 'fresh.example'])
    expect(await modeOf(inFolder('etc'))).toBe(0o755)
    expect(await modeOf(file)).toBe(0o644)
    expect(await modeOf(inFolder('fresh'))).toBe(0o700)
    const unit = await readFile('board/systemd/atedge.service', 'utf8')
    expect(unit).toMatch(/^DynamicUser=yes$/m)
    expect(unit).toMatch(/^StateDirectoryMode=0700$/m)
    expect(unit).toContain('-c /etc/atedge/atedge.yaml')
  })
})
