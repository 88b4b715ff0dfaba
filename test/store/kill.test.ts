import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import type { Store } from '../../src/core/storage.ts'
import { openStore } from '../../src/store/store.ts'
import { all, opened, temporary } from './fixtures.ts'

const writer = fileURLToPath(new URL('killed-writer.ts', import.meta.url))

const startWriter = (directory: string, offset: number): ChildProcess =>
  spawn(process.execPath, ['--import', 'tsx', writer, directory, `${offset}`], { stdio: ['ignore', 'pipe', 'inherit'] })

/** Kills a writer after some acknowledgements. @returns the latest acknowledged number of each of its writers */
async function killAfter(child: ChildProcess, lines: number): Promise<Map<string, number>> {
  const acknowledged = new Map<string, number>()
  if (child.stdout === null) throw new Error('no output')
  let left = lines
  for await (const line of createInterface(child.stdout)) {
    const [name = '', number = ''] = line.split(' ')
    acknowledged.set(name, Number(number))
    left -= 1
    if (left === 0) child.kill('SIGKILL')
  }
  if (child.exitCode === null && child.signalCode === null) await once(child, 'exit')
  return acknowledged
}

async function verify(store: Store, acknowledged: ReadonlyMap<string, number>): Promise<void> {
  const entries = await all(store.commits.entries())
  expect(new Set(entries.map(({ key }) => key)).size).toBe(entries.length)
  expect(entries.at(-1)?.commitId).toBe(store.commits.lastId())
  const waiting = new Map<string, number[]>()
  for (const { notification } of await store.outbox.pending('@bob', 100_000)) {
    waiting.set(notification.id, [...(waiting.get(notification.id) ?? []), notification.at])
  }
  for (const [name, number] of acknowledged) {
    const [a, b] = [await store.records.get(`w${name}.a@alice`), await store.records.get(`w${name}.b@alice`)]
    expect(a?.metadata.version).toBeGreaterThanOrEqual(number)
    expect({ ...b, commitId: 0 }).toEqual({ ...a, commitId: 0 })
    expect(waiting.get(`w${name}`)?.at(-1)).toBe(a?.metadata.version)
    for (const record of [a, b]) expect(entries.map(({ commitId }) => commitId)).toContain(record?.commitId)
  }
}

test('a writer that is killed again and again loses nothing it acknowledged, and leaves nothing half done', {
  timeout: 120_000,
}, async () => {
  const directory = await temporary()
  let highest = -1
  for (const [round, lines] of [40, 333, 1000, 77, 2500, 640].entries()) {
    const acknowledged = await killAfter(startWriter(directory, round * 1_000_000), lines)
    expect(acknowledged.size).toBe(8)
    const store = await openStore({ directory, atSign: '@alice', clock: systemClock })
    await verify(store, acknowledged)
    expect(store.commits.lastId()).toBeGreaterThan(highest)
    highest = store.commits.lastId()
    await store.close()
  }
})

test('a store that another process has open is refused, and taken over once that is gone', async () => {
  const directory = await temporary()
  const child = startWriter(directory, 0)
  if (child.stdout === null) throw new Error('no output')
  await once(child.stdout, 'data')
  const opening = openStore({ directory, atSign: '@alice', clock: systemClock })
  await expect(opening).rejects.toMatchObject({ reason: 'locked', message: expect.stringContaining('another process') })
  child.stdout.resume()
  child.kill('SIGKILL')
  await once(child, 'exit')
  const store = await opened(directory)
  expect(store.commits.lastId()).toBeGreaterThanOrEqual(0)
})
