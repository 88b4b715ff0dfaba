import { resolve } from 'node:path'
import type { Command } from 'commander'
import { checkRules } from '../bridge/bridge.ts'
import { type Config, loadConfig } from '../config/load.ts'
import { type Io, print } from './io.ts'

/**
 * The configuration of the device, its bridge rules judged too.
 * @param flags settings by their path, such as `log.level`
 * @throws ConfigError that names file, line and setting
 */
export const readConfig = (file: string, flags: Readonly<Record<string, unknown>> = {}): Promise<Config> =>
  loadConfig({
    file: resolve(file),
    flags,
    check: ({ bridge }) =>
      checkRules(bridge.rules, bridge.namespace).map(({ path, message }) => ({
        path: ['bridge', 'rules', ...path],
        message,
      })),
  })

async function checkConfig(options: { config: string; json?: boolean }, io: Io): Promise<void> {
  const config = await readConfig(options.config)
  const rules = config.bridge.rules.length
  print(io, options.json, config, () => `${options.config} is right: ${config.atSign}, ${rules} rules`)
}

/** `atedge config check`. */
export function addConfigCommand(program: Command, io: Io): void {
  program
    .command('config')
    .description('work with the configuration')
    .command('check')
    .description('read the configuration and say what is wrong with it, by line')
    .option('-c, --config <file>', 'configuration', '/etc/atedge/atedge.yaml')
    .option('--json', 'print the whole configuration, defaults included, as JSON')
    .addHelpText('after', '\nExample:\n  atedge config check -c ./atedge.yaml')
    .action((options) => checkConfig(options, io))
}
