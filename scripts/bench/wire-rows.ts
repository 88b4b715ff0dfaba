import { closeSync, fdatasyncSync, openSync, writeSync } from 'node:fs'
import { statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { type Fixture, startAlice } from './fixture.ts'
import { dial, drive, repeat, type Script, type Target } from './load.ts'
import { logIn, logInTimes, type Owner } from './login.ts'
import { inTurns, median, type Pace } from './numbers.ts'
import { startEcho, startRedis } from './others.ts'
import { count, type Row, ratioRow } from './table.ts'
import type { Program } from './world.ts'

// Rows of the wire: lookups, durable updates, logins.

const connections = 16
const keysEach = 64
const value = 'v'.repeat(200)
const perSecond = (rate: number): string => `${count(rate)}/s`

/** @alice's atServer under measurement. */
interface Alice {
  readonly program: Program
  readonly target: Target
  readonly owner: Owner
}

const keyOf = (connection: number, index: number): string =>
  `c${String(connection).padStart(2, '0')}n${String(index).padStart(2, '0')}.bench@alice`

/** One script for each connection, with its own keys. */
const scripts = (reply: string, request: (key: string) => string): Script[] =>
  Array.from({ length: connections }, (_, connection) => ({
    requests: Array.from({ length: keysEach }, (_unused, index) => request(keyOf(connection, index))),
    reply,
  }))

const lookups = scripts('data:', (key) => `llookup:${key}\n`)
const updates = scripts('data:', (key) => `update:${key} ${value}\n`)
const sets = scripts('+OK', (key) => `*3\r\n$3\r\nSET\r\n$${key.length}\r\n${key}\r\n$${value.length}\r\n${value}\r\n`)

const dialTimes = (times: number, target: Target) => Promise.all(Array.from({ length: times }, () => dial(target)))

async function lookupRow(fixture: Fixture, alice: Alice, pace: Pace, depth: number): Promise<Row> {
  const echo = await startEcho(fixture, `data:${value}\n@alice@`)
  const [mine, theirs] = await Promise.all([
    logInTimes(connections, alice.target, alice.owner),
    dialTimes(connections, echo),
  ])
  await drive(mine, updates, { depth: keysEach, ms: 0 })
  const ours = (ms: number) => drive(mine, lookups, { depth, ms })
  const limit = (ms: number) => drive(theirs, lookups, { depth, ms })
  await Promise.all([ours(pace.warmUpMs), limit(pace.warmUpMs)])
  const sides = await inTurns(
    pace.rounds,
    () => ours(pace.runMs),
    () => limit(pace.runMs),
  )
  for (const socket of [...mine, ...theirs]) socket.destroy()
  const what = `llookup, 200 bytes, ${connections} TLS connections${depth === 1 ? '' : `, ${depth} in flight each`}`
  return ratioRow(what, sides, { format: perSecond, limit: 'echo', atLeast: depth === 1 ? 0.85 : 0.5 })
}

/** Milliseconds that the disk takes for 200 bytes: what a lone durable change cannot undercut. */
function syncTime(folder: string): number {
  const file = openSync(join(folder, 'sync'), 'w')
  const took = Array.from({ length: 50 }, () => {
    const began = performance.now()
    writeSync(file, value)
    fdatasyncSync(file)
    return performance.now() - began
  })
  closeSync(file)
  return median(took)
}

const memoryFileSystems: ReadonlySet<number> = new Set([0x01021994, 0x858458f6])

async function syncNote({ world }: Fixture, alice: Alice, pace: Pace): Promise<string> {
  const lone = await logIn(alice.target, alice.owner)
  const rate = await drive([lone], updates, { depth: 1, ms: pace.runMs / 2 })
  lone.destroy()
  const { type } = await statfs(world.folder)
  const disk = memoryFileSystems.has(type) ? 'MEMORY, so the durable rows mean nothing' : 'a disk'
  const [sync, update] = [syncTime(world.folder), 1_000 / rate].map((ms) => `${ms.toFixed(2)} ms`)
  return `Syncs: the folder is on ${disk}; write and fdatasync of 200 bytes take ${sync}, a lone update ${update}.`
}

async function updateRow(fixture: Fixture, alice: Alice, pace: Pace): Promise<Row> {
  const redis = await startRedis(fixture)
  const mine = await logInTimes(connections, alice.target, alice.owner)
  const theirs = redis === undefined ? [] : await dialTimes(connections, redis)
  const ours = (ms: number) => drive(mine, updates, { depth: 1, ms })
  const limit = (ms: number) => drive(theirs, sets, { depth: 1, ms })
  await ours(pace.warmUpMs)
  if (redis !== undefined) await limit(pace.warmUpMs)
  const beside = redis === undefined ? undefined : () => limit(pace.runMs)
  const sides = await inTurns(pace.rounds, () => ours(pace.runMs), beside)
  for (const socket of [...mine, ...theirs]) socket.destroy()
  const what = `durable update, 200 bytes, ${connections} TLS connections`
  return ratioRow(what, sides, { format: perSecond, limit: 'Redis SET, appendfsync always', atLeast: 0.5 })
}

/** Logins and handshakes under way at one time. */
const width = 8

async function loginRow(fixture: Fixture, alice: Alice, pace: Pace): Promise<Row> {
  const echo = await startEcho(fixture, 'unused\n')
  const ours = (ms: number) =>
    repeat(async () => void (await logIn(alice.target, alice.owner)).destroy(), { width, ms })
  const limit = (ms: number) => repeat(async () => void (await dial(echo)).destroy(), { width, ms })
  await Promise.all([ours(pace.warmUpMs), limit(pace.warmUpMs)])
  const sides = await inTurns(
    pace.rounds,
    () => ours(pace.runMs),
    () => limit(pace.runMs),
  )
  const what = 'connect, from and pkam, RSA-2048, no session resumption'
  return ratioRow(what, sides, { format: perSecond, limit: 'TLS handshakes alone', atLeast: 0.6 })
}

export type WireRow = 'lookup' | 'pipelined' | 'update' | 'login'

/** Measures the wanted rows on one atServer. */
export async function wireRows(
  fixture: Fixture,
  pace: Pace,
  wants: (row: WireRow) => boolean,
  say: (what: string) => void,
): Promise<{ rows: Row[]; notes: string[] }> {
  const alice = await startAlice(fixture)
  const rows: Row[] = []
  const notes: string[] = []
  const measure = async (name: WireRow, row: () => Promise<Row>): Promise<void> => {
    if (!wants(name)) return
    say(name)
    rows.push(await row())
  }
  await measure('lookup', () => lookupRow(fixture, alice, pace, 1))
  await measure('pipelined', () => lookupRow(fixture, alice, pace, 16))
  await measure('update', () => updateRow(fixture, alice, pace))
  if (wants('update')) notes.push(await syncNote(fixture, alice, pace))
  await measure('login', () => loginRow(fixture, alice, pace))
  await alice.program.stop()
  return { rows, notes }
}
