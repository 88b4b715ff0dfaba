import { once } from 'node:events'
import { beforeEach, expect, test } from 'vitest'
import { connectOffering } from '../support/https.ts'
import { startTestNetwork } from '../support/network.ts'
import { loginAsOwner } from '../support/server.ts'
import { type Chunk, chunks, isRefused } from './chunks.ts'
import { exchange } from './driver.ts'
import { mayChangeSession } from './lines.ts'
import { effort, seed, tellSeed } from './seed.ts'

let last: Chunk | undefined
beforeEach(() => tellSeed(() => `the last lines sent: ${JSON.stringify(last?.lines.map(String))}`))

test('lines over TLS get one reply each, on several connections at one time, some of them cut off', async () => {
  const network = await startTestNetwork(['@alice'])
  const alice = network.member('@alice')
  const connections = async (): Promise<number> => (await alice.server.status()).connections.total
  const idle = await connections()

  const talk = async (from: number, isOwner: boolean): Promise<void> => {
    // The secret must stay for the next login.
    const fits = (line: string): boolean => !isOwner || !(mayChangeSession(line) || /at_secret/i.test(line))
    for (const chunk of chunks(effort(1_200), from, fits)) {
      const { client } = await connectOffering(alice, network)
      await client.take(/^@/)
      if (isOwner) await loginAsOwner(client, alice)
      client.stream.removeAllListeners('data')
      last = chunk
      for (const { reply } of await exchange(client.stream, chunk.lines, chunk.cuts)) {
        if (isOwner) expect(reply).toMatch(/@alice@$/)
        else expect(isRefused(reply) || reply?.startsWith('data:')).toBe(true)
      }
      const closed = client.stream.destroyed ? undefined : once(client.stream, 'close')
      // Half of them go away in the middle of a command.
      if (client.stream.writable) client.stream.write(chunk.lines[0]?.subarray(0, 20))
      if (chunk.cuts.length % 2 === 0) client.stream.destroy()
      else client.stream.end()
      await closed
    }
  }
  await Promise.all([0, 1, 2, 3].map((index) => talk(seed + 10_000_000 * index, index % 2 === 0)))

  const { client } = await connectOffering(alice, network)
  await client.take(/^@/)
  expect(await client.ask('noop:0')).toBe('data:ok\n@')
  client.leave()
  await client.closed
  await expect.poll(connections).toBe(idle)
  expect(alice.logs.filter(({ level }) => level === 'error')).toEqual([])
})
