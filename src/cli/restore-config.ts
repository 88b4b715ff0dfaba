import { rename, stat } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { parseDocument } from 'yaml'
import type { AtSign } from '../core/at-sign.ts'
import type { DeviceFiles } from '../provision/backup-content.ts'
import { readConfig } from './config.ts'
import { writeConfigFile } from './config-file.ts'
import { ExitError } from './io.ts'

/** What becomes of the configuration when a device is restored. */
export interface ConfigPlan {
  /** Folder for the data. */
  readonly dataDir: string
  /** `kept` when there is one for this atSign, `absent` when the backup has none. */
  readonly outcome: 'written' | 'replaced' | 'kept' | 'absent'
  /** Puts it in place; the data comes first, since a configuration without data would start a new device. */
  apply(): Promise<void>
}

interface Wishes {
  readonly path: string
  readonly data: string | undefined
  readonly force: boolean
}

const isThere = (path: string): Promise<boolean> =>
  stat(path).then(
    () => true,
    () => false,
  )

/** The text with another data folder, comments and all; relative paths count from the new place of the file. */
function withDataDir(text: string, path: string, dataDir: string): string {
  const document = parseDocument(text)
  const named: unknown = document.get('dataDir')
  if (typeof named === 'string' && resolve(dirname(path), named) === dataDir) return text
  document.set('dataDir', dataDir)
  return document.toString({ lineWidth: 0 })
}

/** @returns the data folder of the configuration that is there; undefined when it has to give way */
async function standing(atSign: AtSign, { path, force }: Wishes): Promise<string | undefined> {
  try {
    const config = await readConfig(path)
    if (config.atSign === atSign) return config.dataDir
    const words = `${path} is for ${config.atSign}, the backup is of ${atSign}`
    if (!force) throw new ExitError(13, `${words}: --force sets that configuration aside`)
  } catch (error) {
    if (!force) throw error
  }
  return undefined
}

/**
 * Decides where the data goes and what becomes of the configuration.
 * @throws ExitError or ConfigError when the configuration that is there is in the way
 */
export async function planConfig(atSign: AtSign, device: DeviceFiles, wishes: Wishes): Promise<ConfigPlan> {
  const { path, data } = wishes
  const found = await isThere(path)
  const kept = found ? await standing(atSign, wishes) : undefined
  const dataDir = resolve(data ?? kept ?? device.dataDir)
  if (kept !== undefined) {
    if (kept !== dataDir)
      throw new ExitError(2, `${path} keeps its data in ${kept}: leave out --data, or name another -c`)
    return { dataDir, outcome: 'kept', apply: async () => {} }
  }
  const { config } = device
  if (config === undefined) return { dataDir, outcome: 'absent', apply: async () => {} }
  return {
    dataDir,
    outcome: found ? 'replaced' : 'written',
    async apply() {
      if (found) await rename(path, `${path}.before-restore`)
      await writeConfigFile(path, withDataDir(config, path, dataDir))
    },
  }
}
