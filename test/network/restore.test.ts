import { rename } from 'node:fs/promises'
import { join } from 'node:path'
import { beforeEach, describe, expect, it } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { formatVersion } from '../../src/store/layout.ts'
import { restoreSnapshot } from '../../src/store/snapshot.ts'
import { type Member, startTestNetwork, type TestNetwork, until } from '../support/network.ts'
import type { Client } from '../support/server.ts'

async function bytesOf(chunks: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return Buffer.concat(parts)
}

/** Stops an atServer, puts a snapshot in the place of its database, and starts it again. */
async function bringBack(member: Member, snapshot: Buffer): Promise<void> {
  const { atSign, directory } = member
  await member.stop()
  await rename(join(directory, 'level'), join(directory, 'lost'))
  const source = (async function* () {
    yield snapshot
  })()
  await restoreSnapshot(source, { target: join(directory, 'level'), atSign, format: formatVersion })
  await member.start()
}

/** The commit ids that a synced app gets after its own. */
async function syncFrom(owner: Client, cursor: number): Promise<{ atKey: string; commitId: number }[]> {
  const reply = await owner.ask(`sync:from:${cursor}:limit:100`)
  return JSON.parse(reply.replace(/^data:/, '').replace(/\n.*$/s, '')) as { atKey: string; commitId: number }[]
}

describe('an atServer that came back from a snapshot', () => {
  let network: TestNetwork
  let alice: Member
  beforeEach(async () => {
    network = await startTestNetwork(['@alice', '@bob'])
    alice = network.member('@alice')
  })

  it('delivers once what waited then and was delivered since', async () => {
    const bob = network.member('@bob')
    await bob.stop()
    const owner = await alice.owner()
    await owner.ask('notify:update:isEncrypted:false:@bob:door.sensors@alice:open')
    const snapshot = await bytesOf(alice.server.content.snapshot())
    await bob.start()
    const listener = await bob.monitor()
    const listened = (count: number): Promise<void> =>
      until(() => {
        // A recipient that was away is tried again by and by.
        network.clock.advance(100)
        return listener.received.length >= count
      })
    await listened(1)
    await bringBack(alice, snapshot)
    const again = await alice.owner()
    // What comes behind it on the same lane shows that the old one has had its turn.
    await again.ask('notify:update:isEncrypted:false:@bob:door.sensors@alice:closed')
    await listened(2)
    expect(listener.received.map(({ value }) => value)).toEqual(['open', 'closed'])
  })

  it('does not send what has expired since', async () => {
    const bob = network.member('@bob')
    await bob.stop()
    const owner = await alice.owner()
    await owner.ask('notify:update:ttln:60000:isEncrypted:false:@bob:door.sensors@alice:open')
    const snapshot = await bytesOf(alice.server.content.snapshot())
    network.clock.advance(3_600_000)
    await bob.start()
    const listener = await bob.monitor()
    await bringBack(alice, snapshot)
    const again = await alice.owner()
    await again.ask('notify:update:isEncrypted:false:@bob:door.sensors@alice:closed')
    await until(() => {
      network.clock.advance(100)
      return listener.received.length > 0
    })
    expect(await listener.values(1)).toEqual(['closed'])
  })

  it('keeps synced apps right: they catch up with one record, and miss nothing that comes after', async () => {
    const owner = await alice.owner()
    await owner.ask('update:first.sensors@alice 1')
    const snapshot = await bytesOf(alice.server.content.snapshot())
    await owner.ask('update:lost.sensors@alice 2')
    await owner.ask('update:lost.sensors@alice 3')
    const cursor = (await syncFrom(owner, -1)).at(-1)?.commitId ?? -1
    await bringBack(alice, snapshot)
    const again = await alice.owner()
    const caughtUp = await syncFrom(again, cursor)
    expect(caughtUp).toMatchObject([{ atKey: 'public:signing_publickey@alice' }])
    const highest = caughtUp[0]?.commitId ?? -1
    expect(highest).toBeGreaterThan(cursor + limits.restoreCommitGap / 2)
    expect(await again.ask('stats:3')).toContain(`"value":"${highest}"`)
    expect(await syncFrom(again, highest)).toEqual([])
    expect(await again.ask('update:next.sensors@alice 4')).toBe(`data:${highest + 1}\n@alice@`)
    expect(await syncFrom(again, highest)).toMatchObject([{ atKey: 'next.sensors@alice', commitId: highest + 1 }])
  })
})
