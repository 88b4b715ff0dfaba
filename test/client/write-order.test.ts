import { expect, it } from 'vitest'
import { connectAtClient } from '../../src/client/client.ts'
import type { AtClient } from '../../src/client/types.ts'
import { wrapKey } from '../../src/crypto/cipher.ts'
import { auth, client as vectors } from '../crypto/vectors.ts'
import { manualClock } from '../support/clock.ts'
import { aliceKeys, answers, fakeServer, settle } from './fake-server.ts'

const pairRecords = {
  'llookup:shared_key.bob@alice': `data:${vectors.wrapped}`,
  'llookup:@bob:shared_key@alice': `data:${wrapKey(auth.rsaPublic, vectors.aesKey)}`,
  'plookup:publickey@bob': `data:${auth.rsaPublic}`,
}

/** A client, and the writes that reach its atServer on whichever connection, as verb and `ttl`. */
async function connect(onLine: (line: string) => void = () => {}) {
  const writes: string[] = []
  const answer = answers(pairRecords)
  const notified = 'data:5f1c7d1e-7a0b-4f60-8a9b-1c2d3e4f5a6b'
  const { connect } = fakeServer((line, connection) => {
    const write = /^(update|delete|notify)(?:.*?:ttl:(\d+))?/.exec(line)
    if (write !== null) writes.push(`${write[1]} ${write[2] ?? ''}`.trim())
    onLine(line)
    return line.startsWith('notify:') ? notified : answer(line, connection)
  })
  const durable = { group: connect, interval: connect }
  const client = await connectAtClient({ atSign: '@alice', keys: aliceKeys, connect, durable, clock: manualClock() })
  return { client, writes }
}

it('sends a value behind an earlier one whose connection has yet to be made', async () => {
  const { client, writes } = await connect()
  await Promise.all([client.put('a.x', '1', { ttl: 1, durability: 'interval' }), client.put('a.x', '2', { ttl: 2 })])
  expect(writes).toEqual(['update 1', 'update 2'])
})

it('deletes behind an earlier value', async () => {
  const { client, writes } = await connect()
  await Promise.all([client.put('a.x', '1', { ttl: 1 }), client.delete('A.x@alice')])
  expect(writes).toEqual(['update 1', 'delete'])
})

it('notifies of a delete behind an earlier value', async () => {
  const { client, writes } = await connect()
  const remove = { operation: 'delete', ttl: 2 } as const
  await Promise.all([client.notify('@bob:a.x', '1', { ttl: 1 }), client.notify('@bob:a.x', undefined, remove)])
  expect(writes).toEqual(['notify 1', 'notify 2'])
})

it('sends a value behind an earlier one, at whatever moment the key for its reader is known', async () => {
  for (let turns = 0; turns < 24; turns++) {
    let client: AtClient | undefined
    const putSecond = async (): Promise<void> => {
      for (let turn = 0; turn < turns; turn++) await undefined
      await client?.put('@bob:a.x', '2', { ttl: 2 })
    }
    let second: Promise<void> | undefined
    const world = await connect((line) => {
      if (line.startsWith('plookup:')) second = putSecond()
    })
    client = world.client
    await client.put('@bob:a.x', '1', { ttl: 1 })
    await second
    expect(world.writes, `${turns} turns later`).toEqual(['update 1', 'update 2'])
  }
})

it('does not hold up one key for another, nor for what has failed', async () => {
  const { client, writes } = await connect()
  const first = client.put('a.x', '1', { ttl: 1, durability: 'interval' })
  const failed = client.put('b.x', 'half a pair \ud800', { ttl: 2 })
  const last = client.put('b.x', '3', { ttl: 3 })
  await expect(failed).rejects.toThrow('surrogate')
  await Promise.all([first, last])
  await settle()
  expect(writes).toEqual(['update 3', 'update 1'])
})
