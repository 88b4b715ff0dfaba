import { readFile } from 'node:fs/promises'
import type { Config } from '../config/load.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { systemClock } from '../core/clock.ts'
import {
  type BackupLock,
  fingerprintOf,
  lockByPassphrase,
  lockToAtSign,
  unlockByKeys,
  unlockByPassphrase,
} from '../crypto/backup-lock.ts'
import { defaultKeysPath, readKeysFile } from '../crypto/keys-file.ts'
import { openLink, replyData } from '../wire/link.ts'
import { findTarget } from './connect.ts'
import { ExitError, type Io } from './io.ts'
import { knownPassphrase, newPassphrase } from './passphrase.ts'

/** How the owner wants a backup locked. */
export interface LockOptions {
  readonly config: string
  readonly passphraseFile?: string
  readonly recipient?: string
  readonly recipientKey?: string
}

/** A public key as base64 DER, of a file that holds it so or as PEM. */
async function readPublicKey(path: string): Promise<string> {
  const text = await readFile(path, 'utf8')
  return text.replaceAll(/-----[A-Z ]+-----/g, '').replaceAll(/\s/g, '')
}

/** The public key that an atSign shows to everybody. */
async function lookUpKey(atSign: AtSign, options: LockOptions, io: Io): Promise<string> {
  const target = await findTarget({ config: options.config }, io)
  try {
    const link = openLink(await target.connectTo(atSign), { clock: systemClock })
    try {
      await target.greet(link, atSign)
      return replyData(await link.request(`lookup:publickey${atSign}`))
    } finally {
      link.close()
    }
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(
      `the public key of ${atSign} cannot be had (${reason}): name a file that holds it, --recipient-key`,
      {
        cause,
      },
    )
  } finally {
    target.close()
  }
}

async function lockForRecipient(key: Buffer, name: string, options: LockOptions, io: Io): Promise<BackupLock> {
  const atSign = parseAtSign(name)
  const { recipientKey } = options
  const publicKey =
    recipientKey === undefined ? await lookUpKey(atSign, options, io) : await readPublicKey(recipientKey)
  const lock = lockToAtSign(key, atSign, publicKey)
  io.err(`Locked to ${atSign}, whose key has the fingerprint ${fingerprintOf(publicKey)}\n`)
  return lock
}

/** Locks the key of a new backup as options say, else the configuration, else by a passphrase that is asked for. */
export async function lockOf(key: Buffer, config: Config, options: LockOptions, io: Io): Promise<BackupLock> {
  const { recipient, passphraseFile, recipientKey } = options
  if (recipient !== undefined && passphraseFile !== undefined) {
    throw new ExitError(
      2,
      'a backup is locked to a recipient or by a passphrase: --recipient or --passphrase-file, not both',
    )
  }
  if (recipientKey !== undefined && recipient === undefined) {
    throw new ExitError(2, 'say whose key it is: --recipient @alice beside --recipient-key')
  }
  if (recipient !== undefined) return lockForRecipient(key, recipient, options, io)
  if (passphraseFile !== undefined) return lockByPassphrase(key, await newPassphrase(passphraseFile, io))
  const { backup } = config
  if (backup.recipient !== undefined) return lockForRecipient(key, backup.recipient, options, io)
  return lockByPassphrase(key, await newPassphrase(backup.passphraseFile, io))
}

/** The key of a backup that is there. */
export async function keyOf(
  lock: BackupLock,
  options: { readonly passphraseFile?: string; readonly keys?: string },
  io: Io,
): Promise<Buffer> {
  if (lock.kind === 'passphrase') return unlockByPassphrase(lock, await knownPassphrase(options.passphraseFile, io))
  const path = options.keys ?? defaultKeysPath(io.home, lock.atSign)
  const keys = await readKeysFile(path, lock.atSign).catch((cause: unknown) => {
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new Error(`the backup is locked to ${lock.atSign}; its .atKeys file is needed, -k: ${reason}`, { cause })
  })
  return unlockByKeys(lock, keys)
}
