import { readFile } from 'node:fs/promises'
import { resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import type { Config } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { newBackupKey, sealBackup } from '../crypto/backup-stream.ts'
import { collectFiles, type DeviceFiles, writeContent } from '../provision/backup-content.ts'
import { type LockOptions, lockOf } from './backup-lock.ts'
import { destinationOf, writeBackup } from './backup-output.ts'
import { readStore } from './backup-source.ts'
import { readConfig } from './config.ts'
import { ExitError, type Io, print } from './io.ts'
import { withLocal } from './local.ts'
import { createProgressBar, type ProgressBar } from './progress.ts'

interface BackupOptions extends LockOptions {
  readonly json?: boolean
  readonly plain?: boolean
  readonly force?: boolean
  readonly keep?: number
}

/** Paths that the configuration names and the device needs. */
function namedFiles({ certificates, bridge, backup }: Config): string[] {
  const { chain, key, ca } = certificates
  return [chain, key, ca, bridge.keys, bridge.broker.passwordFile, backup.passphraseFile].filter(
    (path) => path !== undefined,
  )
}

/** Everything but the store. Tells which files stay behind. */
async function deviceFiles(config: Config, path: string, io: Io): Promise<DeviceFiles> {
  const { dataDir } = config
  try {
    const { files, leftOut } = await collectFiles(dataDir, namedFiles(config))
    for (const file of leftOut)
      io.err(`Not in the backup, for it lies outside of ${dataDir} or is too large: ${file}\n`)
    return { dataDir, config: await readFile(path, 'utf8'), files }
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause && cause.code === 'EACCES')) throw cause
    throw new ExitError(1, `${cause.message}: run it as root (sudo), or back up the store alone, --plain`)
  }
}

/** Ends a stream at the first signal. */
async function* untilStopped(chunks: AsyncIterable<Uint8Array>, { stopped }: Io): AsyncGenerator<Uint8Array> {
  let isStopped = false
  void stopped.then(() => {
    isStopped = true
  })
  for await (const chunk of chunks) {
    if (isStopped) throw new ExitError(1, 'stopped; the backup is not whole')
    yield chunk
  }
}

/** The bytes of a backup, from the first question to the last byte. */
async function makeBackup(
  config: Config,
  options: BackupOptions,
  parts: { time: number; bar: ProgressBar },
  io: Io,
): Promise<AsyncIterable<Uint8Array>> {
  const onProgress = ({ step, done, total }: { step: string; done: number; total?: number }): void =>
    parts.bar.show(step, done, total)
  if (options.plain === true) return readStore(config, io, onProgress)
  const key = newBackupKey()
  const files = await deviceFiles(config, resolve(options.config), io)
  const lock = await lockOf(key, config, options, io)
  const store = await readStore(config, io, onProgress)
  return sealBackup({ atSign: config.atSign, time: parts.time, lock }, key, writeContent(files, store))
}

async function backup(to: string | undefined, options: BackupOptions, io: Io): Promise<void> {
  const config = await readConfig(options.config)
  const { atSign } = config
  const { plain = false, force = false, keep } = options
  if (plain && (options.recipient ?? options.passphraseFile) !== undefined) {
    throw new ExitError(2, '--plain locks nothing: leave out --recipient and --passphrase-file')
  }
  const time = systemClock.now()
  const ending = plain ? '.snapshot' : '.atbackup'
  const destination = await destinationOf(to, { atSign, time, ending, force, keep }, io)
  const bar = createProgressBar(io, systemClock)
  let bytes = 0
  const count = async function* (chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      bytes += chunk.byteLength
      yield chunk
    }
  }
  try {
    const chunks = await makeBackup(config, options, { time, bar }, io)
    const { path, removed } = await writeBackup(destination, count(untilStopped(chunks, io)), io)
    bar.end()
    if (path === undefined) return
    print(
      io,
      options.json,
      { atSign, file: path, bytes, removed },
      () => `${path}: ${bytes} bytes, the backup of ${atSign}`,
    )
  } finally {
    bar.end()
  }
}

const parseKeep = (text: string): number => {
  const keep = Number(text)
  if (!/^\d{1,4}$/.test(text) || keep < 1) throw new InvalidArgumentError('expected a whole number above 0')
  return keep
}

const help = `
The backup holds all that the device needs on new hardware: its store, configuration, certificates and keys. It is encrypted, and
unlocked by a passphrase or by the .atKeys file of an atSign. Without either option the section \`backup\` of the configuration says
how; without that, a passphrase is asked for. A running device goes on working; one that is stopped is read from its files.

Exit status: 0 done, 1 failed (no file is left behind; what went to standard output is not whole), 2 wrong usage

Examples:
  atedge backup /mnt/usb --keep 7 --recipient @alice
  atedge backup device.atbackup --passphrase-file /root/passphrase
  ssh pi atedge backup > device.atbackup`

/** `atedge backup`. */
export function addBackupCommand(program: Command, io: Io): void {
  withLocal(program.command('backup'))
    .argument('[to]', 'file, folder, or - for standard output (default)')
    .description('make an encrypted copy of the device, while it runs or not')
    .option('--passphrase-file <file>', 'lock it by the passphrase in the first line of a file; - reads standard input')
    .option('--recipient <atSign>', 'lock it to the public key of an atSign, which alone can open it')
    .option('--recipient-key <file>', 'that key, base64 or PEM, where the atSign cannot be reached')
    .option('--keep <count>', 'in a folder, remove all but so many of the newest backups of this device', parseKeep)
    .option('--plain', 'only the store, as it lies on flash and not encrypted any further')
    .option('--force', 'replace the file')
    .addHelpText('after', help)
    .action((to: string | undefined, options: BackupOptions) => backup(to, options, io))
}
