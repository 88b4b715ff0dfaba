import { type Duplex, duplexPair } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import { silent } from '../../src/core/log.ts'
import { serveDirectory } from '../../src/directory/conversation.ts'
import { parseEndpoint } from '../../src/directory/endpoint.ts'
import { dialAtSign, resolverFor } from '../../src/directory/locate.ts'
import { createResolver, type ResolverOptions, staticResolver } from '../../src/directory/resolver.ts'

import { createTable } from '../../src/directory/table.ts'
import { manualClock } from '../support/clock.ts'

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 10; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** A resolver in front of our own directory; counts connections and lookups. */
function world(options: Partial<ResolverOptions> = {}) {
  const clock = manualClock()
  const table = createTable([
    ['alice', 'alice.lan:6464'],
    ['bob', 'bob.lan:6465'],
  ])
  const state = { away: false, dials: 0, lookups: 0 }
  const counting = {
    get(name: string) {
      state.lookups++
      return table.get(name)
    },
  }
  const dial = async (): Promise<Duplex> => {
    state.dials++
    if (state.away) throw new AtError('AT0021', 'Unable to connect to directory.lan:64: connection refused')
    const [near, far] = duplexPair()
    serveDirectory(far, { table: counting, clock, log: silent })
    return near
  }
  return { clock, table, state, resolver: createResolver({ clock, dial, ...options }) }
}

/** A resolver in front of a directory that says what a test wants. */
function scripted(answer: (line: string, stream: Duplex) => void, options: Partial<ResolverOptions> = {}) {
  const clock = manualClock()
  const lines: string[] = []
  const streams: Duplex[] = []
  const dial = async (): Promise<Duplex> => {
    const [near, far] = duplexPair()
    streams.push(far)
    far.on('error', () => {})
    far.write('@')
    far.on('data', (chunk) => {
      const line = String(chunk)
      lines.push(line)
      answer(line, far)
    })
    return near
  }
  return { clock, lines, streams, resolver: createResolver({ clock, dial, name: 'directory.lan:64', ...options }) }
}

const outcome = (promise: Promise<unknown>): Promise<unknown> =>
  promise.catch((error: unknown) => (error instanceof AtError ? `${error.code} ${error.message}` : error))

/** Moves time on until a promise is settled, as retries wait for the clock. */
async function patiently<T>(clock: { advance(ms: number): void }, promise: Promise<T>, stepMs = 100): Promise<T> {
  let done = false
  const watched = promise.finally(() => {
    done = true
  })
  watched.catch(() => {})
  for (let step = 0; step < 100 && !done; step++) {
    await settle()
    if (!done) clock.advance(stepMs)
  }
  return watched
}

describe('a resolver', () => {
  it('asks once for as long as the answer is good', async () => {
    const { clock, table, state, resolver } = world()
    expect(await resolver.resolve('@alice')).toEqual({ host: 'alice.lan', port: 6464 })
    table.set('alice', 'moved.lan:1')
    clock.advance(599_999)
    expect(await resolver.resolve('@alice')).toEqual({ host: 'alice.lan', port: 6464 })
    expect(state.lookups).toBe(1)
    clock.advance(1)
    expect(await resolver.resolve('@alice')).toEqual({ host: 'moved.lan', port: 1 })
  })

  it('asks again when told to', async () => {
    const { table, resolver } = world()
    await resolver.resolve('@alice')
    table.set('alice', 'moved.lan:1')
    expect(await resolver.resolve('@alice', { fresh: true })).toEqual({ host: 'moved.lan', port: 1 })
  })

  it('does not believe at once that an atSign is gone: a directory that lost its table learns it again', async () => {
    const { clock, table, resolver } = world()
    const address = await resolver.resolve('@alice')
    table.remove('alice')
    expect(await resolver.resolve('@alice', { fresh: true })).toEqual(address)
    clock.advance(599_999)
    expect(await resolver.resolve('@alice')).toEqual(address)
    table.set('alice', 'moved.lan:1')
    clock.advance(5_000)
    expect(await resolver.resolve('@alice')).toEqual({ host: 'moved.lan', port: 1 })
    table.remove('alice')
    await resolver.resolve('@alice', { fresh: true })
    clock.advance(600_000)
    expect(await outcome(resolver.resolve('@alice'))).toContain('AT0007')
  })

  it('shares one question among all who ask at the same time', async () => {
    const { state, resolver } = world()
    const all = await Promise.all(Array.from({ length: 50 }, () => resolver.resolve('@alice')))
    expect(new Set(all.map(({ host }) => host))).toEqual(new Set(['alice.lan']))
    expect(state).toMatchObject({ dials: 1, lookups: 1 })
  })

  it('says that nobody has the atSign, and asks again soon', async () => {
    const { clock, table, state, resolver } = world()
    const expected = 'AT0007 Unable to find secondary address for atSign:carol'
    expect(await outcome(resolver.resolve('@carol'))).toBe(expected)
    expect(await outcome(resolver.resolve('@carol'))).toBe(expected)
    expect(state.lookups).toBe(1)
    table.set('carol', 'carol.lan:64')
    clock.advance(5_000)
    expect(await resolver.resolve('@carol')).toEqual({ host: 'carol.lan', port: 64 })
  })

  it('uses a connection again, and leaves it after a short while', async () => {
    const { clock, state, resolver } = world()
    await resolver.resolve('@alice')
    await resolver.resolve('@bob')
    expect(state.dials).toBe(1)
    clock.advance(5_000)
    await resolver.resolve('@bob', { fresh: true })
    expect(state.dials).toBe(2)
  })

  it('opens a bounded number of connections', async () => {
    const { state, resolver } = world()
    const names = Array.from({ length: 100 }, (_, index) => resolver.resolve(`@n${index}`).catch(() => 'unknown'))
    await settle()
    await Promise.all(names)
    expect(state.lookups).toBe(100)
    const parallel = scripted(() => {})
    const waiting = Array.from({ length: 100 }, (_, index) => outcome(parallel.resolver.resolve(`@n${index}`)))
    await settle()
    expect(parallel.streams).toHaveLength(8)
    for (let round = 0; round < 20; round++) {
      parallel.clock.advance(10_000)
      await settle()
    }
    expect((await Promise.all(waiting)).every((text) => String(text).startsWith('AT0023'))).toBe(true)
  })

  it('tries a few times, then says who could not be reached', async () => {
    const { clock, state, resolver } = world()
    state.away = true
    expect(await patiently(clock, outcome(resolver.resolve('@alice')))).toBe(
      'AT0021 the atDirectory cannot be asked: Unable to connect to directory.lan:64: connection refused',
    )
    expect(state.dials).toBe(3)
    state.away = false
    expect(await resolver.resolve('@alice')).toEqual({ host: 'alice.lan', port: 6464 })
  })

  it('falls back on the last known address while the directory is away', async () => {
    const { clock, state, resolver } = world()
    await resolver.resolve('@alice')
    state.away = true
    clock.advance(86_400_000)
    expect(await patiently(clock, resolver.resolve('@alice'))).toEqual({ host: 'alice.lan', port: 6464 })
  })

  it('gives up on a directory that does not answer', async () => {
    const { clock, resolver } = scripted(() => {}, { replyMs: 3_000 })
    expect(await patiently(clock, outcome(resolver.resolve('@alice')), 1_000)).toBe(
      'AT0023 directory.lan:64 did not answer within 3000 ms',
    )
  })

  it('understands every spelling of an answer, byte by byte', async () => {
    for (const text of ['a.lan:1\r\n@', 'a.lan:1\n@', '@a.lan:1\r\n@', 'a.lan:1\n']) {
      const { resolver, lines } = scripted((_line, stream) => {
        for (const byte of Buffer.from(text)) stream.write(Buffer.of(byte))
      })
      expect(await resolver.resolve('@alice')).toEqual({ host: 'a.lan', port: 1 })
      expect(lines).toEqual(['alice\n'])
    }
  })

  it('does not ask the reference twice on a connection with a miss', async () => {
    const { resolver, streams } = scripted((_line, stream) => stream.write('null\r\n@'))
    await outcome(resolver.resolve('@carol'))
    await outcome(resolver.resolve('@dave'))
    expect(streams).toHaveLength(2)
  })

  it.each([
    ['an address that is none', 'nonsense\r\n@', 'AT0021 directory.lan:64 gave no address for @alice but "nonsense"'],
    ['an empty line', '\r\n@', 'AT0021 directory.lan:64 does not answer as an atDirectory'],
    ['an endless line', 'x'.repeat(5_000), 'AT0021 directory.lan:64 does not answer as an atDirectory'],
    ['bytes that are no text', Buffer.from([0xff, 0x0a]), 'AT0021 directory.lan:64 does not answer as an atDirectory'],
  ])('names a directory that sends %s', async (_name, bytes, expected) => {
    const { clock, resolver } = scripted((_line, stream) => void stream.write(bytes))
    expect(await patiently(clock, outcome(resolver.resolve('@alice')))).toBe(expected)
  })

  it('asks again when a kept connection turns out to be dead', async () => {
    const { clock, resolver, streams, lines } = scripted((line, stream) => {
      if (line === 'alice\n' || streams.length > 1) stream.write('a.lan:1\r\n@')
      else stream.end()
    })
    await resolver.resolve('@alice')
    expect(await patiently(clock, resolver.resolve('@bob'))).toEqual({ host: 'a.lan', port: 1 })
    expect(lines).toEqual(['alice\n', 'bob\n', 'bob\n'])
  })

  it('says goodbye when it is closed and answers from memory only', async () => {
    const { resolver, lines } = scripted((line, stream) => {
      if (line === 'alice\n') stream.write('a.lan:1\r\n@')
    })
    await resolver.resolve('@alice')
    resolver.close()
    await settle()
    expect(lines.at(-1)).toBe('@exit\n')
    expect(await resolver.resolve('@alice')).toEqual({ host: 'a.lan', port: 1 })
    expect(await outcome(resolver.resolve('@bob'))).toContain('AT0021')
  })
})

describe('a resolver of a directory with several addresses', () => {
  const at = (answers: Record<string, string | undefined>) => {
    const clock = manualClock()
    const asked: string[] = []
    const dial = async ({ host }: { host: string }): Promise<Duplex> => {
      asked.push(host)
      const address = answers[host]
      if (address === undefined) throw new AtError('AT0021', `Unable to connect to ${host}: connection refused`)
      const [near, far] = duplexPair()
      if (address !== 'silence') serveDirectory(far, { table: createTable([['alice', address]]), clock, log: silent })
      return near
    }
    return { clock, asked, answers, resolver: resolverFor(['a.lan', '[::1]:6400', 'c.lan:64'], { clock, dial }) }
  }

  it('asks the next one when one is away, and stays with it', async () => {
    const { clock, asked, answers, resolver } = at({ '::1': 'alice.lan:1' })
    expect(await resolver.resolve('@alice')).toEqual({ host: 'alice.lan', port: 1 })
    answers['a.lan'] = 'alice.lan:2'
    clock.advance(600_000)
    await resolver.resolve('@alice')
    expect(asked).toEqual(['a.lan', '::1', '::1'])
  })

  it('leaves one that is silent and does not wait for it twice', async () => {
    const { clock, asked, resolver } = at({ 'a.lan': 'silence' })
    expect(await patiently(clock, outcome(resolver.resolve('@alice')), 1_000)).toContain('AT0021')
    expect(asked).toEqual(['a.lan', '::1', 'c.lan', '::1', 'c.lan', '::1', 'c.lan'])
  })

  it('takes an IPv6 address that a directory gives', async () => {
    const { resolver } = scripted((_line, stream) => void stream.write('[2001:db8::7]:6464\r\n@'))
    expect(await resolver.resolve('@alice')).toEqual({ host: '2001:db8::7', port: 6464 })
  })
})

describe('an address of a directory', () => {
  it.each([
    ['root.atsign.org', { host: 'root.atsign.org', port: 64, proxy: false }],
    ['127.0.0.1:6400', { host: '127.0.0.1', port: 6400, proxy: false }],
    ['[fe80::1]:6400', { host: 'fe80::1', port: 6400, proxy: false }],
    ['[::1]', { host: '::1', port: 64, proxy: false }],
    ['proxy:edge.lan', { host: 'edge.lan', port: 64, proxy: true }],
    ['proxy:edge.lan:443', { host: 'edge.lan', port: 443, proxy: true }],
  ])('%s is read', (text, endpoint) => {
    expect(parseEndpoint(text)).toEqual(endpoint)
  })

  it.each(['', 'a b', 'host:0', 'host:65536', '::1', 'https://host', 'host:64:64', '@alice'])(
    '%j is refused',
    (text) => {
      expect(() => parseEndpoint(text)).toThrow('is no address')
    },
  )

  it('that is a proxy is the address of everybody, and stands alone', async () => {
    const options = { clock: manualClock(), dial: () => Promise.reject(new Error('nobody is asked')) }
    const resolver = resolverFor(['proxy:edge.lan:443'], options)
    expect(await resolver.resolve('@anybody')).toEqual({ host: 'edge.lan', port: 443 })
    expect(() => resolverFor(['a.lan', 'proxy:edge.lan'], options)).toThrow('stands alone')
    expect(() => resolverFor([], options)).toThrow('no address')
  })
})

describe('a connection to an atSign', () => {
  it('is looked for anew when its address does not answer', async () => {
    const { table, resolver } = world()
    const dialled: string[] = []
    const [near] = duplexPair()
    const dial = async ({ host }: { host: string }): Promise<Duplex> => {
      dialled.push(host)
      if (host === 'alice.lan') throw new AtError('AT0021', 'connection refused')
      return near
    }
    await resolver.resolve('@alice')
    await expect(dialAtSign(resolver, dial, '@alice')).rejects.toThrow('connection refused')
    table.set('alice', 'moved.lan:1')
    expect(await dialAtSign(resolver, dial, '@alice')).toBe(near)
    expect(dialled).toEqual(['alice.lan', 'alice.lan', 'moved.lan'])
  })
})

describe('a static resolver', () => {
  it('knows what it was given and nobody else', async () => {
    const resolver = staticResolver([['Alice', 'a.lan:1']])
    expect(await resolver.resolve('@alice')).toEqual({ host: 'a.lan', port: 1 })
    expect(await outcome(resolver.resolve('@bob'))).toContain('AT0007')
    expect(() => staticResolver([['alice', 'nowhere']])).toThrow('has to be host:port')
  })
})
