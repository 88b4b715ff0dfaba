import { access } from 'node:fs/promises'
import type { Command } from 'commander'
import { readConfig } from './config.ts'
import { type ControlListeners, callControl } from './control.ts'

/** Configuration of the device that the system runs. */
export const standardConfig = '/etc/atedge/atedge.yaml'

/** Options of every command that asks the device on this machine. */
export interface LocalOptions {
  readonly config: string
  readonly json?: boolean
}

/** Adds the options of a command that asks the device on this machine over its control socket. */
export const withLocal = (command: Command): Command =>
  command
    .option('-c, --config <file>', 'configuration of the device on this machine', standardConfig)
    .option('--json', 'print JSON')

/**
 * Runs a command of the device on this machine.
 * @throws ControlError, or ConfigError
 */
export async function callDevice(
  options: LocalOptions,
  command: string,
  args: Readonly<Record<string, unknown>> = {},
  listeners: ControlListeners = {},
): Promise<unknown> {
  const { control } = await readConfig(options.config)
  return callControl(control.path, command, args, listeners)
}

/** True when the file is there and may be read. */
export const isReadable = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )
