import { once } from 'node:events'
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { request } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect } from 'node:tls'
import { afterEach, describe, expect, it } from 'vitest'
import { startDevice } from '../../src/app-device.ts'
import { startDirectoryDevice } from '../../src/app-directory-only.ts'
import { parseConfig } from '../../src/config/load.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { silent as log } from '../../src/core/log.ts'
import { ensureAuthority, ensureCertificate } from '../../src/provision/files.ts'
import { version } from '../../src/version.ts'
import { day, issue, newAuthority } from '../net/certificates.ts'
import { cli, somePort } from '../support/cli.ts'
import { until } from '../support/network.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

/** A folder with a private authority and a certificate of it for localhost. */
async function site() {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-site-'))
  closers.push(() => rm(folder, { recursive: true, force: true }))
  const authority = await ensureAuthority(folder, 'site', Date.now())
  const certificate = async (name: string, names = ['localhost', `${name}.lan`]): Promise<string> => {
    const place = join(folder, name)
    await mkdir(place)
    const { chainPath, keyPath } = await ensureCertificate(place, authority, names, Date.now())
    return `certificates: { chain: ${chainPath}, key: ${keyPath}, ca: ${authority.certificatePath} }`
  }
  return { folder, authority, certificate }
}

/** Writes a configuration and reads it as the program would. */
async function configuration(folder: string, name: string, lines: readonly string[]) {
  const file = join(folder, `${name}.yaml`)
  const content = [`atSign: '@${name}'`, `dataDir: ${join(folder, `${name}-data`)}`, ...lines].join('\n')
  await writeFile(file, content)
  return { file, config: parseConfig(content, file) }
}

const quiet = 'health: { enabled: false }\nbridge: { enabled: false }'

/** Browsers and curl offer it by themselves. */
const http = { ALPNProtocols: ['http/1.1'] }

/** What a client of the directory is answered to lines, greeting and prompts included. */
async function say(port: number, ca: string, lines: string, shown: { cert?: string; key?: string } = {}) {
  const socket = connect({ host: 'localhost', port, ca, ...shown })
  await once(socket, 'secureConnect')
  socket.write(`${lines}@exit\n`)
  return text(socket)
}

async function startSite() {
  const place = await site()
  const { folder, authority } = place
  const lines = [await place.certificate('directory'), quiet]
  const { file, config } = await configuration(folder, 'directory', [
    ...lines,
    `directory: { enabled: true, host: 127.0.0.1, port: 0, entries: { '@fixed': 'fixed.lan:1' } }`,
  ])
  const start = () => startDirectoryDevice({ config, clock, log, version })
  let running = await start()
  closers.push(() => running.close())
  return {
    ...place,
    file,
    port: () => running.directory.port,
    ask: (given: string, shown = {}) => say(running.directory.port, authority.certificate, given, shown),
    async restart() {
      await running.close()
      running = await start()
    },
  }
}

describe('a private directory of its own', () => {
  it('is told its entries over the control socket and keeps them over a restart', async () => {
    const { file, ask, restart } = await startSite()
    const run = (...args: string[]) => cli(['directory', ...args, '-c', file])
    expect((await run('add', '@Alice', 'alice.lan:6464')).out).toBe('@alice is at alice.lan:6464\n')
    expect(await run('add', '@fixed', 'x:1')).toMatchObject({ status: 1, err: expect.stringContaining('change it') })
    await run('add', '@bob', 'bob.lan:6464')
    await run('remove', '@bob')
    expect(await run('remove', '@bob')).toMatchObject({ status: 1, err: 'atedge: @bob had no entry\n' })
    await restart()
    expect(JSON.parse((await run('list', '--json')).out)).toEqual([
      { atSign: '@fixed', address: 'fixed.lan:1', fixed: true },
      { atSign: '@alice', address: 'alice.lan:6464', fixed: false },
    ])
    expect(await ask('alice\nbob\nfixed\n')).toBe('@alice.lan:6464\r\n@null\r\n@fixed.lan:1\r\n@')
    const status = await cli(['status', '-c', file, '--json'])
    expect({ status: status.status, report: JSON.parse(status.out) }).toMatchObject({
      status: 0,
      report: { version, directory: { fixed: 1, registered: 1 } },
    })
  })

  it('starts without entries that it cannot read, and keeps the file', async () => {
    const { folder, ask, restart } = await startSite()
    const path = join(folder, 'directory-data', 'directory.json')
    await mkdir(join(folder, 'directory-data'), { recursive: true })
    await writeFile(path, '{"version":1,"entries":{"alice"')
    await restart()
    expect(await ask('alice\n')).toBe('@null\r\n@')
    expect(await readFile(`${path}.damaged`, 'utf8')).toContain('alice')
  })

  it('takes a device that proves itself by its certificate, and nobody else', async () => {
    const { folder, authority, certificate, port, ask } = await startSite()
    const { config } = await configuration(folder, 'device', [
      await certificate('device'),
      `host: device.lan\n${quiet}`,
      `listen: { host: 127.0.0.1, port: ${somePort()} }`,
      `rootServer: { addresses: ['localhost:${port()}'], register: true }`,
    ])
    const device = await startDevice({ config, clock, log, version })
    closers.push(device.close)
    const entry = `device.lan:${config.listen.port}`
    let answer = ''
    await until(async () => {
      answer = await ask('device\n')
      return !answer.includes('null')
    })
    expect(answer).toBe(`@${entry}\r\n@`)

    const line = `@register:device:mallory.lan:6464\n`
    const refused = (reason: string) => expect.stringContaining(`@error:AT0401-${reason}`)
    expect(await ask(line)).toEqual(refused('a device registers with its TLS client certificate; none was shown'))
    const stranger = await ensureAuthority(join(folder, 'stranger'), 'stranger', Date.now())
    const bad = await ensureCertificate(join(folder, 'stranger'), stranger, ['mallory.lan'], Date.now())
    expect(await ask(line, { cert: bad.chain, key: bad.key })).toEqual(
      refused('the certificate is of no private authority that this directory was given'),
    )
    await mkdir(join(folder, 'mallory'))
    const other = await ensureCertificate(join(folder, 'mallory'), authority, ['mallory.lan'], Date.now())
    expect(await ask(line, { cert: other.chain, key: other.key })).toEqual(
      refused('@device belongs to device.lan, which the certificate does not name'),
    )
    expect(await ask('device\n')).toBe(`@${entry}\r\n@`)
  })

  it.each([
    ['while its clock is known to be wrong, as nobody can judge dates then', 1_000, '@data:carol.lan:1\r\n@'],
    ['not once it knows the time', Date.now(), '@error:AT0401-'],
  ])('takes a device whose certificate has expired %s', async (_when, now, expected) => {
    const { folder } = await site()
    const authority = await newAuthority('old')
    const own = await issue(authority, ['localhost'])
    const files = { chain: own.cert, key: own.key, ca: authority.certificate }
    for (const [name, pem] of Object.entries(files)) await writeFile(join(folder, `${name}.pem`), pem, { mode: 0o600 })
    const path = (name: string): string => join(folder, `${name}.pem`)
    const { config } = await configuration(folder, 'lost', [
      `certificates: { chain: ${path('chain')}, key: ${path('key')}, ca: ${path('ca')} }`,
      'directory: { enabled: true, host: 127.0.0.1, port: 0 }',
    ])
    const running = await startDirectoryDevice({ config, clock: { ...clock, now: () => now }, log, version })
    closers.push(() => running.close())
    const expired = await issue(authority, ['carol.lan'], Date.now() - 900 * day)
    const { port } = running.directory
    expect(await say(port, authority.certificate, '@register:carol:carol.lan:1\n', expired)).toContain(expected)
  })

  it('issues the certificate with which a device registers', async () => {
    const { folder } = await site()
    const out = join(folder, 'carol')
    const { file, config } = await configuration(folder, 'own', [
      `host: localhost\n${quiet}`,
      'directory: { enabled: true, host: 127.0.0.1, port: 0 }',
    ])
    const running = await startDirectoryDevice({ config, clock, log, version })
    closers.push(() => running.close())
    const issued = await cli(['directory', 'certificate', 'carol.lan', '--out', out, '-c', file, '--json'])
    const paths = JSON.parse(issued.out) as { chain: string; key: string; ca: string }
    const [cert, key, ca] = await Promise.all([paths.chain, paths.key, paths.ca].map((path) => readFile(path, 'utf8')))
    const lines = '@register:carol:carol.lan:6464\n@register:dave:dave.lan:6464\n'
    expect(await say(running.directory.port, ca ?? '', lines, { cert: cert ?? '', key: key ?? '' })).toBe(
      '@data:carol.lan:6464\r\n@error:AT0401-the certificate does not name dave.lan\r\n@',
    )
  })

  it('answers HTTPS with an address, or a redirection to the atServer', async () => {
    const { authority, port } = await startSite()
    const get = async (path: string, method = 'GET') => {
      const sent = request({
        ...{ host: 'localhost', port: port(), path, method, ca: authority.certificate, agent: false },
        ...http,
      }).end()
      const [response] = await once(sent, 'response')
      return { status: response.statusCode, location: response.headers.location, body: await text(response) }
    }
    expect(await get('/@fixed')).toEqual({ status: 200, location: undefined, body: 'fixed.lan:1' })
    expect(await get('/%40FIXED/')).toMatchObject({ status: 200, body: 'fixed.lan:1' })
    expect(await get('/@fixed/sensors/kitchen?at_rt=meta')).toEqual({
      status: 302,
      location: 'https://fixed.lan:1/sensors/kitchen?at_rt=meta',
      body: '',
    })
    expect((await get('/@nobody')).status).toBe(404)
    expect((await get('/')).status).toBe(404)
    expect((await get('/%ff/x')).status).toBe(400)
    expect((await get(`/@fixed/${'x'.repeat(1_000)}`)).status).toBe(400)
    expect((await get('/@fixed', 'POST')).status).toBe(405)
  })
})
