import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { beforeAll, expect, test } from 'vitest'
import { systemClock as clock } from '../../src/core/clock.ts'
import { openStore } from '../../src/store/store.ts'
import { type Acknowledged, nothing, verify } from './check.ts'
import { bundled, createProgress, createRandom, howMany, place, seed } from './settings.ts'
import { writers } from './workload.ts'

const cuts = howMany(200, 2_000)
/** A run this long sees logs become tables, and tables be merged. */
const longestMs = 250
/** A database grows with its outbox; a new one keeps the checks of all of it short. */
const cutsPerStore = 25

let script: string
beforeAll(async () => {
  script = await bundled('writer')
})

/** Lets writers go on, kills them some milliseconds after their first word, and says what they had acknowledged. */
async function runAndKill(directory: string, known: Acknowledged, afterMs: number): Promise<Acknowledged> {
  const places = known.change.map((change, writer) => ({ change, delivery: known.delivery[writer] }))
  const child = spawn(process.execPath, [script, directory, JSON.stringify(places)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = once(child, 'exit')
  const told: Acknowledged = { change: [...known.change], delivery: [...known.delivery] }
  for await (const line of createInterface(child.stdout)) {
    const [what, writer, number] = line.split(' ')
    if (what === 'ready') setTimeout(() => child.kill('SIGKILL'), afterMs)
    else told[what === 'change' ? 'change' : 'delivery'][Number(writer)] = Number(number)
  }
  const [, signal] = await gone
  expect(signal, 'the writer ended by itself').toBe('SIGKILL')
  return told
}

test(`${cuts} power cuts at any moment cost nothing that was acknowledged (seed ${seed})`, async () => {
  const random = createRandom(seed)
  const folder = await place()
  const progress = createProgress('power cuts', cuts)
  let directory = ''
  let known = nothing()
  let changes = 0
  for (let cut = 0; cut < cuts; cut += 1) {
    if (cut % cutsPerStore === 0) {
      if (directory !== '') await rm(dirname(directory), { recursive: true })
      directory = join(folder, `${cut}`, 'store')
      await mkdir(dirname(directory))
      known = nothing()
    }
    const told = await runAndKill(directory, known, random() * longestMs)
    const store = await openStore({ directory, atSign: '@alice', clock })
    try {
      const change = await verify(store, told, false)
      changes += change.reduce((sum, number, writer) => sum + number - (known.change[writer] ?? -1), 0)
      known = { change, delivery: told.delivery }
    } finally {
      await store.close()
    }
    progress()
  }
  expect(known.change).toHaveLength(writers)
  expect(changes).toBeGreaterThan(cuts)
})
