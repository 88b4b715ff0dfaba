import type { Command } from 'commander'
import { ExitError, type Io, print } from './io.ts'
import { callDevice, type LocalOptions, withLocal } from './local.ts'

const failed = (value: unknown): boolean => typeof value === 'object' && value !== null && 'error' in value

async function reload(options: LocalOptions, io: Io): Promise<void> {
  const result = (await callDevice(options, 'reload')) as Readonly<Record<string, unknown>>
  const parts = Object.entries(result)
  print(io, options.json, result, () =>
    parts.length === 0
      ? 'nothing to read anew'
      : parts
          .map(([name, value]) => `${name.padEnd(20)}${value === true ? 'read anew' : JSON.stringify(value)}`)
          .join('\n'),
  )
  const broken = parts.filter(([, value]) => failed(value)).map(([name]) => name)
  if (broken.length > 0) throw new ExitError(1, `not read anew: ${broken.join(', ')}; what was there stays in use`)
}

/** `atedge reload`. */
export function addReloadCommand(program: Command, io: Io): void {
  withLocal(program.command('reload'))
    .description('have the device on this machine read its certificates anew; open connections stay')
    .addHelpText('after', '\nExample:\n  atedge reload -c ./atedge.yaml')
    .action((options) => reload(options, io))
}
