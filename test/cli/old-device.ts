import { type ChildProcess, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, beforeEach, onTestFinished } from 'vitest'
import { parseAtKey } from '../../src/core/at-key.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import type { Store } from '../../src/core/storage.ts'
import { createAtKeys, writeKeysFile } from '../../src/crypto/keys-file.ts'
import { openStore } from '../../src/store/store.ts'
import { cli, somePort } from '../support/cli.ts'

/** Values of the records `r0.sensors@device` and on: ciphertext, as it were, which does not deflate much. */
export const values = Array.from({ length: 300 }, () => randomBytes(1_500).toString('base64'))

/** The store of a data folder. */
export const openData = (dataDir: string): Promise<Store> =>
  openStore({ directory: join(dataDir, 'store'), atSign: '@device', clock })

async function fill(dataDir: string): Promise<void> {
  const store = await openData(dataDir)
  await store.write(async (tx) => {
    for (const [i, value] of values.entries()) {
      const key = parseAtKey(`r${i}.sensors@device`)
      await tx.putRecord(key, { value, metadata: {} }, { operation: '*', opTime: 1, commit: true })
    }
  })
  await store.close()
}

/** A stopped device in the folder, with a backup of it that is locked to @alice, whose keys lie beside it. */
async function makeDevice(old: string): Promise<void> {
  const config = join(old, 'atedge.yaml')
  const { status, err } = await cli(['init', '@device', '-c', config, '--data', join(old, 'data')])
  if (status !== 0) throw new Error(err)
  const listen = `{ host: 127.0.0.1, port: ${somePort()} }`
  const text = `atSign: '@device' # mine\ndataDir: ./data\nlisten: ${listen}\nbridge: { enabled: false }\n`
  await writeFile(config, text)
  await mkdir(join(old, 'data', 'keys'), { mode: 0o700 })
  await writeFile(join(old, 'data', 'keys', '@device_key.atKeys'), 'the keys', { mode: 0o600 })
  await writeFile(join(old, 'passphrase'), 'correct horse\n')
  const keys = await createAtKeys('@alice')
  await writeKeysFile(join(old, 'alice.atKeys'), keys)
  await writeFile(join(old, 'alice.pub'), keys.encryptPublicKey)
  await fill(join(old, 'data'))
}

/** A device made for all tests of a file, and a folder for each of them. */
export function useOldDevice() {
  let old = ''
  let place = ''
  beforeAll(async () => {
    old = await mkdtemp(join(tmpdir(), 'atedge-device-'))
    await makeDevice(old)
    place = old
    await rename(await world.made(...world.locked()), join(old, 'given.atbackup'))
  })
  afterAll(() => rm(old, { recursive: true, force: true }))
  beforeEach(async () => {
    const folder = await mkdtemp(join(tmpdir(), 'atedge-restore-'))
    place = folder
    onTestFinished(() => rm(folder, { recursive: true, force: true }))
  })
  const at = (name = '.'): string => join(place, name)

  const world = {
    /** A path in the folder of the test. */
    at,
    /** A path in the folder of the device. */
    of: (name: string): string => join(old, name),
    oldConfig: (): string[] => ['-c', join(old, 'atedge.yaml')],
    // To the keys of an atSign, since a passphrase takes its time on purpose.
    locked: (): string[] => ['--recipient', '@alice', '--recipient-key', join(old, 'alice.pub')],
    unlocked: (): string[] => ['-k', join(old, 'alice.atKeys')],
    byPassphrase: (): string[] => ['--passphrase-file', join(old, 'passphrase')],
    /** A new backup of the device. */
    async made(...options: string[]): Promise<string> {
      const { status, err } = await cli(['backup', at('x.atbackup'), ...world.oldConfig(), ...options])
      if (status !== 0) throw new Error(err)
      return at('x.atbackup')
    },
    /** The same backup every time. */
    async given(): Promise<string> {
      await cp(join(old, 'given.atbackup'), at('x.atbackup'))
      return at('x.atbackup')
    },
    /** New hardware. */
    target: (...options: string[]): string[] => ['-c', at('new.yaml'), '--data', at('new'), ...options],
  }
  return world
}

/** Runs a command line in a process of its own. */
export const run = (args: readonly string[], stdio: ('pipe' | 'ignore' | number)[]): ChildProcess =>
  spawn(process.execPath, ['--import', 'tsx', 'src/main.ts', ...args], { stdio })

/** Exit status, or the signal that ended it. */
export async function ended(child: ChildProcess): Promise<unknown> {
  const [status, signal] = (await once(child, 'exit')) as [number | null, string | null]
  return status ?? signal
}
