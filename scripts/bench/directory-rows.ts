import { once } from 'node:events'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { type Fixture, startAtedge } from './fixture.ts'
import { dial, drive, type Script, type Target } from './load.ts'
import { inTurns, type Pace } from './numbers.ts'
import { startEcho } from './others.ts'
import { count, type Row, ratioRow } from './table.ts'
import { freePorts, type Program } from './world.ts'

// Rows of the atDirectory: lookups of what it holds, beside a bare TLS echo of the same bytes.

const connections = 16
const names = Array.from({ length: 64 }, (_, index) => `device${String(index).padStart(2, '0')}`)
const address = 'device.local:6464'
const perSecond = (rate: number): string => `${count(rate)}/s`

const lookups: Script[] = [{ requests: names.map((name) => `${name}\n`), reply: address }]

async function startDirectory(fixture: Fixture): Promise<{ program: Program; target: Target }> {
  const [port, dataDir] = [await freePorts(1), join(fixture.world.folder, 'directory')]
  await mkdir(dataDir, { mode: 0o700 })
  const config = join(dataDir, 'directory.yaml')
  const entries = Object.fromEntries(names.map((name) => [`@${name}`, address]))
  // All clients of the bench are one, and the bound of one client is not what is measured.
  const directory = { enabled: true, host: '127.0.0.1', port, lookupsPerSecond: 1_000_000, entries }
  await writeFile(config, JSON.stringify({ atSign: '@directory', dataDir, certificates: fixture.files, directory }))
  const program = await startAtedge(fixture, ['directory', 'serve', '-c', config], /atDirectory listens/)
  return { program, target: { port, trust: fixture.trust } }
}

/** A connection that has been greeted. */
async function greeted(target: Target): Promise<TLSSocket> {
  const socket = await dial(target)
  await once(socket, 'data')
  return socket
}

async function lookupRow(directory: Target, echo: Target, pace: Pace, depth: number): Promise<Row> {
  const all = Array.from({ length: connections })
  const mine = await Promise.all(all.map(() => greeted(directory)))
  const theirs = await Promise.all(all.map(() => dial(echo)))
  const ours = (ms: number) => drive(mine, lookups, { depth, ms })
  const limit = (ms: number) => drive(theirs, lookups, { depth, ms })
  await Promise.all([ours(pace.warmUpMs), limit(pace.warmUpMs)])
  const sides = await inTurns(
    pace.rounds,
    () => ours(pace.runMs),
    () => limit(pace.runMs),
  )
  for (const socket of [...mine, ...theirs]) socket.destroy()
  const what = `directory lookups, ${connections} TLS connections${depth === 1 ? '' : `, ${depth} in flight each`}`
  return ratioRow(what, sides, { format: perSecond, limit: 'echo', atLeast: depth === 1 ? 0.85 : 0.5 })
}

/** Lookups on a directory that runs alone, one at a time on each connection as every SDK asks, and pipelined. */
export async function directoryRows(fixture: Fixture, pace: Pace): Promise<Row[]> {
  const { program, target } = await startDirectory(fixture)
  const echo = await startEcho(fixture, `${address}\r\n@`)
  const rows = [await lookupRow(target, echo, pace, 1), await lookupRow(target, echo, pace, 16)]
  await program.stop()
  return rows
}
