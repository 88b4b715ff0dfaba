import { once } from 'node:events'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { connect } from 'node:tls'
import { expect, it } from 'vitest'
import { startDirectoryDevice } from '../../src/app-directory-only.ts'
import { parseConfig } from '../../src/config/load.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { silent as log } from '../../src/core/log.ts'
import { resolverFor } from '../../src/directory/locate.ts'
import { dialTls } from '../../src/net/dial.ts'
import { ensureAuthority, ensureCertificate } from '../../src/provision/files.ts'
import { cli } from '../support/cli.ts'
import { closeLater, redisServer, until } from './servers.ts'

/** A private authority with a certificate for localhost, and two directories over one Redis that wants TLS and a password. */
async function site() {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-directories-'))
  closeLater(() => rm(folder, { recursive: true, force: true }))
  const authority = await ensureAuthority(folder, 'site', Date.now())
  const { chainPath, keyPath, chain, key } = await ensureCertificate(
    folder,
    authority,
    ['localhost', 'site.lan'],
    Date.now(),
  )
  const ca = authority.certificatePath
  const files = ['--tls-cert-file', chainPath, '--tls-key-file', keyPath, '--tls-ca-cert-file', ca]
  const redis = await redisServer(['--requirepass', 'secret'], {
    tls: [...files, '--tls-auth-clients', 'no'],
  })
  await writeFile(join(folder, 'password'), 'secret\n')
  const start = async (name: string) => {
    await mkdir(join(folder, name))
    const file = join(folder, `${name}.yaml`)
    const content = `atSign: '@directory'
dataDir: ${join(folder, name)}
certificates: { chain: ${chainPath}, key: ${keyPath}, ca: ${ca} }
directory:
  enabled: true
  host: 127.0.0.1
  port: 0
  entries: { '@${name}': '${name}.lan:1' }
  redis: { servers: 'localhost:${redis.port}', passwordFile: password, tls: true, ca: ${ca} }
`
    await writeFile(file, content)
    const running = await startDirectoryDevice({ config: parseConfig(content, file), clock, log, version: 'test' })
    let closed = false
    const close = async (): Promise<void> => {
      if (!closed) await running.close()
      closed = true
    }
    closeLater(close)
    return { file, close, port: running.directory.port }
  }
  return { redis, authority, identity: { cert: chain, key }, one: await start('one'), two: await start('two') }
}

it('directories over one Redis answer alike: what one is told, the other says', async () => {
  const { redis, authority, identity, one, two } = await site()
  const ask = async (port: number, lines: string): Promise<string> => {
    const socket = connect({ host: 'localhost', port, ca: authority.certificate, ...identity })
    await once(socket, 'secureConnect')
    socket.write(`${lines}@exit\n`)
    return text(socket)
  }
  expect(await ask(two.port, 'alice\none\ntwo\n')).toBe('@null\r\n@null\r\n@two.lan:1\r\n@')
  expect((await cli(['directory', 'add', '@alice', 'alice.lan:6464', '-c', one.file])).status).toBe(0)
  await until(async () => (await ask(two.port, 'alice\n')) === '@alice.lan:6464\r\n@')

  expect(await ask(two.port, '@register:bob:site.lan:6464\n')).toBe('@data:site.lan:6464\r\n@')
  expect(await ask(one.port, 'bob\n')).toBe('@site.lan:6464\r\n@')
  expect(await ask(one.port, '@register:alice:site.lan:6464\n')).toContain('@error:AT0401-@alice belongs to alice.lan')

  const resolver = resolverFor([`localhost:${one.port}`, `localhost:${two.port}`], {
    clock,
    dial: (address) => dialTls({ ...address, ca: [authority.certificate], clock }),
  })
  closeLater(async () => resolver.close())
  expect(await resolver.resolve('@alice')).toEqual({ host: 'alice.lan', port: 6464 })
  await one.close()
  expect(await resolver.resolve('@bob', { fresh: true })).toEqual({ host: 'site.lan', port: 6464 })

  await redis.kill()
  const status = async () => (await cli(['status', '-c', two.file, '--json'])).out
  await until(async () => (await status()).includes('"connected":false'))
  expect(await ask(two.port, 'two\nalice\n')).toBe('@two.lan:1\r\n@alice.lan:6464\r\n@')
  // Nobody can say whether it exists, so the client is asked to come again rather than told `null`.
  expect(await ask(two.port, 'carol\n')).toBe('@')
})
