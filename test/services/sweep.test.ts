import { beforeEach, describe, expect, it } from 'vitest'
import { startSweep } from '../../src/services/sweep.ts'
import { openStore } from '../../src/store/store.ts'
import { startAlice } from '../support/alice.ts'
import { manualClock } from '../support/clock.ts'
import { type Member, type TestNetwork, temporaryDirectory, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

describe('an expired record', () => {
  let network: TestNetwork
  let alice: Member
  let owner: Client
  beforeEach(async () => {
    ;({ network, alice, owner } = await startAlice())
  })

  it('is hidden at once, and gone with a tombstone in the commit log when the sweep has come by', async () => {
    await owner.ask('update:ttl:20000:short.wavi@alice v')
    await owner.ask('update:stays.wavi@alice v')
    network.clock.advance(20_001)
    expect(await owner.ask('scan wavi')).toBe('data:["stays.wavi@alice"]\n@alice@')
    expect(await owner.ask('scan:cl short')).toContain('"operation":"*"')
    network.clock.advance(600_000)
    const again = await alice.owner()
    await until(async () => (await again.ask('scan:cl short')).includes('"operation":"-"'))
    expect(await again.ask('llookup:short.wavi@alice')).toContain('error:AT0015')
    expect(await again.ask('llookup:stays.wavi@alice')).toBe('data:v\n@alice@')
  })

  it('that expired while the server was stopped goes when it starts', async () => {
    await owner.ask('update:ttl:20000:short.wavi@alice v')
    await alice.stop()
    network.clock.advance(20_001)
    await alice.start()
    const again = await alice.owner()
    await until(async () => (await again.ask('scan:cl short')).includes('"operation":"-"'))
  })
})

describe('the sweep', () => {
  it('sleeps until the next expiry, ten seconds at least and ten minutes at most', async () => {
    const clock = manualClock()
    const waits: number[] = []
    const timed = {
      now: clock.now,
      after: (ms: number, task: () => void) => {
        waits.push(ms)
        return clock.after(ms, task)
      },
    }
    const start = clock.now()
    const nexts = [undefined, start + 1, start + 635_000, start + 86_400_000]
    const store = await openStore({ directory: await temporaryDirectory(), atSign: '@alice', clock })
    const stop = startSweep({
      store: { ...store, nextExpiry: async () => nexts[waits.length], sweep: async () => 0 },
      clock: timed,
      log: () => {},
    })
    const expected = [600_000, 10_000, 25_000, 600_000]
    for (const [index, wait] of expected.entries()) {
      await until(() => waits.length > index)
      clock.advance(wait)
    }
    expect(waits.slice(0, 4)).toEqual(expected)
    stop()
    await store.close()
  })

  it('goes on after a failure, which it logs', async () => {
    const clock = manualClock()
    const logged: string[] = []
    let calls = 0
    const store = await openStore({ directory: await temporaryDirectory(), atSign: '@alice', clock })
    const stop = startSweep({
      store: {
        ...store,
        async sweep() {
          calls++
          if (calls === 1) throw new Error('disk')
          return 2
        },
      },
      clock,
      log: (level, message) => void logged.push(`${level} ${message}`),
    })
    await until(() => logged.length === 1)
    clock.advance(600_000)
    await until(() => logged.length === 2)
    expect(logged).toEqual(['error the expiry sweep failed and is tried again', 'debug expired entries removed'])
    stop()
    await store.close()
  })
})
