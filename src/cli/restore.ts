import { createReadStream } from 'node:fs'
import { stat } from 'node:fs/promises'
import { join, resolve } from 'node:path'
import type { Command } from 'commander'
import type { AtSign } from '../core/at-sign.ts'
import { type ByteReader, createByteReader } from '../core/byte-reader.ts'
import { systemClock } from '../core/clock.ts'
import { backupMagic, openBackup } from '../crypto/backup-stream.ts'
import { readContent } from '../provision/backup-content.ts'
import { type PlacedRestore, restoreDevice, restoreStore } from '../provision/restore.ts'
import { readSnapshot, type SnapshotReading, snapshotMagic } from '../store/snapshot-format.ts'
import { keyOf } from './backup-lock.ts'
import { readConfig } from './config.ts'
import { ExitError, type Io, print } from './io.ts'
import { standardConfig } from './local.ts'
import { createProgressBar, type ProgressBar } from './progress.ts'
import { type ConfigPlan, planConfig } from './restore-config.ts'

interface RestoreOptions {
  readonly config: string
  readonly data?: string
  readonly passphraseFile?: string
  readonly keys?: string
  readonly force?: boolean
  readonly check?: boolean
  readonly json?: boolean
}

/** The bytes of a backup, each chunk shown on the bar; a signal ends them. */
async function* bytesOf(from: string, bar: ProgressBar, io: Io): AsyncGenerator<Uint8Array> {
  const total = from === '-' ? undefined : (await stat(from)).size
  let done = 0
  let isStopped = false
  void io.stopped.then(() => {
    isStopped = true
  })
  for await (const chunk of from === '-' ? io.streams.input : createReadStream(from, { highWaterMark: 262_144 })) {
    if (isStopped) throw new ExitError(1, 'stopped; nothing was restored')
    const bytes = chunk as Uint8Array
    done += bytes.byteLength
    bar.show('restoring', done, total)
    yield bytes
  }
}

interface Report {
  readonly atSign: AtSign
  /** When the snapshot in the backup was taken, by the clock of the device. */
  readonly time: string
  readonly rows: number
  readonly damaged: number
  readonly lastCommitId: number
}

async function check(reading: SnapshotReading): Promise<Report> {
  try {
    for await (const _ of reading.blocks);
    const { atSign, time, lastCommitId } = reading.header
    const { rows = 0, damaged = 0 } = reading.end() ?? {}
    return { atSign, time: new Date(time).toISOString(), rows, damaged, lastCommitId }
  } finally {
    await reading.close()
  }
}

const reportOf = ({ atSign, time, rows, damaged, lastCommitId }: PlacedRestore): Report => ({
  ...{ atSign, time: new Date(time).toISOString(), rows, damaged, lastCommitId },
})

const counted = ({ rows, damaged, time }: Report): string =>
  `${rows} rows of ${time}${damaged === 0 ? '' : `, ${damaged} of them damaged already`}`

const configWords: Readonly<Record<ConfigPlan['outcome'], string>> = {
  written: 'was written',
  replaced: 'was written; the one before has the ending .before-restore',
  kept: 'was there and is kept',
  absent: 'is not in the backup: write one before you start the device',
}

function tell(placed: PlacedRestore, plan: ConfigPlan, options: RestoreOptions, io: Io): void {
  const report = reportOf(placed)
  const { continuesFrom, setAside } = placed
  const path = resolve(options.config)
  const members = { ...report, continuesFrom, dataDir: plan.dataDir, config: { path, outcome: plan.outcome } }
  print(io, options.json, { ...members, ...(setAside === undefined ? {} : { setAside }) }, () =>
    [
      `${report.atSign} is restored to ${plan.dataDir}: ${counted(report)}`,
      `Its next change gets the commit id ${continuesFrom + 1}, far above those of the device that was lost.`,
      `Configuration: ${path} ${configWords[plan.outcome]}`,
      ...(setAside === undefined ? [] : [`What was there before is in ${setAside}: remove it when all is well.`]),
      `Start it with \`atedge serve -c ${path}\`, and never start the lost device again.`,
    ].join('\n'),
  )
}

async function restoreBackup(reader: ByteReader, options: RestoreOptions, bar: ProgressBar, io: Io): Promise<void> {
  const { header, content } = await openBackup(reader)
  const { atSign } = header
  const inside = createByteReader(content(await keyOf(header.lock, options, io)))
  const device = await readContent(inside)
  const force = options.force ?? false
  if (options.check === true)
    return tellChecked(await check(await readSnapshot(inside.rest())), device.files.length, options, io)
  const plan = await planConfig(atSign, device, { path: resolve(options.config), data: options.data, force })
  const target = { folder: plan.dataDir, atSign, force }
  const placed = await restoreDevice(target, { files: device.files, snapshot: inside.rest() })
  await plan.apply()
  bar.end()
  tell(placed, plan, options, io)
}

/** A snapshot alone: the store of a device whose configuration is there. */
async function restoreSnapshotFile(
  reader: ByteReader,
  options: RestoreOptions,
  bar: ProgressBar,
  io: Io,
): Promise<void> {
  if (options.check === true) return tellChecked(await check(await readSnapshot(reader.rest())), 0, options, io)
  const { atSign, dataDir: own } = await readConfig(options.config)
  const dataDir = resolve(options.data ?? own)
  const target = { folder: join(dataDir, 'store'), atSign, force: options.force ?? false }
  const placed = await restoreStore(target, reader.rest())
  bar.end()
  tell(placed, { dataDir, outcome: 'kept', apply: async () => {} }, options, io)
}

function tellChecked(report: Report, files: number, options: RestoreOptions, io: Io): void {
  print(
    io,
    options.json,
    { ...report, files },
    () => `whole and right: ${report.atSign}, ${counted(report)}, ${files} files`,
  )
}

async function restore(from: string, options: RestoreOptions, io: Io): Promise<void> {
  if (from === '-' && (options.passphraseFile === '-' || (options.passphraseFile ?? options.keys) === undefined)) {
    throw new ExitError(2, 'standard input holds the backup: name a file with the passphrase, or the keys')
  }
  const bar = createProgressBar(io, systemClock)
  const reader = createByteReader(bytesOf(from, bar, io))
  try {
    const start = (await reader.peek(Math.max(backupMagic.length, snapshotMagic.length))).toString('latin1')
    if (start.startsWith(snapshotMagic)) await restoreSnapshotFile(reader, options, bar, io)
    else await restoreBackup(reader, options, bar, io)
  } finally {
    bar.end()
    await reader.close()
  }
}

const help = `
Nothing is put in place before the last byte of the backup was verified, and nothing that is there is touched before. An attempt
that was killed leaves nothing that counts; start it again. --force sets a data folder that is not empty aside, and with it a
configuration of another atSign; a configuration of the same atSign is kept. A snapshot of <data folder>/snapshots can be restored
as well: it replaces the store alone.

Commit ids go on a million million above the last one in the backup, so that none of those that the lost device told to apps comes
again with other content. Notifications that waited are sent again with their ids, by which receivers know them, unless they expired.

Exit status: 0 done, 1 failed, 2 wrong usage, 10 the device runs, 11 the backup is of a newer version, 12 it is no backup, 13 it is
of another atSign, 15 it is damaged or cut off, 16 the passphrase or the keys do not fit

Examples:
  atedge restore device.atbackup
  atedge restore device.atbackup --check --passphrase-file /root/passphrase
  ssh nas cat device.atbackup | atedge restore - --keys ~/.atsign/keys/@alice_key.atKeys`

/** `atedge restore`. */
export function addRestoreCommand(program: Command, io: Io): void {
  program
    .command('restore')
    .argument('<backup>', 'file of `atedge backup`, or a snapshot; - reads standard input')
    .description('bring a device back, on this or on new hardware')
    .option('-c, --config <file>', 'configuration; written when it is missing', standardConfig)
    .option('--data <folder>', 'where to put the data (default: as the configuration says, else as in the backup)')
    .option('--passphrase-file <file>', 'the passphrase is in the first line of a file; - reads standard input')
    .option(
      '-k, --keys <file>',
      '.atKeys file of the atSign to which it is locked (default ~/.atsign/keys/<atSign>_key.atKeys)',
    )
    .option('--check', 'only read the backup to its end and tell what it holds')
    .option('--force', 'set aside what is there')
    .option('--json', 'print JSON')
    .addHelpText('after', help)
    .action((from: string, options: RestoreOptions) => restore(from, options, io))
}
