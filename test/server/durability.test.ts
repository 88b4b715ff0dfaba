import { expect, test } from 'vitest'
import { connectAtClient } from '../../src/client/client.ts'
import { systemClock } from '../../src/core/clock.ts'
import { activate } from '../../src/provision/activation.ts'
import { asPeer, connectServers, startServer } from '../support/server.ts'

test('a client inside the process chooses for each change when it is acknowledged', async () => {
  const syncs: boolean[] = []
  const { atSign, server } = await startServer({
    seams: {
      async aroundBatch(write, _operations, sync) {
        await write()
        syncs.push(sync)
      },
    },
  })
  const secret = (await server.cramSecret()) ?? ''
  const connect = async () => server.connect()
  const keys = await activate({ atSign, secret, connect, clock: systemClock })
  const durable = { group: async () => server.connect('group'), interval: async () => server.connect('interval') }
  const client = await connectAtClient({ atSign, keys, connect, durable, clock: systemClock })
  // The first change in interval mode reserves ids, and opens the session.
  const first = await client.put('first.sensors', '1', { durability: 'interval' })
  syncs.length = 0
  expect(await client.put('a.sensors', '1', { durability: 'interval' })).toBe(first + 1)
  expect(await client.put('b.sensors', '1')).toBe(first + 2)
  expect(await client.put('c.sensors', '1', { durability: 'group' })).toBe(first + 3)
  expect(syncs).toEqual([false, true, true])
  expect((await client.get('a.sensors'))?.value).toBe('1')
  await client.close()
})

test('what a peer sends is on flash before it is told so, whatever this server risks with its own readings', async () => {
  const syncs: boolean[] = []
  const alice = await startServer({
    durability: 'interval',
    seams: {
      async aroundBatch(write, _operations, sync) {
        await write()
        syncs.push(sync)
      },
    },
  })
  const bob = await startServer({ atSign: '@bob' })
  connectServers(alice, bob)
  const peer = await asPeer(alice, bob)
  syncs.length = 0
  expect(await peer.ask('notify:isEncrypted:false:@alice:door.sensors@bob:open')).toBe('data:success\n@bob@')
  expect(syncs).toEqual([true])
})
