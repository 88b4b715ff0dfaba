import { readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { silent } from '../../src/core/log.ts'
import { beginStart } from '../../src/store/starts.ts'
import { manualClock } from '../support/clock.ts'
import { temporaryDirectory, until } from '../support/network.ts'

const steadyMs = 300_000

/** A device whose power can be cut, and whose process can be killed. */
async function device() {
  const directory = await temporaryDirectory()
  const clock = manualClock()
  let boot = 0
  let starts = await beginStart({ directory, clock, log: silent, boot: `boot ${boot}` }, true)
  await starts.opened()
  return {
    directory,
    run: (ms: number) => clock.advance(ms),
    end: () => starts.end(),
    /** Starts again without an end of the run before. */
    async start(how: 'killed' | 'power cut') {
      if (how === 'power cut') boot += 1
      starts = await beginStart({ directory, clock, log: silent, boot: `boot ${boot}` }, true)
      await starts.opened()
      return { early: starts.early, suspect: starts.suspect }
    },
  }
}

test('a run that ended while the machine ran on may have ended of damage, and one that the power ended has not', async () => {
  const killed = await device()
  expect(await killed.start('killed')).toEqual({ early: true, suspect: true })

  const cut = await device()
  expect(await cut.start('power cut')).toEqual({ early: true, suspect: false })

  const stopped = await device()
  await stopped.end()
  expect(await stopped.start('killed')).toEqual({ early: false, suspect: false })
})

test('runs that end soon after their start, one after another, may end of damage that makes the machine start anew', async () => {
  const { start } = await device()
  expect((await start('power cut')).suspect).toBe(false)
  expect((await start('power cut')).suspect).toBe(true)
})

test('a note that does not tell of the machine says nothing against damage', async () => {
  const { directory, start } = await device()
  const path = join(directory, 'starts.json')
  const { boot, sum, ...rest } = JSON.parse(await readFile(path, 'utf8')) as Record<string, unknown>
  expect([typeof boot, typeof sum]).toEqual(['string', 'number'])
  await writeFile(path, JSON.stringify(rest))
  expect((await start('power cut')).suspect).toBe(true)
})

test('a steady run that the power ends casts no suspicion on the next ones', async () => {
  const { directory, run, start } = await device()
  const noted = () => readFile(join(directory, 'starts.json'), 'utf8')
  for (let cut = 0; cut < 4; cut++) {
    run(steadyMs)
    await until(async () => (await noted()).includes('"early":0'))
    expect((await start('power cut')).suspect).toBe(false)
  }
})
