import { Command, CommanderError } from 'commander'
import { BackupError } from '../crypto/backup-lock.ts'
import { StoreRefusal } from '../store/refusal.ts'
import { version } from '../version.ts'
import { addBackupCommand } from './backup.ts'
import { addConfigCommand } from './config.ts'
import { addDemoCommand } from './demo.ts'
import { addDeviceCommands } from './device.ts'
import { addDirectoryCommand } from './directory.ts'
import { ExitError, type Io } from './io.ts'
import { addNetworkCommand } from './network.ts'
import { addNotificationCommands } from './notifications.ts'
import { addPkamCommand } from './pkam.ts'
import { addRecordCommands } from './records.ts'
import { addReloadCommand } from './reload.ts'
import { addRestoreCommand } from './restore.ts'
import { addStatusCommand } from './status.ts'
import { addVerbCommand } from './verb.ts'

const usageStatus = 2

/** A store that is not opened, or a snapshot that is not taken, and nothing touched: told from a crash by whoever supervises. */
const refusalStatus = { locked: 10, newer: 11, foreign: 12, 'other-atsign': 13, unreadable: 14, damaged: 15 } as const

const backupStatus = { newer: 11, foreign: 12, damaged: 15, passphrase: 16, key: 16 } as const

/** Subcommands do not inherit these two by themselves. */
function configureAll(command: Command, io: Io): void {
  command.exitOverride().configureOutput({ writeOut: io.out, writeErr: io.err })
  for (const sub of command.commands) configureAll(sub, io)
}

/**
 * Runs one command line.
 * @param args words behind the program's name
 * @returns the exit status: 0 done, 1 failed, 2 wrong usage, 10 to 16 a store, snapshot or backup was refused; `status` has its own
 */
export async function runCli(args: readonly string[], io: Io): Promise<number> {
  const program = new Command('atedge')
    .description('An atServer that lives inside the device.')
    .version(version)
    .showHelpAfterError('(see --help)')
  addDeviceCommands(program, io)
  addBackupCommand(program, io)
  addRestoreCommand(program, io)
  addConfigCommand(program, io)
  addNetworkCommand(program, io)
  addDemoCommand(program, io)
  addRecordCommands(program, io)
  addNotificationCommands(program, io)
  addStatusCommand(program, io)
  addDirectoryCommand(program, io)
  addReloadCommand(program, io)
  addPkamCommand(program, io)
  addVerbCommand(program, io)
  configureAll(program, io)
  try {
    await program.parseAsync([...args], { from: 'user' })
    return 0
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : usageStatus
    io.err(`atedge: ${error instanceof Error ? error.message : String(error)}\n`)
    if (error instanceof StoreRefusal) return refusalStatus[error.reason]
    if (error instanceof BackupError) return backupStatus[error.reason]
    return error instanceof ExitError ? error.status : 1
  }
}
