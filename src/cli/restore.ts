import { createReadStream } from 'node:fs'
import { access, mkdir, rename, stat } from 'node:fs/promises'
import { dirname, join, resolve } from 'node:path'
import type { Command } from 'commander'
import { parseDocument } from 'yaml'
import { type AtSign } from '../core/at-sign.ts'
import { type ByteReader, createByteReader } from '../core/byte-reader.ts'
import { systemClock } from '../core/clock.ts'
import { backupMagic, openBackup } from '../crypto/backup-stream.ts'
import { BackupError } from '../crypto/backup-lock.ts'
import { writeFileAtomically } from '../crypto/private-file.ts'
import { type DeviceFiles, readContent } from '../provision/backup-content.ts'
import { restoreDevice, restoreStore } from '../provision/restore.ts'
import { StoreRefusal } from '../store/refusal.ts'
import { readSnapshot } from '../store/snapshot-format.ts'
import { keyOf } from './backup-lock.ts'
import { readConfig } from './config.ts'
import { ExitError, type Io, print } from './io.ts'
import { standardConfig } from './local.ts'
import { createProgressBar, type ProgressBar } from './progress.ts'

interface RestoreOptions {
  readonly config: string
  readonly data?: string
  readonly passphraseFile?: string
  readonly keys?: string
  readonly force?: boolean
  readonly check?: boolean
  readonly json?: boolean
}

/** Exit statuses of their own, for scripts that look after many devices. */
const exitStatus = { wrongKey: 3, unusable: 4 }
