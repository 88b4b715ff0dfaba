import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Device, startDevice } from '../../src/app-device.ts'
import { parseConfig } from '../../src/config/load.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { silent as log } from '../../src/core/log.ts'
import { version } from '../../src/version.ts'
import { cli, somePort } from '../support/cli.ts'

let folder: string
let config: string
let device: Device

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atedge-status-'))
  config = join(folder, 'atedge.yaml')
  for (let attempt = 0; device === undefined; attempt++) {
    const text = `atSign: '@device'\ndataDir: ${folder}/data\nlisten: { host: 127.0.0.1, port: ${somePort()} }\nbridge: { enabled: false }\n`
    await writeFile(config, text)
    try {
      device = await startDevice({ config: parseConfig(text, config), clock, log, version })
    } catch (error) {
      if (attempt === 20 || !String(error).includes('uses it already')) throw error
    }
  }
})
afterAll(async () => {
  await device.close()
  await rm(folder, { recursive: true, force: true })
})

const localStatus = {
  atSign: '@device',
  activated: false,
  version,
  uptime: expect.stringContaining('seconds'),
  uptimeMs: expect.any(Number),
  certificateExpires: expect.stringMatching(/^\d{4}-.*Z$/),
  certificateDaysLeft: expect.any(Number),
  connections: { total: 0, self: 0, other: 0, anon: 0, outbound: 0 },
  peerLineBytes: { commands: 0, replies: 0 },
  store: { lastCommitId: expect.any(Number), bytes: expect.any(Number) },
}

describe('atedge status on the device itself', () => {
  it('asks over the control socket, without certificates or keys, and keeps its exit statuses', async () => {
    const { status, out, err } = await cli(['status', '-c', config, '--json'])
    expect({ status, report: JSON.parse(out), err }).toEqual({
      status: 1,
      report: expect.objectContaining(localStatus),
      err: 'atedge: @device is not activated yet\n',
    })
  })

  it('shows one value a line to people', async () => {
    const { out } = await cli(['status', '-c', config])
    expect(out).toMatch(/^atSign {22,}@device\nactivated {19,}false\n/)
    expect(out).toMatch(/^connections\.outbound +0$/m)
  })

  it('goes over TLS when an address is given', async () => {
    const address = ['--server', `localhost:${parseConfig(await readFile(config, 'utf8'), config).listen.port}`]
    const { status, out } = await cli(['status', '-c', config, ...address, '--json'])
    expect(status).toBe(1)
    expect(Object.keys(JSON.parse(out) as object)).toEqual([
      'atSign',
      'activated',
      'version',
      'uptime',
      'certificateExpires',
    ])
  })
})

describe('atedge reload', () => {
  it('has the device read anew what it can', async () => {
    const { status, out } = await cli(['reload', '-c', config, '--json'])
    expect({ status, parts: typeof JSON.parse(out) }).toEqual({ status: 0, parts: 'object' })
  })

  it('says that no device runs', async () => {
    const other = join(folder, 'other.yaml')
    await writeFile(other, `atSign: '@other'\ndataDir: ${folder}/other\n`)
    expect(await cli(['reload', '-c', other])).toMatchObject({
      status: 1,
      err: expect.stringContaining('does `atedge serve` run?'),
    })
  })
})
