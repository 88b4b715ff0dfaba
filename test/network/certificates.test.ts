import { once } from 'node:events'
import { mkdir, readFile, rename, symlink, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { connect, type TLSSocket } from 'node:tls'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { deviceCertificate, followCertificate, type LiveCertificate } from '../../src/app-certificate.ts'
import { startDevice } from '../../src/app-device.ts'
import { type Config, loadConfig } from '../../src/config/load.ts'
import type { Log } from '../../src/core/log.ts'
import { type Authority, createAuthority } from '../../src/provision/authority.ts'
import { type IssuedCertificate, issueCertificate } from '../../src/provision/certificate.ts'
import { cli } from '../support/cli.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import { closeLater, freePort, temporaryDirectory, until } from '../support/network.ts'
import { clientOf } from '../support/server.ts'

const day = 86_400_000
let folder: string
let authority: Authority
let clock: ManualClock
let logged: { level: string; message: string; members: Readonly<Record<string, unknown>> }[]
const log: Log = (level, message, members = {}) => void logged.push({ level, message, members })
const warnings = (): unknown[] => logged.filter(({ level }) => level === 'warn').map(({ members }) => members['reason'])

let first: IssuedCertificate
let next: IssuedCertificate

beforeAll(async () => {
  authority = await createAuthority({ name: 'site', now: Date.now() })
  const issue = () => issueCertificate(authority, { names: ['localhost', '127.0.0.1'], now: Date.now(), days: 90 })
  ;[first, next] = await Promise.all([issue(), issue()])
})

beforeEach(async () => {
  folder = await temporaryDirectory()
  clock = manualClock(Date.now())
  logged = []
})

const inFolder = (name: string): string => join(folder, name)

async function put(name: string, text: string): Promise<void> {
  await writeFile(inFolder(`${name}.new`), text)
  await rename(inFolder(`${name}.new`), inFolder(name))
}

/** Files of a certificate that somebody else renews, and a configuration that names them. */
async function dropIn(more = ''): Promise<Config> {
  await put('chain.pem', first.chain)
  await put('key.pem', first.key)
  await put('ca.pem', authority.certificate)
  const text = `atSign: '@device'
host: localhost
dataDir: ${folder}
certificates: { chain: ${inFolder('chain.pem')}, key: ${inFolder('key.pem')}, ca: ${inFolder('ca.pem')} }
bridge: { enabled: false }
health: { enabled: false }
${more}`
  await writeFile(inFolder('atedge.yaml'), text)
  return loadConfig({ file: inFolder('atedge.yaml'), env: {} })
}

async function follow(config: Config, applied: string[]): Promise<LiveCertificate> {
  const live = await followCertificate({ config, clock, log }, ({ chain }) => applied.push(chain))
  closeLater(async () => live.close())
  return live
}

/** Lets the second of quiet pass that follows an event of the disk, whenever that comes. */
const passing = (condition: () => boolean): Promise<void> =>
  until(() => {
    clock.advance(500)
    return condition()
  })

describe('the files of a certificate', () => {
  it('are read again when both have been replaced', async () => {
    const config = await dropIn()
    const applied: string[] = []
    const live = await follow(config, applied)
    expect(live.current().chain).toBe(first.chain)
    await put('key.pem', next.key)
    await put('chain.pem', next.chain)
    await passing(() => applied.length === 1)
    expect(live.current()).toMatchObject({ chain: next.chain, key: next.key, ca: authority.certificate })
    expect(await live.reload()).toBe(false)
  })

  it('are followed through a link, as certbot renews them', async () => {
    const config = await dropIn()
    await mkdir(inFolder('archive'))
    await writeFile(inFolder('archive/chain2.pem'), next.chain)
    await writeFile(inFolder('archive/key2.pem'), next.key)
    const applied: string[] = []
    await follow(config, applied)
    for (const name of ['key', 'chain']) {
      await unlink(inFolder(`${name}.pem`))
      await symlink(`archive/${name}2.pem`, inFolder(`${name}.pem`))
    }
    await passing(() => applied.length === 1)
    expect(applied).toEqual([next.chain])
  })

  it.each([
    ['a key of another certificate', 'key.pem', () => next.key, 'key.pem is not the key of'],
    ['half a file', 'chain.pem', () => next.chain.slice(0, 200), 'chain.pem holds no certificate'],
    ['nothing', 'key.pem', () => '', 'key.pem holds no private key'],
    ['an authority that is none', 'ca.pem', () => 'hello', 'ca.pem holds no certificate'],
  ])('change nothing while they hold %s; the log names the file', async (_what, name, text, reason) => {
    const config = await dropIn()
    const applied: string[] = []
    const live = await follow(config, applied)
    await put(name, text())
    await passing(() => warnings().length > 0)
    expect(warnings()[0]).toContain(reason)
    expect(applied).toEqual([])
    expect(live.current().chain).toBe(first.chain)
    await expect(live.reload()).rejects.toThrow(reason)
    await put('ca.pem', authority.certificate)
    await put('key.pem', next.key)
    await put('chain.pem', next.chain)
    await passing(() => applied.length > 0)
    expect(live.current().chain).toBe(next.chain)
  })

  it('stop a start that cannot use them', async () => {
    const config = await dropIn()
    await put('key.pem', next.key)
    await expect(follow(config, [])).rejects.toThrow('key.pem is not the key of')
  })

  it('are named in the log when the end is near', async () => {
    const config = await dropIn()
    clock = manualClock(Date.now() + 77 * day)
    await follow(config, [])
    clock.advance(3_600_000)
    expect(logged).toContainEqual(
      expect.objectContaining({ level: 'warn', message: 'the certificate expires soon', members: expect.anything() }),
    )
  })
})

describe('the device’s own certificate', () => {
  it('is renewed while it runs, a month before its end', async () => {
    await writeFile(inFolder('atedge.yaml'), `atSign: '@device'\nhost: localhost\ndataDir: ${folder}\n`)
    const config = await loadConfig({ file: inFolder('atedge.yaml'), env: {} })
    const { chain } = await deviceCertificate(config, clock)
    clock = manualClock(Date.now() + 770 * day - 3_600_000)
    const applied: string[] = []
    const live = await follow(config, applied)
    expect(live.current().chain).toBe(chain)
    clock.advance(3_600_000)
    await until(() => applied.length === 1)
    expect(live.current().chain).not.toBe(chain)
    expect(await readFile(inFolder('fullchain.pem'), 'utf8')).toBe(applied[0])
  })
})

describe('a device whose certificate is exchanged', () => {
  const shownBy = async (socket: TLSSocket): Promise<string> => {
    await once(socket, 'secureConnect')
    return socket.getPeerCertificate().fingerprint256
  }

  it('shows the new one in every place and keeps the sessions that are open', async () => {
    const [port, directoryPort] = [await freePort(), await freePort()]
    const config = await dropIn(`listen: { host: 127.0.0.1, port: ${port} }
directory: { enabled: true, host: 127.0.0.1, port: ${directoryPort} }
control: { path: ${inFolder('control.sock')} }
`)
    const device = await startDevice({ config, clock, log, version: 'test' })
    closeLater(() => device.close())
    const ca = authority.certificate
    const before = connect({ port, host: 'localhost', ca })
    const old = await shownBy(before)
    const session = clientOf(before)
    await session.take(/^@/)
    await put('key.pem', next.key)
    await put('chain.pem', next.chain)
    const reports = await Promise.all([device.reload(), device.reload()])
    expect(reports.map(({ certificates }) => certificates)).toContainEqual({ changed: true })
    for (const at of [port, directoryPort]) {
      const socket = connect({ port: at, host: 'localhost', ca })
      expect(await shownBy(socket)).not.toBe(old)
      socket.destroy()
    }
    expect(await session.ask('noop:0')).toBe('data:ok\n@')
    const mtls = await session.ask('info:mtls')
    expect(JSON.parse(mtls.slice(5, mtls.lastIndexOf('\n')))).toMatchObject({ mtls_fullchain: next.chain })
    session.leave()
  })

  it('shows the new one after SIGHUP', async () => {
    const port = await freePort()
    await dropIn(`listen: { host: 127.0.0.1, port: ${port} }\ncontrol: { path: ${inFolder('control.sock')} }\n`)
    let hangup: (() => void) | undefined
    let stop = (): void => {}
    const stopped = new Promise<void>((resolve) => {
      stop = resolve
    })
    const serving = cli(['serve', '-c', inFolder('atedge.yaml'), '--log-level', 'silent'], {
      stopped,
      onHangup: (task) => {
        hangup = task
      },
    })
    await until(() => hangup !== undefined)
    const shown = (): Promise<string> => {
      const socket = connect({ port, host: 'localhost', ca: authority.certificate })
      return shownBy(socket).finally(() => socket.destroy())
    }
    const old = await shown()
    await put('key.pem', next.key)
    await put('chain.pem', next.chain)
    hangup?.()
    await until(async () => (await shown()) !== old)
    stop()
    expect(await serving).toMatchObject({ status: 0 })
  })
})
