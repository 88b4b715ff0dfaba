import { type Duplex, duplexPair } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import { type Log, silent } from '../../src/core/log.ts'
import { serveDirectory } from '../../src/directory/conversation.ts'
import { createForward } from '../../src/directory/forward.ts'
import { createTable } from '../../src/directory/table.ts'
import { manualClock } from '../support/clock.ts'

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** A forward to a directory that a test takes away; counts what it is asked. */
function world() {
  const clock = manualClock()
  const table = createTable([['far', 'far.example:6464']])
  const state = { away: false, silent: false, dials: 0, lookups: 0 }
  const dial = async (): Promise<Duplex> => {
    state.dials++
    if (state.away) throw new AtError('AT0021', 'Unable to connect: connection refused')
    const [near, far] = duplexPair()
    const get = (name: string): string | undefined => {
      state.lookups++
      return table.get(name)
    }
    if (!state.silent) serveDirectory(far, { table: { get }, clock, log: silent })
    return near
  }
  const logs: string[] = []
  const log: Log = (_level, message) => void logs.push(message)
  const forward = createForward({ addresses: ['root.example:64'], dial, clock, log })
  return { clock, table, state, forward, logs }
}

describe('a forward to another directory', () => {
  it('remembers addresses for five minutes and misses for half a minute', async () => {
    const { clock, table, state, forward } = world()
    expect(await forward.find('@far')).toBe('far.example:6464')
    expect(await forward.find('@nobody')).toBeUndefined()
    table.set('far', 'moved.example:1')
    table.set('nobody', 'somebody.example:1')
    clock.advance(29_999)
    expect(await forward.find('@far')).toBe('far.example:6464')
    expect(await forward.find('@nobody')).toBeUndefined()
    expect(state.lookups).toBe(2)
    clock.advance(1)
    expect(await forward.find('@nobody')).toBe('somebody.example:1')
    clock.advance(270_000)
    expect(await forward.find('@far')).toBe('moved.example:1')
  })

  it('knows nobody new while the other directory is away, and asks it seldom', async () => {
    const { clock, state, forward } = world()
    await forward.find('@far')
    state.away = true
    clock.advance(300_000)
    expect(await forward.find('@far')).toBe('far.example:6464')
    const { dials } = state
    for (let index = 0; index < 50; index++) expect(await forward.find(`@n${index}`)).toBeUndefined()
    expect(state.dials).toBe(dials)
    expect(forward.status()).toEqual({ to: ['root.example:64'], awaySince: '2026-01-31T10:05:00.000Z' })
    state.away = false
    clock.advance(5_000)
    expect(await forward.find('@nobody')).toBeUndefined()
    expect(forward.status()).toEqual({ to: ['root.example:64'] })
  })

  it('says once that the other directory is away, whatever is answered from memory, and once that it is back', async () => {
    const { clock, state, forward, logs } = world()
    await forward.find('@far')
    await forward.find('@missed')
    state.away = true
    clock.advance(6_000)
    for (let index = 0; index < 4; index++) {
      await forward.find(`@n${index}`)
      await forward.find('@far')
      await forward.find('@missed')
    }
    expect(logs).toEqual(['the other atDirectory does not answer'])
    expect(forward.status()).toMatchObject({ awaySince: '2026-01-31T10:00:06.000Z' })
    state.away = false
    clock.advance(5_000)
    await forward.find('@n0')
    expect(logs).toEqual(['the other atDirectory does not answer', 'the other atDirectory answers again'])
  })

  it('says to who has to know that it does not know', async () => {
    const { clock, state, forward } = world()
    expect(await forward.ask('@far')).toBe('far.example:6464')
    expect(await forward.ask('@nobody')).toBeUndefined()
    state.away = true
    clock.advance(300_000)
    expect(await forward.ask('@far')).toBe('far.example:6464')
    await expect(forward.ask('@nobody')).rejects.toMatchObject({ code: 'AT0021' })
  })

  it('asks again after five seconds though the clock was set back by an hour', async () => {
    const { clock, state, forward } = world()
    state.away = true
    expect(await forward.find('@far')).toBeUndefined()
    state.away = false
    clock.jump(-3_600_000)
    clock.advance(5_000)
    expect(await forward.find('@far')).toBe('far.example:6464')
  })

  it('answers before a client of base C gives up on a directory that is silent', async () => {
    const { clock, state, forward } = world()
    state.silent = true
    let answer: unknown = 'none yet'
    void forward.find('@far').then((found) => {
      answer = found
    })
    await settle()
    clock.advance(2_499)
    await settle()
    expect(answer).toBe('none yet')
    clock.advance(1)
    await settle()
    expect(answer).toBeUndefined()
  })
})
