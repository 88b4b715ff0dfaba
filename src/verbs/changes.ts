import { type AtKey, isCommitted, keyKind } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { type MetadataChange, mergeMetadata } from '../core/metadata.ts'
import type { StoredRecord } from '../core/record.ts'
import { whenKnown } from '../core/when-known.ts'
import type { Ports } from './verb.ts'

/** Names that `KeyType` has in the reference's refusals (page 03, 1.6). */
const refusedKinds: Record<string, string> = {
  private: 'privateKey',
  privatekey: 'privateKey',
  cachedPublic: 'cachedPublicKey',
  cachedShared: 'cachedSharedKey',
  local: 'localKey',
}

const signingNames = new Set(['signing_publickey', 'signing_privatekey'])

/**
 * Refuses keys that `update` and `update:meta` may not touch.
 * @throws AtError AT0016 for foreign owners and wrong kinds, AT0009 for the signing key pair
 */
export function checkWritable(key: AtKey, self: AtSign): void {
  if (key.owner !== undefined && key.owner !== self && !key.cached) {
    throw new AtError(
      'AT0016',
      `Invalid update command - sharedBy atsign ${key.owner} should be same as current atsign ${self}`,
    )
  }
  const kind = key.cached ? (key.scope === 'public' ? 'cachedPublic' : 'cachedShared') : keyKind(key)
  const writable = kind === 'self' || kind === 'shared' || kind === 'public' || kind === 'reserved'
  if (!writable || key.owner === undefined) {
    throw new AtError('AT0016', `You may not update keys of type KeyType.${refusedKinds[kind ?? ''] ?? 'invalidKey'}`)
  }
  if (kind === 'reserved' && signingNames.has(key.entity)) {
    throw new AtError('AT0009', `Cannot update protected key: '${key.text}'`)
  }
}

/** The record as a writer sees it: an expired one counts as absent, one not yet born exists (page 07, 4.2). */
export const standing = (stored: StoredRecord | undefined, now: number): StoredRecord | undefined =>
  stored?.metadata.expiresAt !== undefined && stored.metadata.expiresAt < now ? undefined : stored

/**
 * Writes a value (or, with `value` undefined, metadata alone), its commit entry and the notice to the recipient in one
 * atomic change. The recipient and the monitors hear of it after the commit.
 * @returns the commit id, -1 for keys outside the commit log
 * @throws AtError AT0032 for an immutable record
 */
export function writeRecord(
  ports: Ports,
  key: AtKey,
  change: { metadata: MetadataChange; value: string | undefined; nc: boolean },
): Promise<number> {
  const { value, nc } = change
  return ports.write((tx) => {
    const now = ports.clock.now()
    const existing = standing(tx.record(key.text), now)
    if (existing?.metadata.immutable) throw new AtError('AT0032', 'Immutable records may not be updated')
    const metadata = mergeMetadata(existing?.metadata, change.metadata, {
      by: ports.self,
      now,
      newValue: value !== undefined,
    })
    const logged = tx.putRecord(
      key,
      { value: value ?? existing?.value ?? null, metadata },
      {
        operation: value === undefined ? '#' : '*',
        opTime: metadata.updatedAt ?? now,
        commit: !nc && isCommitted(key),
      },
    )
    return whenKnown(logged, (id) => {
      ports.outgoing.autoNotify(tx, key, { operation: 'update', value: value ?? null, metadata, at: now })
      if (id >= 0) tx.onCommit(() => ports.feed.changed(id, 'update'))
      return id
    })
  })
}

/** `priority` words in the order of the protocol. */
export const priorities = ['low', 'medium', 'high'] as const

/** @throws AtError AT0003 when a required owner is missing */
export function requireOwner(key: AtKey): void {
  if (key.owner === undefined && key.scope !== 'privatekey') {
    throw invalidSyntax(`key "${key.text}" needs its owner, as in ${key.text}@alice`)
  }
}
