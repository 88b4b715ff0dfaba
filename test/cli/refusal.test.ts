import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import type { Store } from '../../src/core/storage.ts'
import { openDatabase } from '../../src/store/database.ts'
import { openStore } from '../../src/store/store.ts'
import { cli } from '../support/cli.ts'

async function device(): Promise<{ config: string; store: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-refusal-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  const config = join(folder, 'atedge.yaml')
  await writeFile(config, `atSign: '@device'\ndataDir: ${folder}/data\n`)
  await mkdir(join(folder, 'data'))
  return { config, store: join(folder, 'data', 'store') }
}

async function made(directory: string, atSign: AtSign): Promise<Store> {
  const store = await openStore({ directory, atSign, clock })
  onTestFinished(() => store.close())
  return store
}

async function ofAnotherProgram(directory: string): Promise<void> {
  await mkdir(directory)
  const database = await openDatabase(join(directory, 'level'), { create: true })
  await database.batch([{ key: 'theirs', value: Buffer.from('x') }], true)
  await database.close()
}

async function ofNewerVersion(directory: string): Promise<void> {
  await (await made(directory, '@device')).close()
  const marker = join(directory, 'store.json')
  const { sum: _, ...identity } = JSON.parse(await readFile(marker, 'utf8')) as Record<string, unknown>
  await writeFile(marker, JSON.stringify({ ...identity, format: 99 }))
}

test.each<[status: number, sentence: string, make: (directory: string) => Promise<unknown>]>([
  [10, 'is in use by another process', (directory) => made(directory, '@device')],
  [11, 'was written by a newer version (format 99', ofNewerVersion],
  [12, 'is not one of atedge; nothing was changed', ofAnotherProgram],
  [13, 'belongs to @other, not to @device', async (directory) => (await made(directory, '@other')).close()],
  [14, 'cannot be made: EEXIST', (directory) => writeFile(directory, 'a file')],
])('a store that is not opened ends `serve` with status %i and a sentence: %s', async (status, sentence, make) => {
  const { config, store } = await device()
  await make(store)
  expect(await cli(['serve', '-c', config])).toMatchObject({ status, err: expect.stringContaining(sentence) })
})
