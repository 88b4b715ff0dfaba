import { type Duplex, duplexPair } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import { silent } from '../../src/core/log.ts'
import { createResolver, type ResolverOptions, staticResolver } from '../../src/directory/resolver.ts'
import { serveDirectory } from '../../src/directory/server.ts'
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

  it('asks again when told to, or after forgetting', async () => {
    const { table, resolver } = world()
    await resolver.resolve('@alice')
    table.set('alice', 'moved.lan:1')
    expect(await resolver.resolve('@alice', { fresh: true })).toEqual({ host: 'moved.lan', port: 1 })
    table.set('alice', 'moved.lan:2')
    resolver.forget('@alice')
    expect(await resolver.resolve('@alice')).toEqual({ host: 'moved.lan', port: 2 })
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

describe('a static resolver', () => {
  it('knows what it was given and nobody else', async () => {
    const resolver = staticResolver([['Alice', 'a.lan:1']])
    expect(await resolver.resolve('@alice')).toEqual({ host: 'a.lan', port: 1 })
    expect(await outcome(resolver.resolve('@bob'))).toContain('AT0007')
    expect(() => staticResolver([['alice', 'nowhere']])).toThrow('has to be host:port')
  })
})
