import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { afterAll, beforeEach, describe, expect, test } from 'vitest'
import { type AtedgeNetwork, type Program, pythonWithSdk, start, startNetwork } from './programs.ts'

// Apps on the official Python SDK as it is published, against `atedge network`. @bob is a Python app, @alice uses the
// commands of atedge.

interface Release {
  readonly version: string
  /** Reads records that carry an `ivNonce`, keeps namespaces and makes nonces of its own (page 05, 1.11). */
  readonly current: boolean
}

const releases: readonly Release[] = [
  { version: '0.2.81', current: true },
  { version: '0.2.30', current: false },
]

interface Answer {
  readonly ok?: unknown
  readonly error?: string
  readonly message?: string
}

interface Key {
  readonly name: string
  readonly namespace?: string
  readonly by: string
  readonly to?: string
  readonly public?: boolean
}

/** A Python app and what it can be asked to do. */
interface App {
  ask(what: string, request?: object): Promise<Answer>
  event(kind: string, key: string): Promise<Record<string, unknown>>
  stop(): Promise<void>
}

const value = 'Küche 21.4 °C 🌡'

describe.each(releases)('the official Python SDK $version', ({ version, current }) => {
  const programs: { stop(): Promise<void> }[] = []
  let python: string
  let network: AtedgeNetwork

  const begin = async (atSigns: readonly string[], ...flags: string[]): Promise<AtedgeNetwork> => {
    const started = await startNetwork(atSigns, ...flags)
    programs.push(started)
    return started
  }

  const app = ({ folder, home, ca }: AtedgeNetwork): App => {
    const env = { PATH: process.env['PATH'], HOME: home, SSL_CERT_FILE: ca, PYTHONUTF8: '1' }
    const script = join(import.meta.dirname, 'python', 'app.py')
    // The SDK looks for keys in `keys` of its working directory when the home directory has none.
    const program: Program = start(python, [script], { cwd: folder, env })
    programs.push(program)
    const parsed = <T>(line: string): T => JSON.parse(line) as T
    return {
      ask(what, request = {}) {
        program.write(JSON.stringify({ do: what, ...request }))
        return program.lines.take((line) => ('event' in parsed<object>(line) ? undefined : parsed<Answer>(line)))
      },
      event: (kind, key) =>
        program.lines.take((line) => {
          const told = parsed<Record<string, unknown>>(line)
          return told['event'] === kind && told['key'] === key ? told : undefined
        }),
      stop: program.stop,
    }
  }

  const loggedIn = async (atSign: string): Promise<App> => {
    const started = app(network)
    expect(await started.ask('login', { atSign, root: network.root })).toEqual({ ok: true })
    return started
  }

  /** `name.wavi`, spelled so that the release keeps its namespace. */
  const named = (name: string): Pick<Key, 'name' | 'namespace'> =>
    current ? { name, namespace: 'wavi' } : { name: `${name}.wavi` }
  const self = (name: string): Key => ({ ...named(name), by: '@bob' })
  const open = (name: string, by = '@bob'): Key => ({ ...named(name), by, public: true })
  const fromBob = (name: string): Key => ({ ...named(name), by: '@bob', to: '@alice' })
  const fromAlice = (name: string): Key => ({ ...named(name), by: '@alice', to: '@bob' })
  const stored = { ok: expect.stringMatching(/^\d+$/) }

  const monitored = (lines: ReturnType<AtedgeNetwork['monitor']>, key: string, operation = 'update'): Promise<object> =>
    lines.take((line) => {
      const told = JSON.parse(line) as { key: string; operation: string }
      return told.key === key && told.operation === operation ? told : undefined
    })

  let bob: App

  const prepare = async (): Promise<void> => {
    python = await pythonWithSdk(version)
    network = await begin(['@alice', '@bob'])
    bob = await loggedIn('@bob')
  }

  // Once, but before each test: without the SDK every test fails, where `beforeAll` would have them skipped.
  let prepared: Promise<void> | undefined
  beforeEach(() => {
    prepared ??= prepare()
    return prepared
  }, 300_000)

  afterAll(async () => {
    for (const program of programs.reverse()) await program.stop()
  })

  test('logs in with the keys file of atedge and lists keys with their metadata', async () => {
    const { ok } = await bob.ask('scan')
    expect(ok).toEqual(expect.arrayContaining(['public:publickey@bob', 'public:signing_publickey@bob']))
  })

  test('keeps records of its own that atedge reads', async () => {
    expect(await bob.ask('put', { ...self('note'), value })).toEqual(stored)
    expect(await bob.ask('get', self('note'))).toEqual({ ok: value })
    expect(await network.atedge('get', 'note.wavi', '-a', '@bob')).toBe(value)
  })

  test('keeps public records that atedge and strangers read', async () => {
    expect(await bob.ask('put', { ...open('city'), value })).toEqual(stored)
    expect(await bob.ask('get', open('city'))).toEqual({ ok: value })
    expect(await network.atedge('get', 'public:city.wavi@bob', '-a', '@alice')).toBe(value)
    expect(await network.atedge('get', 'public:city.wavi@bob', '-a', '@alice', '--anonymous')).toBe(value)
  })

  test.each([1, 1_000, 1_024, 100_000])('gets back a value of %i characters whole', async (length) => {
    const long = 'é'.repeat(length)
    expect(await bob.ask('put', { ...self('long'), value: long })).toEqual(stored)
    expect(await bob.ask('get', self('long'))).toEqual({ ok: long })
    expect(await bob.ask('put', { ...open('long'), value: long })).toEqual(stored)
    expect(await bob.ask('get', open('long'))).toEqual({ ok: long })
  })

  test('reads public records of another atSign', async () => {
    await network.atedge('put', 'public:city.wavi', value, '-a', '@alice')
    expect(await bob.ask('get', open('city', '@alice'))).toEqual({ ok: value })
  })

  test('shares records that atedge reads at the other end', async () => {
    expect(await bob.ask('put', { ...fromBob('shared'), value })).toEqual(stored)
    expect(await bob.ask('get', fromBob('shared'))).toEqual({ ok: value })
    expect(await network.atedge('get', 'shared.wavi@bob', '-a', '@alice')).toBe(value)
  })

  // Older releases read only what was encrypted under the same key stream every time, which atedge never writes.
  if (current) {
    test('reads what atedge shared', async () => {
      await network.atedge('put', '@bob:temperature.wavi', value, '-a', '@alice')
      expect(await bob.ask('get', fromAlice('temperature'))).toEqual({ ok: value })
    })

    test('reads what atedge keeps for the same atSign', async () => {
      await network.atedge('put', 'mine.wavi', value, '-a', '@bob')
      expect(await bob.ask('get', self('mine'))).toEqual({ ok: value })
    })

    test('overwrites a record of atedge, and is overwritten', async () => {
      await bob.ask('put', { ...fromBob('turns'), value: 'first' })
      await network.atedge('put', '@alice:turns.wavi', 'second', '-a', '@bob')
      expect(await bob.ask('get', fromBob('turns'))).toEqual({ ok: 'second' })
      await bob.ask('put', { ...fromBob('turns'), value: 'third' })
      expect(await network.atedge('get', 'turns.wavi@bob', '-a', '@alice', '--bypass-cache')).toBe('third')
    })
  }

  test('lists every kind of key with its metadata', async () => {
    const { ok } = await bob.ask('scan', { pattern: '.*' })
    expect(ok).toEqual(
      expect.arrayContaining([
        ...['@alice:shared.wavi@bob', '@alice:shared_key@bob', 'note.wavi@bob', 'public:city.wavi@bob'],
        ...['public:publickey@bob', 'shared_key.alice@bob'],
      ]),
    )
  })

  test.each([
    ['of its own', self('nothing')],
    ['public', open('nothing', '@alice')],
    ['shared with others', fromBob('nothing')],
  ])('gets its own exception for a record that is not there: %s', async (_, key) => {
    await bob.ask('put', { ...fromBob('something'), value })
    expect(await bob.ask('get', key)).toEqual({
      error: 'AtKeyNotFoundException',
      message: expect.stringContaining('nothing.wavi'),
    })
  })

  test('is told that an atSign shared nothing with it', async () => {
    const alice = await loggedIn('@alice')
    const { error, message } = await alice.ask('get', { ...named('nothing'), by: '@bob', to: '@alice' })
    // Older releases wrap every failure of this lookup in one exception.
    expect(error).toBe(current ? 'AtKeyNotFoundException' : 'AtSecondaryConnectException')
    expect(message).toContain('@alice:nothing.wavi@bob does not exist')
  })

  test.each([
    ['of its own', self('gone')],
    ['public', open('gone')],
    ['shared', fromBob('gone')],
  ])('deletes a record: %s', async (_, key) => {
    await bob.ask('put', { ...key, value })
    expect(await bob.ask('delete', key)).toEqual(stored)
    expect(await bob.ask('get', key)).toMatchObject({ error: 'AtKeyNotFoundException' })
    expect(await bob.ask('delete', key)).toEqual(stored)
  })

  test('notifies a monitor of atedge, as often as it likes', async () => {
    const lines = network.monitor('@alice')
    for (const text of [value, 'closed']) {
      const sent = await bob.ask('notify', { ...fromBob('door'), value: text, ownNonce: !current })
      expect(sent).toEqual({ ok: expect.stringMatching(/^[\da-f-]{36}$/) })
      const told = await monitored(lines, '@alice:door.wavi@bob')
      expect(told).toMatchObject({ id: sent.ok, from: '@bob', value: text })
    }
  })

  test('tells a monitor of atedge about the records that it shares and deletes', async () => {
    const lines = network.monitor('@alice')
    await bob.ask('put', { ...fromBob('told'), value })
    expect(await monitored(lines, '@alice:told.wavi@bob')).toMatchObject({ from: '@bob', value })
    await bob.ask('delete', fromBob('told'))
    expect(await monitored(lines, '@alice:told.wavi@bob', 'delete')).toMatchObject({ from: '@bob' })
  })

  test('has its monitor told, decrypted, about notifications and records of atedge', async () => {
    const watcher = await loggedIn('@bob')
    await network.atedge('notify', '@bob:early.wavi', 'before the monitor', '-a', '@alice')
    expect(await watcher.ask('monitor')).toEqual({ ok: true })
    const decrypted = (name: string): Promise<object> =>
      watcher.event('DECRYPTED_UPDATE_NOTIFICATION', `@bob:${name}.wavi@alice`)
    expect(await decrypted('early')).toMatchObject({ from: '@alice', value: 'before the monitor' })
    await network.atedge('notify', '@bob:bell.wavi', value, '-a', '@alice')
    expect(await decrypted('bell')).toMatchObject({ from: '@alice', value })
    for (const text of [value, '22']) {
      await network.atedge('put', '@bob:attic.wavi', text, '-a', '@alice')
      expect(await decrypted('attic')).toMatchObject({ from: '@alice', value: text })
    }
    await network.atedge('delete', '@bob:attic.wavi', '-a', '@alice')
    const gone = await watcher.event('DELETE_NOTIFICATION', '@bob:attic.wavi@alice')
    expect(gone).toMatchObject({ from: '@alice', operation: 'delete' })
    for (const text of ['after the first heartbeat', 'after the second']) {
      expect(await watcher.ask('heartbeat')).toEqual({ ok: true })
      await watcher.event('MONITOR_HEARTBEAT_ACK', '__heartbeat__')
      await network.atedge('notify', '@bob:late.wavi', text, '-a', '@alice')
      expect(await decrypted('late')).toMatchObject({ from: '@alice', value: text })
    }
  })

  test('activates an atSign whose keys atedge then uses', async () => {
    const fresh = await begin(['@carol', '@dave'], '--no-activate')
    const activated = await app(fresh).ask('onboard', {
      atSign: '@carol',
      root: fresh.root,
      secret: fresh.cram['@carol'],
    })
    const keys = join(fresh.home, '.atsign', 'keys', '@carol_key.atKeys')
    expect(activated).toEqual({ ok: keys })
    await fresh.atedge('put', 'note.wavi', value, '-a', '@carol', '-k', keys)
    expect(await fresh.atedge('get', 'note.wavi', '-a', '@carol', '-k', keys)).toBe(value)
    expect(await readdir(join(fresh.folder, 'keys'))).toEqual([])
    const again = await app(fresh).ask('onboard', { atSign: '@carol', root: fresh.root, secret: fresh.cram['@carol'] })
    expect(again).toMatchObject({ error: 'AtKeyNotFoundException' })
  })

  test('is refused with a wrong secret', async () => {
    const fresh = await begin(['@erin'], '--no-activate')
    const refused = await app(fresh).ask('onboard', { atSign: '@erin', root: fresh.root, secret: 'guessed' })
    expect(refused).toMatchObject({ error: 'AtUnauthenticatedException' })
    expect(fresh.cram['@erin']).toMatch(/^[\da-f]{128}$/)
  })
})
