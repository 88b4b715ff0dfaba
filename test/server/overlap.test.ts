import { expect, test, vi } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { asOwner, connectServers, raw, startServer, type TestServer } from '../support/server.ts'

/** A server of which each flash write waits for `next` once it is `held`. */
async function slowServer(): Promise<TestServer & { batches: number[]; hold(): () => void }> {
  const batches: number[] = []
  let gate: Promise<void> | undefined
  const server = await startServer({
    seams: {
      async aroundBatch(write, operations) {
        batches.push(operations.length)
        await gate
        await write()
      },
    },
  })
  const hold = (): (() => void) => {
    let release = (): void => {}
    gate = new Promise((resolve) => {
      release = () => {
        gate = undefined
        resolve()
      }
    })
    return release
  }
  return { ...server, batches, hold }
}

const updates = (count: number, value = 'v'): string =>
  Array.from({ length: count }, (_, i) => `update:k${i}.wavi@alice ${value}\n`).join('')

async function replies(client: { reply(): Promise<string> }, count: number): Promise<string[]> {
  const all: string[] = []
  for (let i = 0; i < count; i++) all.push((await client.reply()).split('\n')[0] ?? '')
  return all
}

test('writes that come together share a flash write and are answered in their order', async () => {
  const server = await slowServer()
  const owner = await asOwner(server)
  const before = server.batches.length
  const first = Number((await owner.ask('update:first.wavi@alice 1')).slice('data:'.length).split('\n')[0])
  owner.write(updates(100))
  expect(await replies(owner, 100)).toEqual(Array.from({ length: 100 }, (_, i) => `data:${first + 1 + i}`))
  expect(server.batches.length - before).toBeLessThanOrEqual(2 + Math.ceil(100 / limits.overlappingCommands))
})

test('whatever else comes behind a write waits for its commit', async () => {
  const server = await slowServer()
  const owner = await asOwner(server)
  const release = server.hold()
  owner.write('update:k.wavi@alice 1\nllookup:k.wavi@alice\nupdate:k.wavi@alice 2\nllookup:k.wavi@alice\n')
  for (let i = 0; i < 50; i++) await new Promise(setImmediate)
  expect(owner.chunks.at(-1)).toBe('data:success\n@alice@')
  release()
  const [, first, , second] = await replies(owner, 4)
  expect([first, second]).toEqual(['data:1', 'data:2'])
})

test('while a line waits for a commit before it, the server has nothing to do', async () => {
  const server = await slowServer()
  const owner = await asOwner(server)
  const release = server.hold()
  owner.write('update:k.wavi@alice 1\nllookup:k.wavi@alice\n')
  const { setImmediate: later } = globalThis
  const turns = async (): Promise<void> => {
    for (let i = 0; i < 50; i++) await new Promise(later)
  }
  await turns()
  const asked = vi.spyOn(globalThis, 'setImmediate')
  await turns()
  const times = asked.mock.calls.length
  asked.mockRestore()
  release()
  expect([times, (await replies(owner, 2))[1]]).toEqual([0, 'data:1'])
})

test('a refusal among writes is answered in its place', async () => {
  const owner = await asOwner(await startServer())
  owner.write('update:a.wavi@alice 1\nupdate:b.wavi@bob 1\nupdate:c.wavi@alice 1\nupdate:\ndelete:a.wavi@alice\n')
  const lines = await replies(owner, 5)
  expect(lines.map((line) => line.slice(0, 12))).toEqual([
    expect.stringMatching(/^data:\d+$/),
    'error:AT0016',
    expect.stringMatching(/^data:\d+$/),
    'error:AT0003',
    expect.stringMatching(/^data:\d+$/),
  ])
})

test('changes of different verbs keep their order on the way to a peer', async () => {
  const [alice, bob] = [await startServer(), await startServer({ atSign: '@bob' })]
  connectServers(alice, bob)
  const reader = await asOwner(bob)
  reader.write('monitor\n')
  const owner = await asOwner(alice)
  const sent = Array.from({ length: 40 }, (_, i) =>
    i % 2 === 0 ? `notify:isEncrypted:false:@bob:k.wavi@alice:${i}\n` : `update:@bob:k.wavi@alice ${i}\n`,
  )
  owner.write(sent.join(''))
  await replies(owner, sent.length)
  const came: unknown[] = []
  while (came.length < sent.length) {
    const line = await reader.line()
    const { key, value } = JSON.parse(line.slice(line.indexOf('{'))) as { key?: string; value?: string }
    if (key?.includes('k.wavi') && value !== undefined) came.push(value)
  }
  expect(came).toEqual(sent.map((_, i) => String(i)))
})

test('writes that were started are answered when the client has said all, and when the server stops', async () => {
  for (const stop of ['client', 'server'] as const) {
    const server = await slowServer()
    const owner = await asOwner(server)
    const release = server.hold()
    owner.write(updates(10))
    for (let i = 0; i < 20; i++) await new Promise(setImmediate)
    const closing = stop === 'client' ? undefined : server.server.close()
    if (stop === 'client') owner.leave()
    release()
    expect((await owner.closed).match(/data:\d+\n/g)).toHaveLength(10)
    await closing
  }
})

test('large writes wait for each other rather than for memory', async () => {
  const server = await slowServer()
  const owner = await asOwner(server)
  const before = server.batches.length
  const release = server.hold()
  const value = 'x'.repeat(limits.pipelinedChars / 4)
  owner.write(updates(12, value))
  for (let i = 0; i < 200; i++) await new Promise(setImmediate)
  release()
  expect(await replies(owner, 12)).toHaveLength(12)
  expect(server.batches.length - before).toBeGreaterThanOrEqual(3)
})

test('strangers start nothing before the line in front is answered', async () => {
  const client = await raw(await startServer())
  client.write('update:a.wavi@alice 1\nupdate:b.wavi@alice 1\n')
  expect(await replies(client, 2)).toEqual([
    expect.stringContaining('error:AT0401'),
    expect.stringContaining('error:AT0401'),
  ])
})
