import { cpSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { type AtServer, createAtServer } from '../../src/app.ts'
import type { AtSign } from '../../src/core/at-sign.ts'
import { AtError } from '../../src/core/errors.ts'
import type { Operation } from '../../src/store/database.ts'
import { type ManualClock, manualClock } from '../support/clock.ts'
import { closeLater, temporaryDirectory, until } from '../support/network.ts'
import { type Client, clientOf, digestOf } from '../support/server.ts'

// A delivery in steps. At each of them one of the two servers loses its power once: its store is copied as it lies on disk
// in this moment, its connections end, and a new server starts on the copy. The old one may go on, but nobody hears of it.

type Role = 'sender' | 'recipient'

/** What happens to a notification on its way, in order, and to whom. */
const steps = [
  ['sender', 'before the notification is stored'],
  ['sender', 'after it is stored, before its client hears of it'],
  ['sender', 'before the line leaves'],
  ['sender', 'after the line has left'],
  ['recipient', 'before the notification is stored'],
  ['recipient', 'after it is stored, before its sender hears of it'],
  ['sender', 'before the outcome is written'],
  ['sender', 'after the outcome is written'],
] as const satisfies readonly (readonly [Role, string])[]
type Step = (typeof steps)[number][1]

interface BatchStep {
  readonly before: Step
  readonly after: Step
  /** Notifications that take the step with this batch: several may share one. */
  readonly times: number
}

/** Tells the steps before and after which a batch is written. */
function batchSteps(role: Role, operations: readonly Operation[]): BatchStep[] {
  const of = (table: string) => operations.filter(({ key }) => key.startsWith(table))
  const stored = (table: string) => of(table).filter(({ value }) => value !== undefined).length
  const before = 'before the notification is stored'
  if (role === 'recipient') {
    const times = stored('!notifications!')
    return [{ before, after: 'after it is stored, before its sender hears of it', times }]
  }
  const times = stored('!outbox!')
  return [
    { before, after: 'after it is stored, before its client hears of it', times },
    {
      before: 'before the outcome is written',
      after: 'after the outcome is written',
      times: of('!outbox!').length - times,
    },
  ]
}

const atSigns: Record<Role, AtSign> = { sender: '@alice', recipient: '@bob' }

interface World {
  readonly clock: ManualClock
  /** Logged in as the owner. */
  owner(role: Role): Promise<Client>
  /** How often the power went. */
  crashes(): number
}

/** Two servers of which one loses its power when the step comes for the `count`-th time. */
async function startWorld(victim: Role, step: Step, count: number): Promise<World> {
  const clock = manualClock()
  const root = await temporaryDirectory()
  const running = new Map<Role, { server: AtServer; directory: string; streams: Set<Duplex>; dead: { yes: boolean } }>()
  let left = count
  let crashes = 0

  const reached = (role: Role, here: Step, dead: { yes: boolean }, times = 1): void => {
    if (role !== victim || here !== step || dead.yes || times === 0 || crashes > 0) return
    left -= times
    if (left > 0) return
    crashes++
    const old = running.get(role)
    if (old === undefined) throw new Error(`${role} does not run`)
    old.dead.yes = true
    running.delete(role)
    const directory = `${old.directory}-again`
    cpSync(old.directory, directory, { recursive: true, filter: (path) => !path.endsWith('LOCK') })
    for (const stream of old.streams) stream.destroy()
    setImmediate(() => void start(role, directory))
  }

  const start = async (role: Role, directory: string): Promise<void> => {
    const dead = { yes: false }
    const streams = new Set<Duplex>()
    const server = await createAtServer(
      {
        ...{ atSign: atSigns[role], directory, clock, log: () => {}, version: 'test' },
        resolver: { resolve: async (atSign) => ({ host: atSign, port: 6464 }) },
        async dial({ host }) {
          const other = running.get(host === '@alice' ? 'sender' : 'recipient')
          if (other === undefined || dead.yes) throw new AtError('AT0004', `${host} is away`)
          return watched(role, other, streams, dead)
        },
      },
      {
        async aroundBatch(write, operations) {
          const steps = batchSteps(role, operations)
          for (const { before, times } of steps) reached(role, before, dead, times)
          await write()
          for (const { after, times } of steps) reached(role, after, dead, times)
        },
      },
    )
    closeLater(async () => {
      const closing = server.close()
      clock.advance(120_000)
      await closing
    })
    running.set(role, { server, directory, streams, dead })
  }

  /** A connection on which lines are steps, and which ends with either server. */
  function watched(
    role: Role,
    other: { server: AtServer; streams: Set<Duplex> },
    own: Set<Duplex>,
    dead: { yes: boolean },
  ): Duplex {
    const stream = other.server.connect()
    for (const streams of [own, other.streams]) streams.add(stream)
    const write = stream.write.bind(stream) as (chunk: string) => boolean
    stream.write = ((chunk: string) => {
      const isLine = String(chunk).startsWith('notify:')
      if (isLine) reached(role, 'before the line leaves', dead)
      if (stream.destroyed) return false
      const taken = write(chunk)
      if (isLine) reached(role, 'after the line has left', dead)
      return taken
    }) as Duplex['write']
    return stream
  }

  for (const role of ['sender', 'recipient'] as const) await start(role, join(root, role))
  return {
    clock,
    crashes: () => crashes,
    async owner(role) {
      await until(() => running.has(role))
      const { server, streams } = running.get(role) ?? {}
      if (server === undefined || streams === undefined) throw new Error(`${role} is away`)
      const stream = server.connect()
      streams.add(stream)
      const client = clientOf(stream)
      await client.take(/^@/)
      const challenge = (await client.ask(`from:${atSigns[role]}`)).replace(/^data:/, '').replace(/\n.*$/s, '')
      await client.ask(`cram:${digestOf((await server.cramSecret()) ?? '', challenge)}`)
      return client
    },
  }
}

/** Asks until there is an answer, on a new connection when the server has gone, as every client does. */
async function insist(world: World, role: Role, line: string): Promise<string> {
  for (;;) {
    try {
      const client = await world.owner(role)
      const reply = await client.ask(line)
      client.leave()
      return reply.replace(/\n.*$/s, '')
    } catch {
      world.clock.advance(50)
    }
  }
}

const sent = 6
const ids = Array.from({ length: sent }, (_, index) => `n${index}`)

/** Everything that a monitor from the beginning of time shows. */
async function shownAtRecipient(world: World): Promise<string[]> {
  const client = await world.owner('recipient')
  client.write('monitor:strict:0\nnoop:0\n')
  const shown: string[] = []
  let answered = false
  for (let quiet = 0; quiet < 1; ) {
    const line = await client.line()
    if (line === 'data:ok\n') answered = true
    const id = /"id":"(n\d+)"/.exec(line)?.[1]
    if (id !== undefined) shown.push(id)
    if (answered && shown.length >= sent) quiet++
  }
  return shown
}

describe.each([
  ['the first', 1],
  ['the third', 3],
])('the power goes with %s notification', (_, count) => {
  test.each(steps)('of the %s, %s', async (victim, step) => {
    const world = await startWorld(victim, step, count)
    for (const id of ids) {
      expect(await insist(world, 'sender', `notify:id:${id}:@bob:${id}.wavi@alice:v`)).toBe(`data:${id}`)
      world.clock.advance(1)
    }
    const statuses = (): Promise<string[]> =>
      Promise.all(ids.map((id) => insist(world, 'sender', `notify:status:${id}`)))
    await until(async () => {
      world.clock.advance(500)
      return (await statuses()).every((status) => status === 'data:delivered')
    })
    expect(world.crashes()).toBe(1)
    expect((await shownAtRecipient(world)).sort()).toEqual(ids)
    const list = await insist(world, 'recipient', 'notify:list')
    expect((JSON.parse(list.slice('data:'.length)) as { id: string }[]).map(({ id }) => id).sort()).toEqual(ids)
  })
})
