import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { vouchedClock } from '../../src/device/clock-trust.ts'
import { manualClock } from '../support/clock.ts'

async function board(trusted = false) {
  const base = manualClock()
  const parent = await mkdtemp(join(tmpdir(), 'atedge-clock-'))
  onTestFinished(() => rm(parent, { recursive: true, force: true }))
  const folder = join(parent, 'timesync')
  return { base, folder, clock: vouchedClock(base, { trusted, folder }) }
}

test('where no time service runs, nobody vouches', async () => {
  const { clock, base } = await board()
  expect(clock.vouch?.()).toBe('nobody')
  expect(clock.now()).toBe(base.now())
})

test('a time service is waited for until it has set the clock', async () => {
  const { clock, base, folder } = await board()
  await mkdir(folder)
  expect(clock.vouch?.()).toBe('waiting')
  await writeFile(join(folder, 'synchronized'), '')
  base.advance(9_999)
  expect(clock.vouch?.()).toBe('waiting')
  base.advance(1)
  expect(clock.vouch?.()).toBe('timesync')
  await rm(folder, { recursive: true })
  base.advance(60_000)
  expect(clock.vouch?.()).toBe('timesync')
})

test('the word of the operator is enough', async () => {
  const { clock, folder } = await board(true)
  await mkdir(folder)
  expect(clock.vouch?.()).toBe('setting')
})
