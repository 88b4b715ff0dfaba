import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import {
  asOwner,
  asPeer,
  type Client,
  clientOf,
  connectServers,
  loginAsOwner,
  startServer,
  type TestServer,
} from '../support/server.ts'
import { type Chunk, chunks, isRefused } from './chunks.ts'
import { exchange, watch } from './driver.ts'
import { mayChangeSession } from './lines.ts'
import { effort, seed, tellSeed } from './seed.ts'

let last: Chunk | undefined
const warnings: Error[] = []
const onWarning = (warning: Error): void => void warnings.push(warning)
beforeEach(() => {
  tellSeed(() => `the last lines sent: ${JSON.stringify(last?.lines.map(String))}`)
  process.on('warning', onWarning)
})
afterEach(() => {
  process.off('warning', onWarning)
  // Node warns of listeners that pile up.
  expect(warnings.splice(0)).toEqual([])
})

/** Bytes in use once the garbage is gone. */
function heapUsed(): number {
  setFlagsFromString('--expose-gc')
  runInNewContext('gc')()
  return process.memoryUsage().heapUsed
}

/** What is stored, as far as two servers can have it in common: each has signing keys and ids of its own. */
async function dump(client: Client): Promise<string> {
  const parts: string[] = []
  for (const line of [
    'scan:showhidden:true',
    'scan:cl:showhidden:true',
    'sync:from:-1:limit:1000000',
    'config:block:show',
  ]) {
    parts.push(await client.ask(line))
  }
  parts.push(/"total\\?":\d+/.exec(await client.ask('stats:11'))?.[0] ?? '')
  return parts.join('').replaceAll(/\{"atKey":"[^"]*signing_p[^}]*\{[^}]*\}[^}]*\}/g, '')
}

let heapBefore = 0
let handlesBefore = 0
beforeAll(() => {
  heapBefore = heapUsed()
  handlesBefore = process.getActiveResourcesInfo().length
})

async function ownerOn(target: TestServer) {
  const watched = await watch(target)
  await loginAsOwner(clientOf(watched.near), target)
  watched.near.removeAllListeners('data')
  return watched
}

describe('lines in any order, cut anywhere,', () => {
  // New servers every few thousand lines: what lists everything takes longer the more there is.
  test.each(Array.from({ length: effort(12) }, (_, round) => round))(
    'of an owner get one reply each, and refused ones change nothing (%i)',
    async (round) => {
      const [alice, twin] = [await startServer(), await startServer()]
      const [observer, other] = [await asOwner(alice), await asOwner(twin)]
      const [owner, copy] = [await ownerOn(alice), await ownerOn(twin)]
      const idle = owner.listeners()
      for (const chunk of chunks(5_000, seed + 1_000_000 * round, (line) => !mayChangeSession(line))) {
        last = chunk
        const answered = await exchange(owner.near, chunk.lines, chunk.cuts)
        for (const { reply } of answered) expect(reply).toMatch(/@alice@$/)
        expect(owner.listeners()).toEqual(idle)
        // The other server gets what was accepted, and must come to the same.
        const accepted = answered.filter(({ reply }) => !isRefused(reply)).map(({ line }) => line)
        for (const { line, reply } of await exchange(copy.near, accepted, [])) {
          expect([String(line), isRefused(reply), reply]).toEqual([String(line), false, reply])
        }
      }
      expect(await dump(observer)).toBe(await dump(other))
      expect(await observer.ask('stats:16')).toContain('"total":2,')
      for (const { near } of [owner, copy]) near.end()
      for (const { server } of [alice, twin]) await server.close()
    },
  )

  test('leave no memory and no handles behind', () => {
    expect(heapUsed() - heapBefore).toBeLessThan(48 * 1024 * 1024)
    expect(process.getActiveResourcesInfo().length).toBeLessThan(handlesBefore + 8)
  })

  test('of a stranger get one reply each, change nothing and log nobody in', async () => {
    const alice = await startServer()
    const observer = await asOwner(alice)
    const before = await dump(observer)
    for (const chunk of chunks(effort(30_000), seed + 1)) {
      last = chunk
      const { near } = await watch(alice)
      for (const { reply } of await exchange(near, chunk.lines, chunk.cuts)) expect(reply ?? '\n@').toMatch(/\n@$/)
      near.end()
    }
    expect(await dump(observer)).toBe(before)
    expect(await observer.ask('stats:16')).toContain('"total":1,')
  })

  test('of a peer end in its prompt, or in that of an error', async () => {
    const [alice, bob] = [await startServer(), await startServer({ atSign: '@bob' })]
    connectServers(alice, bob)
    const { stream } = await asPeer(alice, bob)
    stream.removeAllListeners('data')
    for (const chunk of chunks(effort(10_000), seed + 2, (line) => !mayChangeSession(line))) {
      last = chunk
      for (const { reply } of await exchange(stream, chunk.lines, chunk.cuts)) {
        expect(reply).toMatch(isRefused(reply) ? /\n@$/ : /\n@bob@$/)
      }
    }
  })
})
