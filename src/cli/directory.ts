import { copyFile } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import { startDirectoryDevice } from '../app-directory-only.ts'
import { systemClock } from '../core/clock.ts'
import { createLog } from '../device/log.ts'
import { ensureAuthority, ensureCertificate } from '../provision/files.ts'
import { version } from '../version.ts'
import { readConfig } from './config.ts'
import { ExitError, type Io, print } from './io.ts'
import { callDevice, type LocalOptions, standardConfig, withLocal } from './local.ts'

/** A directory without an atServer has no atSign; the setting that every device needs stands empty in its place. */
const nobody = '@directory'

interface Row {
  readonly atSign: string
  readonly address: string
  readonly fixed: boolean
}

async function list(options: LocalOptions, io: Io): Promise<void> {
  const rows = (await callDevice(options, 'directory.list')) as readonly Row[]
  print(io, options.json, rows, () =>
    rows
      .map(({ atSign, address, fixed }) => `${atSign.padEnd(24)} ${address}${fixed ? '  (configuration)' : ''}`)
      .join('\n'),
  )
}

async function add(atSign: string, address: string, options: LocalOptions, io: Io): Promise<void> {
  const entry = (await callDevice(options, 'directory.add', { atSign, address })) as Row
  print(io, options.json, entry, () => `${entry.atSign} is at ${entry.address}`)
}

async function remove(atSign: string, options: LocalOptions, io: Io): Promise<void> {
  const result = (await callDevice(options, 'directory.remove', { atSign })) as { atSign: string; removed: boolean }
  print(io, options.json, result, () => `${result.atSign} is ${result.removed ? 'no longer here' : 'not here'}`)
  if (!result.removed) throw new ExitError(1, `${result.atSign} had no entry`)
}

/** A certificate for another device of the site, from the authority of the directory on this machine. */
async function certificate(host: string, options: LocalOptions & { out: string }, io: Io): Promise<void> {
  const { dataDir, atSign, certificates } = await readConfig(options.config)
  if (certificates.chain !== undefined) {
    throw new ExitError(1, 'the certificates of this directory come from elsewhere: have its authority issue one')
  }
  const authority = await ensureAuthority(dataDir, `atedge ${atSign}`, systemClock.now())
  const folder = resolve(options.out)
  const files = await ensureCertificate(folder, authority, [host], systemClock.now())
  const ca = join(folder, 'ca.pem')
  await copyFile(authority.certificatePath, ca)
  const settings = { chain: files.chainPath, key: files.keyPath, ca }
  print(io, options.json, settings, () =>
    [
      'For the configuration of that device, which keeps them to itself:',
      `certificates: ${JSON.stringify(settings)}`,
    ].join('\n'),
  )
}

async function serve(options: { config: string; logLevel?: string }, io: Io): Promise<void> {
  const flags = {
    ...{ atSign: nobody, 'directory.enabled': 'true' },
    ...(options.logLevel === undefined ? {} : { 'log.level': options.logLevel }),
  }
  const config = await readConfig(options.config, flags)
  const log = createLog(config.log.level, config.underSystemd)
  const directory = await startDirectoryDevice({ config, clock: systemClock, log, version })
  await io.stopped
  log('info', 'stopping')
  await directory.close()
}

const example = (text: string): string => `\nExample:\n  atedge directory ${text}`

/** `atedge directory add | remove | list | certificate | serve`. */
export function addDirectoryCommand(program: Command, io: Io): void {
  const directory = program
    .command('directory')
    .description('work with the private atDirectory of this machine')
    .addHelpText('after', example('list -c ./atedge.yaml'))
  withLocal(directory.command('list'))
    .description('show every atSign and where its atServer is')
    .addHelpText('after', example('list --json'))
    .action((options) => list(options, io))
  withLocal(directory.command('add'))
    .argument('<atSign>')
    .argument('<host:port>', 'address of its atServer; the name has to stand in its certificate')
    .description('set an entry; it survives restarts')
    .addHelpText('after', example('add @alice alice.local:6464'))
    .action((atSign: string, address: string, options) => add(atSign, address, options, io))
  withLocal(directory.command('remove'))
    .argument('<atSign>')
    .description('remove an entry that was added or registered')
    .addHelpText('after', example('remove @alice'))
    .action((atSign: string, options) => remove(atSign, options, io))
  withLocal(directory.command('certificate'))
    .argument('<host>', 'name under which that device is reached')
    .requiredOption('--out <folder>', 'where fullchain.pem, privkey.pem and ca.pem go')
    .description('issue a certificate with which another device registers here')
    .addHelpText('after', example('certificate alice.local --out ./alice'))
    .action((host: string, options) => certificate(host, options, io))
  directory
    .command('serve')
    .description('run a directory alone, without an atServer; SIGTERM stops it cleanly')
    .option('-c, --config <file>', 'configuration; its sections for an atServer are not used', standardConfig)
    .option('--log-level <level>', 'overrides log.level of the configuration')
    .addHelpText('after', example('serve -c ./directory.yaml'))
    .action((options) => serve(options, io))
}
