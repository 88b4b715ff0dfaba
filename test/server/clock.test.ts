import { expect, test } from 'vitest'
import { asOwner, challengeFor, digestOf, raw, startServer } from '../support/server.ts'

const decade = 3652 * 86_400_000
const hour = 3_600_000

const metaOf = (reply: string) => JSON.parse(reply.slice('data:'.length, reply.indexOf('\n')))

// A board without battery clock starts in 1970, and a time service or a hand may set it at any moment.
test.each([decade, -decade])(
  'a jump of %d ms ends no record, and every record ends after its own life',
  async (jump) => {
    const alice = await startServer()
    const owner = await asOwner(alice)
    await owner.ask(`update:ttl:${hour}:before.sensors@alice 1`)
    alice.clock.jump(jump)
    await owner.ask(`update:ttl:${hour}:after.sensors@alice 1`)
    alice.clock.advance(hour)
    expect(await owner.ask('llookup:before.sensors@alice')).toBe('data:1\n@alice@')
    expect(await owner.ask('llookup:after.sensors@alice')).toBe('data:1\n@alice@')
    alice.clock.advance(1)
    expect(await owner.ask('llookup:before.sensors@alice')).toMatch(/^error:AT0015/)
    expect(await owner.ask('llookup:after.sensors@alice')).toMatch(/^error:AT0015/)
  },
)

test.each([decade, -decade])(
  'after a jump of %d ms records are stamped with the time that has passed',
  async (jump) => {
    const alice = await startServer()
    const owner = await asOwner(alice)
    await owner.ask('update:a.sensors@alice 1')
    alice.clock.jump(jump)
    alice.clock.advance(5000)
    await owner.ask('update:a.sensors@alice 2')
    expect(metaOf(await owner.ask('llookup:meta:a.sensors@alice'))).toMatchObject({
      createdAt: '2026-01-31 10:00:00.000Z',
      updatedAt: '2026-01-31 10:00:05.000Z',
    })
    // Somebody vouches for the wall clock again.
    alice.clock.jump(-jump)
    await owner.ask('update:a.sensors@alice 3')
    expect(metaOf(await owner.ask('llookup:meta:a.sensors@alice'))).toMatchObject({
      updatedAt: '2026-01-31 10:00:05.000Z',
    })
  },
)

test.each([decade, -decade])('a jump of %d ms neither ends a challenge nor prolongs it', async (jump) => {
  const alice = await startServer()
  const secret = (await alice.server.cramSecret()) ?? ''
  const login = async (pauseMs: number) => {
    const client = await raw(alice)
    const digest = digestOf(secret, await challengeFor(client, alice))
    alice.clock.jump(jump)
    alice.clock.advance(pauseMs)
    return client.ask(`cram:${digest}`)
  }
  expect(await login(60_000)).toMatch(/^data:success/)
  expect(await login(60_001)).toMatch(/^error:AT0401/)
})

test.each([decade, -decade])('a jump of %d ms ends no wait of a notification', async (jump) => {
  const alice = await startServer()
  const owner = await asOwner(alice)
  await owner.ask(`notify:id:n1:ttln:${hour}:@bob:door.sensors@alice:open`)
  alice.clock.jump(jump)
  alice.clock.advance(hour)
  expect(await owner.ask('notify:status:n1')).toBe('data:queued\n@alice@')
  alice.clock.advance(1)
  expect(await owner.ask('notify:status:n1')).toBe('data:expired\n@alice@')
})
