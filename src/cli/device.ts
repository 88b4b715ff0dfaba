import { access, chown, mkdir, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { createAtServer } from '../app.ts'
import { deviceCertificate } from '../app-certificate.ts'
import { startDevice } from '../app-device.ts'
import type { Config } from '../config/load.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { systemClock } from '../core/clock.ts'
import { silent } from '../core/log.ts'
import { type AtKeys, readKeysFile, writeKeysFile } from '../crypto/keys-file.ts'
import { createLog } from '../device/log.ts'
import { giveBackMemory, processSeams } from '../device/memory.ts'
import { activate } from '../provision/activation.ts'
import { undoInterrupted } from '../provision/restore.ts'
import { secretQr } from '../provision/secret.ts'
import { version } from '../version.ts'
import { readConfig } from './config.ts'
import { writeConfigFile } from './config-file.ts'
import { type ConnectOptions, findTarget, withConnection } from './connect.ts'
import { ExitError, type Io, print, tellOfMapping } from './io.ts'

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  )

/** The least that a device needs to know; everything else has a default. */
const firstConfig = (atSign: AtSign, dataDir: string, host: string | undefined): string =>
  [
    `atSign: '${atSign}'`,
    `dataDir: ${JSON.stringify(dataDir)}`,
    ...(host === undefined ? [] : [`host: ${host}`]),
    'bridge:',
    '  rules:',
    '    - topic: sensors/+place/+quantity',
    "      key: '{quantity}.{place}'",
    '',
  ].join('\n')

/** The secret of a device that does not run; a running one holds the lock of its store and says so. */
async function readSecret(config: Config): Promise<string | undefined> {
  const nobody = async (): Promise<never> => {
    throw new Error('not connected')
  }
  const server = await createAtServer({
    atSign: config.atSign,
    directory: join(config.dataDir, 'store'),
    resolver: { resolve: nobody },
    dial: nobody,
    clock: systemClock,
    log: silent,
    version,
  })
  try {
    return await server.cramSecret()
  } finally {
    await server.close()
  }
}

async function init(
  name: string,
  options: { config: string; data?: string; host?: string; json?: boolean },
  io: Io,
): Promise<void> {
  const atSign = parseAtSign(name)
  const file = resolve(options.config)
  const dataDir = resolve(options.data ?? '/var/lib/atedge')
  if (!(await exists(file))) {
    await writeConfigFile(file, firstConfig(atSign, dataDir, options.host))
  }
  const config = await readConfig(file)
  if (config.atSign !== atSign) throw new ExitError(1, `${file} is for ${config.atSign}, not for ${atSign}`)
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  await deviceCertificate(config, systemClock)
  const secret = await readSecret(config)
  if (secret === undefined) throw new ExitError(1, `${atSign} is activated already; nothing was changed`)
  print(io, options.json, { atSign, config: file, dataDir: config.dataDir, cram: secret }, () =>
    [
      `${atSign} is ready to be activated. Its secret, shown to you alone:`,
      '',
      secretQr(atSign, secret),
      secret,
      '',
      `Start the device:   atedge serve -c ${file}`,
      `Activate it:        atedge activate -c ${file} --secret -     (then paste the secret)`,
    ].join('\n'),
  )
}

async function serve(options: { config: string; logLevel?: string; clockTrusted?: true }, io: Io): Promise<void> {
  const flags = {
    ...(options.logLevel === undefined ? {} : { 'log.level': options.logLevel }),
    ...(options.clockTrusted === undefined ? {} : { 'clock.trusted': true }),
  }
  const config = await readConfig(options.config, flags)
  const log = createLog(config.log.level, config.underSystemd)
  tellOfMapping(io, log)
  // A whole device is restored by its data folder, a snapshot alone by the store inside it.
  for (const folder of [config.dataDir, join(config.dataDir, 'store')]) {
    if (await undoInterrupted(folder))
      log('warn', 'a restore was interrupted; the data is as it was before', { folder })
  }
  const device = await startDevice({ config, clock: systemClock, log, version })
  const stopCollecting = giveBackMemory(systemClock, log, await processSeams())
  io.onHangup?.(async () => log('info', 'reloaded', await device.reload()))
  await io.stopped
  log('info', 'stopping')
  stopCollecting()
  await device.close()
  log('info', 'stopped')
}

/** Writes keys; what root writes into the folder of a device is for the user of the service, whom that folder belongs to. */
async function writeKeys(path: string, keys: AtKeys): Promise<void> {
  const made = (await mkdir(dirname(path), { recursive: true, mode: 0o700 })) ?? path
  await writeKeysFile(path, keys)
  if (process.getuid?.() !== 0) return
  const home = dirname(made)
  const { uid, gid } = await stat(home)
  for (let at = path; at !== home; at = dirname(at)) await chown(at, uid, gid)
}

async function activateCommand(options: ConnectOptions & { secret: string; json?: boolean }, io: Io): Promise<void> {
  const secret = (options.secret === '-' ? await io.readInput() : options.secret).trim()
  if (secret === '') throw new ExitError(1, 'the secret is empty')
  const target = await findTarget(options, io)
  const known = await readKeysFile(target.keysPath, target.atSign).catch(() => undefined)
  await activate({
    atSign: target.atSign,
    secret,
    connect: target.connect,
    clock: systemClock,
    ...(known === undefined ? {} : { keys: known }),
    progress: (step) => io.err(`… ${step}\n`),
    // Written before the secret goes: a crash between loses nothing.
    onKeys: (keys) => (known === undefined ? writeKeys(target.keysPath, keys) : Promise.resolve()),
  })
  target.close()
  print(io, options.json, { atSign: target.atSign, keys: target.keysPath }, () =>
    [
      `${target.atSign} is activated. Its keys: ${target.keysPath}`,
      'Keep a copy in a safe place: without them nobody can read what is stored.',
    ].join('\n'),
  )
}

/** `atedge init | serve | activate`. */
export function addDeviceCommands(program: Command, io: Io): void {
  program
    .command('init')
    .argument('<atSign>', 'atSign of the device')
    .description('make the configuration, certificates and secret of a new device')
    .option('-c, --config <file>', 'configuration; written when it is missing', '/etc/atedge/atedge.yaml')
    .option('--data <folder>', 'where the device keeps its data (default /var/lib/atedge)')
    .option('--host <name>', 'name under which others reach this device (default: its host name)')
    .option('--json', 'print JSON')
    .addHelpText('after', '\nExample:\n  atedge init @device -c ./atedge.yaml --data ./device')
    .action((atSign: string, options) => init(atSign, options, io))
  program
    .command('serve')
    .description('run the device: atServer, bridge, directory, as configured; SIGTERM stops it cleanly')
    .option('-c, --config <file>', 'configuration', '/etc/atedge/atedge.yaml')
    .option('--log-level <level>', 'overrides log.level of the configuration')
    .option('--clock-trusted', 'the wall clock is right, whatever the time known before; overrides clock.trusted')
    .addHelpText('after', '\nExample:\n  atedge serve -c /etc/atedge/atedge.yaml')
    .action((options) => serve(options, io))
  withConnection(program.command('activate'))
    .description('make an atSign yours: cut its keys, write the .atKeys file, delete the secret')
    .requiredOption('--secret <secret>', 'CRAM secret shown by `atedge init`; - reads it from standard input')
    .addHelpText('after', '\nExample:\n  atedge activate -a @device --server device.local:6464 --ca ca.pem --secret -')
    .action((options) => activateCommand(options, io))
}
