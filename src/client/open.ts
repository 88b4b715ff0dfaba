import type { AtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import { parseUtc } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { decodeBase2e15 } from '../crypto/base2e15.ts'
import { decryptText } from '../crypto/cipher.ts'
import type { AtKeys } from '../crypto/keys-file.ts'
import type { PairKeys } from './pair-keys.ts'
import type { ReadRecord } from './types.ts'

/** Metadata as servers show it: members of any type, from any version. */
export type ShownMetadata = Record<string, unknown>

/** Turns what the atServer holds into what was written. */
export interface Opener {
  /** @throws AtError AT0011 when the value is encrypted and cannot be opened */
  record(key: AtKey, shown: string, value: string | null, metadata: ShownMetadata): Promise<ReadRecord>
  /** The value of a notification from `sender`. @throws AtError AT0011 */
  received(sender: AtSign, value: string, metadata: ShownMetadata): Promise<string>
}

const textOf = (metadata: ShownMetadata, name: string): string | undefined => {
  const value = metadata[name]
  return typeof value === 'string' && value !== '' && value !== 'null' ? value : undefined
}

const flagOf = (metadata: ShownMetadata, name: string): boolean => metadata[name] === true || metadata[name] === 'true'

const unreadable = (what: string, reason: string): AtError =>
  new AtError('AT0011', `${what} cannot be decrypted: ${reason}`, { closes: false })

/** `appMetadata` is shown as an object or as the base64 text of one (page 08, 16.1). */
function providerOf(metadata: ShownMetadata): string | undefined {
  let shown = metadata['appMetadata']
  if (typeof shown === 'string') {
    try {
      shown = JSON.parse(Buffer.from(shown, 'base64').toString('utf8'))
    } catch {
      return undefined
    }
  }
  const id = typeof shown === 'object' && shown !== null ? (shown as ShownMetadata)['providerId'] : undefined
  return typeof id === 'string' ? id : undefined
}

function checkProvider(what: string, metadata: ShownMetadata): void {
  const provider = providerOf(metadata)
  if (provider === undefined || provider === 'legacy') return
  throw unreadable(what, `it was encrypted by "${provider.slice(0, 80)}", which this client does not have`)
}

/** Ciphertext of every writer: base64 of whole AES blocks. */
const looksEncrypted = (value: string): boolean =>
  value.length >= 24 && /^[A-Za-z0-9+/]+={0,2}$/.test(value) && Buffer.byteLength(value, 'base64') % 16 === 0

/** Tries keys in turn; CTR knows no wrong key, so padding and UTF-8 decide (page 05, 1.4). */
async function openWith(value: string, ivNonce: string | undefined, keys: AsyncIterable<string>): Promise<string> {
  let failure: unknown = new Error('no key was found for it')
  try {
    for await (const key of keys) {
      try {
        return decryptText(value, key, ivNonce)
      } catch (error) {
        failure = error
      }
    }
  } catch (error) {
    // A lost connection says nothing about the record: the caller may ask again.
    if (error instanceof AtError && error.code === 'AT0004') throw error
    failure = error
  }
  throw failure
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error))

async function* only(key: string): AsyncGenerator<string> {
  yield key
}

/** Keys of pairs are wrapped, and public keys are plain: neither is encrypted by AES. */
const isKeyRecord = ({ entity }: AtKey): boolean =>
  entity === 'shared_key' ||
  entity.startsWith('shared_key.') ||
  entity === 'publickey' ||
  entity === 'signing_publickey'

export function createOpener(keys: AtKeys, pairKeys: PairKeys): Opener {
  const self = keys.atSign

  async function* keysFor(key: AtKey, metadata: ShownMetadata): AsyncGenerator<string> {
    const { owner = self, sharedWith, entity } = key
    if (owner !== self) yield* pairKeys.incoming(owner, textOf(metadata, 'sharedKeyEnc'))
    else if (sharedWith === undefined || sharedWith === self || entity.startsWith('_')) yield keys.selfEncryptionKey
    else {
      const updatedAt = textOf(metadata, 'updatedAt')
      const at = updatedAt === undefined ? undefined : parseUtc(updatedAt)
      yield* pairKeys.own(sharedWith, { pubKeyCS: textOf(metadata, 'pubKeyCS'), at })
    }
  }

  /** C and Rust set no flag, so servers show their ciphertext as not encrypted; Dart therefore tries, and so do we. */
  const openRecord = async (key: AtKey, value: string, metadata: ShownMetadata): Promise<string | undefined> => {
    if (key.scope === 'public' || isKeyRecord(key)) return undefined
    const claimed = flagOf(metadata, 'isEncrypted') || textOf(metadata, 'ivNonce') !== undefined
    if (!claimed && !looksEncrypted(value)) return undefined
    if (claimed) checkProvider(key.text, metadata)
    try {
      return await openWith(value, textOf(metadata, 'ivNonce'), keysFor(key, metadata))
    } catch (error) {
      if (error instanceof AtError && error.code === 'AT0004') throw error
      if (claimed) throw unreadable(key.text, reasonOf(error))
      return undefined
    }
  }

  return {
    async record(key, shown, value, metadata) {
      if (value === null) return { key: shown, value, metadata }
      const opened = await openRecord(key, value, metadata)
      const encoded = opened === undefined && textOf(metadata, 'encoding') === 'base64'
      const text = opened ?? (encoded ? Buffer.from(value, 'base64').toString('utf8') : value)
      const binary = flagOf(metadata, 'isBinary')
      return { key: shown, value: text, metadata, ...(binary ? { bytes: decodeBase2e15(text) } : {}) }
    },
    async received(sender, value, metadata) {
      const what = `the notification from ${sender}`
      checkProvider(what, metadata)
      const candidates =
        sender === self ? only(keys.selfEncryptionKey) : pairKeys.incoming(sender, textOf(metadata, 'sharedKeyEnc'))
      try {
        return await openWith(value, textOf(metadata, 'ivNonce'), candidates)
      } catch (error) {
        throw unreadable(what, reasonOf(error))
      }
    },
  }
}
