import { mkdtemp, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { cli, type Running, somePort, spawnCli } from '../support/cli.ts'

let folder: string
let running: Running
let base = 0

/** Starts a network on ports that are free; those that are taken are tried again elsewhere. */
async function startNetwork(args: readonly string[]): Promise<Running> {
  for (let attempt = 0; ; attempt++) {
    base = somePort()
    try {
      return await spawnCli(['network', '--port-base', String(base), '--json', ...args])
    } catch (error) {
      if (attempt === 20 || !String(error).includes('uses it already')) throw error
    }
  }
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atedge-cli-'))
  running = await startNetwork(['--atsigns', '@alice,@bob', '--data', folder])
})
afterAll(async () => {
  await running.stop('SIGKILL')
  await rm(folder, { recursive: true, force: true })
})

/** A command as @alice or @bob of the network. */
const as = (atSign: string, ...args: string[]) => cli([...args, '-a', atSign, '-n', folder])

describe('atedge network', () => {
  it('prints the ready line that scripts rely on', () => {
    expect(JSON.parse(running.line)).toEqual({
      event: 'ready',
      directory: { host: 'localhost', port: base },
      ca: `${folder}/ca.pem`,
      atServers: [
        { atSign: '@alice', host: 'localhost', port: base + 1, keys: `${folder}/keys/@alice_key.atKeys` },
        { atSign: '@bob', host: 'localhost', port: base + 2, keys: `${folder}/keys/@bob_key.atKeys` },
      ],
    })
  })

  it('keeps files with keys to their owner', async () => {
    for (const name of ['ca-key.pem', 'privkey.pem', 'keys/@alice_key.atKeys']) {
      expect((await stat(join(folder, name))).mode & 0o777).toBe(0o600)
    }
  })

  it('leaves no secret in the file that other commands read', async () => {
    expect(await readFile(join(folder, 'network.json'), 'utf8')).not.toContain('cram')
  })

  it('says which port is busy and ends with status 1', async () => {
    const other = await mkdtemp(join(tmpdir(), 'atedge-cli-'))
    const args = ['network', '--atsigns', '@carol', '--data', other, '--port-base', String(base), '--json']
    const { status, err } = await cli(args)
    await rm(other, { recursive: true })
    expect({ status, err }).toEqual({
      status: 1,
      err: `atedge: Cannot listen on port ${base} of 127.0.0.1: another program uses it already\n`,
    })
  })

  it('with --no-activate gives CRAM secrets that activate an atSign', async () => {
    const other = await mkdtemp(join(tmpdir(), 'atedge-cli-'))
    const data = relative(process.cwd(), other)
    const inactive = await startNetwork(['--atsigns', '@carol', '--data', data, '--no-activate'])
    const [member] = (JSON.parse(inactive.line) as { atServers: { cram: string; port: number }[] }).atServers
    expect(member).toEqual({
      atSign: '@carol',
      host: 'localhost',
      port: base + 1,
      cram: expect.stringMatching(/^[0-9a-f]{128}$/),
    })
    const where = ['-a', '@carol', '-n', other, '-k', join(other, 'carol.atKeys')]
    expect((await cli(['status', ...where])).status).toBe(1)
    const wrong = await cli(['activate', '--secret', '0'.repeat(128), ...where])
    expect(wrong).toMatchObject({ status: 1, err: expect.stringContaining('secret is not the one of @carol') })
    const right = await cli(['activate', '--secret', '-', ...where], { input: `${member?.cram}\n` })
    expect(right.err).not.toContain(member?.cram ?? 'no secret')
    expect(right.status).toBe(0)
    expect((await cli(['status', ...where])).status).toBe(0)
    expect(await inactive.stop('SIGTERM')).toBe(0)
    await rm(other, { recursive: true })
  })

  it('ends with status 0 on SIGTERM and keeps data, keys and certificates for the next start', async () => {
    await as('@alice', 'put', 'note.wavi', 'kept')
    const ca = await readFile(join(folder, 'ca.pem'), 'utf8')
    expect(await running.stop('SIGTERM')).toBe(0)
    running = await startNetwork(['--atsigns', '@alice,@bob', '--data', folder])
    expect((await as('@alice', 'get', 'note.wavi')).out).toBe('kept\n')
    expect(await readFile(join(folder, 'ca.pem'), 'utf8')).toBe(ca)
  })
})

describe('commands for records and notifications', () => {
  it('put, get and delete a record that only its recipient reads', async () => {
    expect(await as('@alice', 'put', '@bob:door.wavi', 'zu 🚪', '--ttl', '1h')).toMatchObject({ status: 0 })
    expect((await as('@bob', 'get', 'door.wavi@alice')).out).toBe('zu 🚪\n')
    expect(await cli(['get', 'door.wavi@alice', '--anonymous', '-n', folder])).toMatchObject({
      status: 1,
      err: expect.stringContaining('does not exist in keystore'),
    })
    expect((await as('@alice', 'delete', '@bob:door.wavi')).status).toBe(0)
    expect(await as('@bob', 'get', 'door.wavi@alice')).toMatchObject({
      status: 1,
      err: 'atedge: door.wavi@alice is not there, or not for you\n',
    })
  })

  it('show a public record to everybody', async () => {
    await as('@alice', 'put', 'public:city.wavi', 'Köln')
    expect((await cli(['get', 'city.wavi@alice', '--anonymous', '-n', folder])).out).toBe('Köln\n')
    const { out } = await as('@bob', 'get', 'public:city.wavi@alice', '--json')
    expect(JSON.parse(out)).toMatchObject({ key: 'public:city.wavi@alice', value: 'Köln' })
  })

  it('scan here and at another atServer', async () => {
    await as('@alice', 'put', '@bob:seen.wavi', '1')
    expect(JSON.parse((await as('@alice', 'scan', 'seen', '--json')).out)).toEqual(['@bob:seen.wavi@alice'])
    expect((await as('@bob', 'scan', 'seen', '--at', '@alice')).out).toBe('seen.wavi@alice\n')
  })

  it('notify and monitor', async () => {
    let stop = (): void => {}
    const stopped = new Promise<void>((resolve) => {
      stop = resolve
    })
    const arrived = cli(['monitor', 'alarm', '-a', '@bob', '-n', folder, '--since', '1h', '--json'], {
      stopped,
      onOut: () => stop(),
    })
    const { out } = await as('@alice', 'notify', '@bob:door.alarm', 'open', '--json')
    const lines = (await arrived).out.trim().split('\n')
    expect(JSON.parse(lines[0] ?? '')).toMatchObject({
      id: (JSON.parse(out) as { id: string }).id,
      from: '@alice',
      key: '@bob:door.alarm@alice',
      value: 'open',
    })
  })

  it('tell how an atServer is, with the exit statuses of at_activate', async () => {
    const { status, out } = await as('@alice', 'status', '--json')
    expect({ status, report: JSON.parse(out) }).toMatchObject({
      status: 0,
      report: { atSign: '@alice', activated: true },
    })
    expect((await as('@nobody', 'status')).status).toBe(3)
    expect((await cli(['status', '-a', '@alice', '--server', 'localhost:1'])).status).toBe(2)
    expect((await cli(['status', '-a', '@alice', '-r', 'localhost:1'])).status).toBe(4)
  })

  it('sign only a challenge of the own atSign', async () => {
    const uuid = '0f6c1b9e-5d0e-4c57-9a54-2b8f4c1d7e31'
    expect((await as('@alice', 'pkam', `data:_${uuid}@alice:${uuid}`)).out).toMatch(/^pkam:[A-Za-z0-9+/=]{344}\n$/)
    expect((await as('@alice', 'pkam', `_${uuid}@bob:${uuid}`)).status).toBe(1)
    expect((await as('@alice', 'pkam', 'proof:whatever')).status).toBe(1)
  })
})
