import type { Duplex } from 'node:stream'
import { describe, expect, it } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import { AtError } from '../../src/core/errors.ts'
import { createPeers, type Peers, type PeersOptions } from '../../src/services/peers.ts'
import { createProofs } from '../../src/services/proofs.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import { pair, until } from '../support/network.ts'

interface World {
  readonly clock: ManualClock
  readonly peers: Peers
  /** Addresses that were dialled. */
  readonly dialled: string[]
  /** The far ends of the connections, by address. */
  readonly far: Map<string, Duplex>
  readonly questions: string[]
}

/** Peers that greet and answer every line with `data:<line>`; the address of @bob is `bob:1`. */
function world(options: Partial<PeersOptions> & { silent?: boolean; port?: () => number } = {}): World {
  const clock = manualClock()
  const dialled: string[] = []
  const questions: string[] = []
  const far = new Map<string, Duplex>()
  const { silent = false, port = () => 1, ...rest } = options
  const peers = createPeers({
    ...{ self: '@alice', clock, log: () => {}, proofs: createProofs(clock), sign: () => 'signature' },
    async resolve(atSign, how) {
      questions.push(how?.fresh === true ? `fresh ${atSign}` : atSign)
      return { host: atSign.slice(1), port: how?.fresh === true ? port() : 1 }
    },
    async dial(address) {
      const name = `${address.host}:${address.port}`
      dialled.push(name)
      const [near, end] = pair()
      far.set(name, end)
      end.write('@')
      end.on('data', (chunk: Buffer) => {
        if (!silent) end.write(`data:${chunk.toString().trim()}\n@`)
      })
      end.on('end', () => end.end())
      return near
    },
    ...rest,
  })
  return { clock, peers, dialled, far, questions }
}

const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'none',
    (error: unknown) => (error instanceof AtError ? error.code : String(error)),
  )

describe('sessions with other atServers', () => {
  it('are shared by all who ask at one time, and used again', async () => {
    const { peers, dialled } = world()
    const [one, other] = await Promise.all([peers.anonymous('@bob'), peers.anonymous('@bob')])
    expect(one).toBe(other)
    expect(await peers.anonymous('@bob')).toBe(one)
    expect(await one.request('noop:0')).toBe('data:noop:0')
    expect(dialled).toEqual(['bob:1'])
    expect(peers.count()).toBe(1)
  })

  it('are opened anew once the peer has gone', async () => {
    const { peers, dialled, far } = world()
    const first = await peers.anonymous('@bob')
    far.get('bob:1')?.end()
    await until(() => first.closed)
    expect(peers.count()).toBe(0)
    expect(await (await peers.anonymous('@bob')).request('noop:0')).toBe('data:noop:0')
    expect(dialled).toEqual(['bob:1', 'bob:1'])
  })

  it('are closed after five minutes without use, not earlier', async () => {
    const { clock, peers } = world()
    const session = await peers.anonymous('@bob')
    clock.advance(200_000)
    await peers.anonymous('@bob')
    clock.advance(299_999)
    expect(session.closed).toBe(false)
    clock.advance(1)
    expect(session.closed).toBe(true)
    expect(peers.count()).toBe(0)
  })

  it('give way to others when all places are taken: the one unused for longest goes', async () => {
    const { clock, peers } = world({ maxSessions: 2 })
    const first = await peers.anonymous('@p1')
    clock.advance(1)
    const second = await peers.anonymous('@p2')
    clock.advance(1)
    await peers.anonymous('@p1')
    clock.advance(1)
    await peers.anonymous('@p3')
    expect([first.closed, second.closed]).toEqual([false, true])
    expect(peers.count()).toBe(2)
  })

  it('do not give way while they work: then one more is refused', async () => {
    const { clock, peers } = world({ maxSessions: 1, silent: true })
    const session = await peers.anonymous('@p1')
    const work = codeOf(session.request('noop:0'))
    clock.advance(1)
    expect(await codeOf(peers.anonymous('@p2'))).toBe('AT0006')
    expect(session.closed).toBe(false)
    session.close()
    expect(await work).toBe('AT0004')
    expect(await codeOf(peers.anonymous('@p2'))).toBe('none')
  })

  it('ask the directory again when the known address leads nowhere, and dial a new one at once', async () => {
    const dialled: string[] = []
    const { peers, questions } = world({
      port: () => 2,
      dial: async ({ host, port }) => {
        dialled.push(`${host}:${port}`)
        if (port === 1) throw new AtError('AT0021', 'connection refused')
        const [near, far] = pair()
        far.write('@')
        return near
      },
    })
    expect(await codeOf(peers.anonymous('@bob'))).toBe('none')
    expect(dialled).toEqual(['bob:1', 'bob:2'])
    expect(questions).toEqual(['@bob', 'fresh @bob'])
  })

  it('ask the directory again after a failed handshake', async () => {
    const { peers, questions } = world({
      dial: async () => {
        const [near, far] = pair()
        far.write('220 smtp\r\n')
        return near
      },
    })
    expect(await codeOf(peers.anonymous('@bob'))).toBe('AT0008')
    expect(await codeOf(peers.anonymous('@bob'))).toBe('AT0008')
    expect(questions).toEqual(['@bob', 'fresh @bob'])
  })

  it('of one kind do not end with those of the other', async () => {
    const { peers } = world()
    const anonymous = await peers.anonymous('@bob')
    expect(await codeOf(peers.proven('@bob'))).toBe('AT0008')
    expect(anonymous.closed).toBe(false)
  })

  it('are not tried again at once with a peer that failed twice; the pauses grow and are spread', async () => {
    let alive = false
    const dials: number[] = []
    const { clock, peers } = world({
      random: () => 1,
      dial: async () => {
        dials.push(clock.now())
        if (!alive) throw new AtError('AT0021', 'Unable to connect to bob:1: connection refused')
        const [near, far] = pair()
        far.write('@')
        far.on('data', () => far.write('data:ok\n@'))
        return near
      },
    })
    const start = clock.now()
    expect(await codeOf(peers.anonymous('@bob'))).toBe('AT0021')
    expect(await codeOf(peers.anonymous('@bob'))).toBe('AT0021')
    expect(dials).toEqual([start, start])
    await expect(peers.anonymous('@bob')).rejects.toThrow('connection refused (not tried again for 200 ms)')
    expect(await codeOf(peers.anonymous('@other'))).toBe('AT0021')
    dials.length = 0
    for (const pause of [200, 324, 524]) {
      clock.advance(pause - 1)
      expect(await codeOf(peers.proven('@bob'))).toBe('AT0021')
      expect(dials).toEqual([])
      clock.advance(1)
      expect(await codeOf(peers.anonymous('@bob'))).toBe('AT0021')
      expect(dials.splice(0)).toHaveLength(1)
    }
    alive = true
    const session = await peers.anonymous('@bob', { insist: true })
    expect(await session.request('noop:0')).toBe('data:ok')
    session.close()
    expect(await codeOf(peers.anonymous('@bob'))).toBe('none')
  })

  it('are left alone for eight seconds at most', async () => {
    const { clock, peers } = world({
      random: () => 1,
      dial: () => Promise.reject(new AtError('AT0021', 'connection refused')),
    })
    for (let failure = 0; failure < 40; failure++) {
      expect(await codeOf(peers.anonymous('@bob'))).toBe('AT0021')
      clock.advance(8_000)
    }
    await codeOf(peers.anonymous('@bob'))
    await expect(peers.anonymous('@bob')).rejects.toThrow('(not tried again for 8000 ms)')
  })

  it.each([
    ['at once', false, 0, 'AT0004'],
    ['after an answer', true, 0, 'none'],
    ['after a while', false, 5_000, 'none'],
  ])('count as failed when the peer hangs up %s', async (_when, asks, afterMs, expected) => {
    const { clock, peers, far } = world()
    for (let turn = 0; turn < 2; turn++) {
      const session = await peers.anonymous('@bob')
      if (asks) await session.request('noop:0')
      clock.advance(afterMs)
      far.get('bob:1')?.end()
      await until(() => session.closed)
    }
    expect(await codeOf(peers.anonymous('@bob'))).toBe(expected)
  })

  it('that take long to open give way to others when all places are taken', async () => {
    const { clock, peers, dialled } = world({ maxSessions: 2 })
    const slow = world({ maxSessions: 2, dial: () => new Promise(() => {}) })
    const opening = [codeOf(slow.peers.anonymous('@slow1')), codeOf(slow.peers.anonymous('@slow2'))]
    slow.clock.advance(1_999)
    expect(await codeOf(slow.peers.anonymous('@p3'))).toBe('AT0006')
    slow.clock.advance(1)
    void codeOf(slow.peers.anonymous('@p3'))
    expect(await opening[0]).toBe('AT0023')
    slow.peers.close()
    expect(await opening[1]).toBe('AT0008')
    clock.advance(1)
    expect(await codeOf(peers.anonymous('@bob'))).toBe('none')
    expect(dialled).toEqual(['bob:1'])
  })

  it('that fail are named in the log once a minute', async () => {
    const logged: unknown[] = []
    const { clock, peers } = world({
      log: (_level, _message, members) => logged.push(members?.['failures']),
      dial: () => Promise.reject(new AtError('AT0021', 'connection refused')),
    })
    for (let second = 0; second < 100; second++) {
      await codeOf(peers.anonymous('@bob', { insist: true }))
      clock.advance(1_000)
    }
    expect(logged).toEqual([1, 60])
  })

  it('ask what the peer can do once, and again where the answer could not be read', async () => {
    const asked: string[] = []
    let answer = 'data:{"version":'
    const { peers } = world({
      dial: async () => {
        const [near, far] = pair()
        far.write('@')
        far.on('data', (chunk: Buffer) => {
          asked.push(chunk.toString())
          far.write(`${answer}\n@`)
        })
        return near
      },
    })
    const session = await peers.anonymous('@bob')
    expect(await session.features()).toEqual({ eAtn: false, eph: false })
    answer = 'data:{"features":[{"name":"notify.eAtn","status":"GA"},{"name":"notify.eph","status":"Retired"}]}'
    expect(await session.features()).toEqual({ eAtn: true, eph: false })
    expect(await session.features()).toEqual({ eAtn: true, eph: false })
    expect(asked).toEqual(['info:brief\n', 'info:brief\n'])
  })

  it('end when the atServer stops, those that are being opened as well', async () => {
    let finishDial = (_stream: Duplex): void => {}
    const { peers } = world({
      dial: () =>
        new Promise((resolve) => {
          finishDial = resolve
        }),
    })
    const opening = codeOf(peers.anonymous('@bob'))
    await until(() => true)
    peers.close()
    const [near] = pair()
    finishDial(near)
    expect(await opening).toBe('AT0008')
    expect(near.destroyed).toBe(true)
    expect(await codeOf(peers.anonymous('@bob'))).toBe('AT0008')
  })

  it('keep their memory small, however many strangers make this atServer call back', async () => {
    const { clock, peers } = world({ maxSessions: 3 })
    for (let index = 0; index < 50; index++) {
      clock.advance(1)
      await peers.anonymous(`@p${index}` as AtSign)
      expect(peers.count()).toBeLessThanOrEqual(3)
    }
  })
})
