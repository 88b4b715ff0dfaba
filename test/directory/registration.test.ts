import { describe, expect, it } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import { AtError } from '../../src/core/errors.ts'
import type { PeerCertificate } from '../../src/core/session.ts'
import { createEntries } from '../../src/directory/entries.ts'
import { createFileStore, parseEntries } from '../../src/directory/file-store.ts'
import { parseRegistration } from '../../src/directory/registration.ts'
import { createTable } from '../../src/directory/table.ts'

const certificate = (names: readonly string[], changes: Partial<PeerCertificate> = {}): PeerCertificate => ({
  ...{ trusted: true, private: true, clientPurpose: true, names },
  ...changes,
})

type Elsewhere = (atSign: AtSign) => Promise<string | undefined>

/** Entries in memory; `files` holds each text that was saved. */
function world(save: (text: string) => Promise<void> = async () => {}, elsewhere?: Elsewhere) {
  const files: string[] = []
  const store = createFileStore({
    entries: new Map<AtSign, string>([['@alice', 'alice.lan:6464']]),
    save: async (text) => {
      await save(text)
      files.push(text)
    },
  })
  const entries = createEntries({ fixed: createTable([['@device', 'device.lan:6464']]), store, elsewhere })
  const register = (line: string, shown?: PeerCertificate): Promise<unknown> =>
    Promise.resolve()
      .then(() => entries.register(parseRegistration(line), shown))
      .then(() => undefined)
      .catch((error: unknown) => (error instanceof AtError ? `${error.code} ${error.message}` : error))
  return { files, entries, register }
}

describe('a device that registers itself', () => {
  it('gets an entry that is saved, and changes it while its certificate names the host', async () => {
    const { files, entries, register } = world()
    const bob = certificate(['bob.lan', 'bob'])
    expect(await register('@register:Bob:bob.lan:6464', bob)).toBeUndefined()
    expect(entries.get('@bob')).toBe('bob.lan:6464')
    expect(await register('@register:bob:bob.lan:7000', bob)).toBeUndefined()
    expect(parseEntries(files.at(-1) ?? '').get('@bob')).toBe('bob.lan:7000')
    expect(await register('@unregister:bob', bob)).toBeUndefined()
    expect(entries.get('@bob')).toBeUndefined()
  })

  it('writes nothing when it says what is known', async () => {
    const { files, register } = world()
    await register('@register:alice:alice.lan:6464', certificate(['alice.lan']))
    expect(files).toEqual([])
  })

  it('moves to another host with a certificate that names both', async () => {
    const { entries, register } = world()
    expect(await register('@register:alice:new.lan:1', certificate(['new.lan']))).toBe(
      'AT0401 @alice belongs to alice.lan, which the certificate does not name',
    )
    expect(await register('@register:alice:new.lan:1', certificate(['new.lan', 'alice.lan']))).toBeUndefined()
    expect(entries.get('@alice')).toBe('new.lan:1')
  })

  it.each([
    ['no certificate', '@register:bob:bob.lan:1', undefined, 'AT0401 a device registers with its TLS client'],
    [
      'a certificate of a public authority',
      '@register:bob:bob.lan:1',
      certificate(['bob.lan'], { private: false }),
      'AT0401 the certificate is of no private authority',
    ],
    [
      'a certificate for another host',
      '@register:bob:bob.lan:1',
      certificate(['mallory.lan']),
      'AT0401 the certificate does not name bob.lan',
    ],
    [
      'the name of every machine',
      '@register:bob:LOCALHOST:1',
      certificate(['localhost']),
      "AT0401 LOCALHOST is every machine's name",
    ],
    [
      "another atSign's entry",
      '@unregister:alice',
      certificate(['mallory.lan']),
      'AT0401 @alice belongs to alice.lan, which the certificate does not name',
    ],
    [
      'an entry of the configuration',
      '@register:device:device.lan:1',
      certificate(['device.lan']),
      "AT0009 @device is an entry of the directory's configuration",
    ],
    ['an address that is none', '@register:bob:bob.lan', certificate(['bob.lan']), 'AT0022 the address has to be'],
    ['no address', '@register:bob', certificate(['bob.lan']), 'AT0003 expected @register:'],
    ['an address too many', '@unregister:bob:bob.lan:1', certificate(['bob.lan']), 'AT0003 expected @register:'],
    ['a name that is none', '@register:b ob:bob.lan:1', certificate(['bob.lan']), 'AT0011 invalid @sign'],
  ])('is refused with %s', async (_what, line, shown, why) => {
    const { files, register } = world()
    expect(await register(line, shown)).toContain(why)
    expect(files).toEqual([])
  })

  it('cannot take all names', async () => {
    const { register } = world()
    const host = certificate(['bob.lan'])
    for (let index = 0; index < 100; index++) await register(`@register:n${index}:bob.lan:6464`, host)
    expect(await register('@register:n100:bob.lan:6464', host)).toContain('bob.lan has 100 entries already')
    expect(await register('@register:carol:carol.lan:1', certificate(['carol.lan']))).toBeUndefined()
  })

  it('cannot take an atSign that the other directory knows, unless its certificate names the host there too', async () => {
    const elsewhere: Elsewhere = async (atSign) => (atSign === '@far' ? 'far.example:6464' : undefined)
    const { entries, files, register } = world(undefined, elsewhere)
    expect(await register('@register:far:mallory.lan:1', certificate(['mallory.lan']))).toBe(
      'AT0401 @far belongs to far.example, which the certificate does not name',
    )
    expect(files).toEqual([])
    expect(await register('@register:bob:bob.lan:1', certificate(['bob.lan']))).toBeUndefined()
    expect(await register('@register:far:far.lan:1', certificate(['far.lan', 'far.example']))).toBeUndefined()
    await entries.add('@far', 'operator.lan:1')
    expect(entries.get('@far')).toBe('operator.lan:1')
  })

  it('is asked to come again while the other directory is away, unless it was registered before', async () => {
    const asked: AtSign[] = []
    const elsewhere: Elsewhere = async (atSign) => {
      asked.push(atSign)
      throw new AtError('AT0021', 'connection refused')
    }
    const { entries, register } = world(undefined, elsewhere)
    expect(await register('@register:bob:bob.lan:1', certificate(['bob.lan']))).toMatch(/^AT0021 .* try again later$/)
    expect(entries.get('@bob')).toBeUndefined()
    expect(await register('@register:alice:alice.lan:7000', certificate(['alice.lan']))).toBeUndefined()
    expect(await register('@register:carol:carol.lan:1', certificate(['mallory.lan']))).toContain('AT0401')
    expect(await register('@unregister:alice', certificate(['alice.lan']))).toBeUndefined()
    expect(asked).toEqual(['@bob'])
  })

  it('removes no entry but the one that was judged', async () => {
    const store = createFileStore({ entries: new Map([['@alice', 'alice.lan:1']]), save: async () => {} })
    // As a directory that shares its entries with others remembers them.
    const remembered = { ...store, get: () => first.shift() ?? store.get('@alice') }
    const first = ['old.lan:1']
    const entries = createEntries({ fixed: createTable(), store: remembered })
    const gone = entries.register({ atSign: '@alice', address: undefined }, certificate(['old.lan']))
    await expect(gone).rejects.toThrow('@alice belongs to alice.lan')
    expect(store.get('@alice')).toBe('alice.lan:1')
  })

  it('is told when its entry could not be saved, and the entry is as before', async () => {
    const { entries, register } = world(() => Promise.reject(new Error('the disk is full')))
    expect(await register('@register:bob:bob.lan:1', certificate(['bob.lan']))).toBe(
      'AT0010 the entry of @bob cannot be saved: the disk is full',
    )
    expect(entries.get('@bob')).toBeUndefined()
    expect(await register('@unregister:alice', certificate(['alice.lan']))).toContain('AT0010')
    expect(entries.get('@alice')).toBe('alice.lan:6464')
  })
})

describe('whoever runs the directory', () => {
  it('adds, lists and removes entries, in groups of one save', async () => {
    const { files, entries } = world()
    await Promise.all([entries.add('@x', 'x.lan:1'), entries.add('@y', 'y.lan:1'), entries.add('@z', 'z.lan:1')])
    expect(files).toHaveLength(2)
    expect(await entries.remove('@y')).toBe(true)
    expect(await entries.remove('@y')).toBe(false)
    expect(await entries.list()).toEqual([
      { atSign: '@device', address: 'device.lan:6464', fixed: true },
      { atSign: '@alice', address: 'alice.lan:6464', fixed: false },
      { atSign: '@x', address: 'x.lan:1', fixed: false },
      { atSign: '@z', address: 'z.lan:1', fixed: false },
    ])
  })

  it('changes entries of the configuration there alone, and gives real addresses', async () => {
    const { entries } = world()
    await expect(entries.add('@device', 'x:1')).rejects.toThrow('change it there')
    await expect(entries.remove('@device')).rejects.toThrow('change it there')
    await expect(entries.add('@x', 'nowhere')).rejects.toThrow('has to be host:port')
  })
})

describe('a file of entries', () => {
  it.each([
    ['{}', 'no list'],
    ['{"version":2,"entries":{}}', 'no list'],
    ['{"version":1,"entries":{"alice":"nowhere"}}', 'alice has no address'],
    ['{"version":1,"entries":{"a b":"a:1"}}', 'invalid @sign'],
    ['{"version":1,"entr', 'JSON'],
  ])('%s is refused', (text, why) => {
    expect(() => parseEntries(text)).toThrow(why)
  })
})
