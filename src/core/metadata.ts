import type { AtSign } from './at-sign.ts'
import { latestTime } from './clock.ts'
import { metadataTags } from './metadata-tags.ts'

/** Metadata as stored beside a value. Times are milliseconds since the epoch; absent members were never set. */
export interface Metadata {
  readonly createdBy?: AtSign
  readonly updatedBy?: AtSign
  readonly createdAt?: number
  readonly updatedAt?: number
  readonly availableAt?: number
  readonly expiresAt?: number
  readonly refreshAt?: number
  readonly version?: number
  /** Life in milliseconds; 0 means that an earlier life was taken away. */
  readonly ttl?: number
  /** Birth delay in milliseconds. */
  readonly ttb?: number
  /** Seconds for which a recipient may keep a copy, -1 for ever. */
  readonly ttr?: number
  /** Whether the recipient's copy goes when the record goes. */
  readonly ccd?: boolean
  readonly isBinary?: boolean
  readonly isEncrypted?: boolean
  readonly dataSignature?: string
  readonly sharedKeyEnc?: string
  readonly pubKeyCS?: string
  readonly pubKeyHash?: string
  readonly hashingAlgo?: string
  readonly encoding?: string
  readonly encKeyName?: string
  readonly encAlgo?: string
  readonly ivNonce?: string
  readonly skeEncKeyName?: string
  readonly skeEncAlgo?: string
  readonly immutable?: boolean
  /** Base64 of a JSON object that the application owns; the server never looks inside. */
  readonly appMetadata?: string
}

/** What one command says about metadata, by wire tag. A text member `null` asks for removal. */
export interface MetadataChange {
  ttl?: number
  ttb?: number
  ttr?: number
  ccd?: boolean
  cAt?: number
  uAt?: number
  eAt?: number
  aAt?: number
  dataSignature?: string
  sharedKeyStatus?: string
  isBinary?: boolean
  isEncrypted?: boolean
  sharedKeyEnc?: string
  pubKeyCS?: string
  pubKeyHash?: string
  hashingAlgo?: string
  encoding?: string
  encKeyName?: string
  encAlgo?: string
  ivNonce?: string
  skeEncKeyName?: string
  skeEncAlgo?: string
  immutable?: boolean
  appMetadata?: string
}

/** A moment after another, never past the last one that can be written. */
const later = (from: number, ms: number): number => Math.min(from + ms, latestTime)

type Times = Pick<MetadataChange, 'ttl' | 'ttb' | 'cAt' | 'uAt' | 'eAt' | 'aAt'>
type Mutable<T> = { -readonly [K in keyof T]: T[K] }

/** Birth and death of a record after a write at `now` (page 07, section 5). Unmentioned clocks do not move. */
function applyTimes(next: Mutable<Metadata>, change: Times, now: number): void {
  const updatedAt = change.uAt ?? now
  if (change.cAt !== undefined) next.createdAt = change.cAt
  next.updatedAt = updatedAt
  if (change.ttb !== undefined) {
    next.ttb = change.ttb
    next.availableAt = later(now, change.ttb)
  }
  if (change.aAt !== undefined) {
    next.availableAt = change.aAt
    if (change.ttb === undefined) {
      if (change.aAt > updatedAt) next.ttb = change.aAt - updatedAt
      else delete next.ttb
    }
  }
  if (change.ttl !== undefined) {
    next.ttl = change.ttl
    if (change.ttl > 0) next.expiresAt = later(now, (change.ttb ?? 0) + change.ttl)
    else delete next.expiresAt
  }
  if (change.eAt === undefined) return
  next.expiresAt = change.eAt
  if (change.ttl !== undefined) return
  const life = change.eAt - Math.max(updatedAt, change.aAt ?? updatedAt)
  if (life > 0) next.ttl = life
  else delete next.ttl
}

/** Permission to cache, by the table of page 03, 2.2: `ccd` means nothing on a new record without `ttr`. */
function applyCaching(next: Mutable<Metadata>, change: MetadataChange, isNew: boolean, now: number): void {
  const ttr = change.ttr === 0 ? undefined : change.ttr
  if (ttr !== undefined) {
    next.ttr = ttr
    next.ccd = change.ccd ?? next.ccd ?? false
  } else if (change.ccd !== undefined && !isNew) {
    next.ccd = change.ccd
  }
  if (next.ttr === undefined || next.ttr < 0) delete next.refreshAt
  else next.refreshAt = later(now, next.ttr * 1000)
}

const notPlainText = new Set(['sharedKeyStatus', 'pubKeyHash', 'hashingAlgo'])
const textTags = metadataTags.filter((tag) => tag.type === 'token' && !notPlainText.has(tag.name))

function applyTexts(next: Record<string, unknown>, change: MetadataChange, newValue: boolean): void {
  for (const tag of textTags) {
    const value = change[tag.name]
    if (value === 'null' || (value === undefined && newValue && tag.boundToValue)) delete next[tag.name]
    else if (value !== undefined) next[tag.name] = value
  }
}

/** A hash without its algorithm, or the other way round, says nothing and changes nothing (page 07, 4.2). */
function applyKeyHash(next: Mutable<Metadata>, change: MetadataChange, newValue: boolean): void {
  const { pubKeyHash, hashingAlgo } = change
  if (pubKeyHash === 'null' || hashingAlgo === 'null') {
    delete next.pubKeyHash
    delete next.hashingAlgo
  } else if (pubKeyHash !== undefined && hashingAlgo !== undefined) {
    next.pubKeyHash = pubKeyHash
    next.hashingAlgo = hashingAlgo
  } else if (newValue) {
    delete next.pubKeyHash
    delete next.hashingAlgo
  }
}

/**
 * The metadata of a record after a write.
 * @param existing metadata of the live record under that key, undefined for a new one
 * @param change what the command says
 * @param write who writes, when, and whether a new value comes with it
 */
export function mergeMetadata(
  existing: Metadata | undefined,
  change: MetadataChange,
  write: { by: AtSign; now: number; newValue: boolean },
): Metadata {
  // Set one by one: V8 takes several times as long to define what a copy has already.
  const next: Mutable<Metadata> = { ...existing }
  next.createdBy ??= write.by
  next.updatedBy = write.by
  next.createdAt ??= write.now
  next.version = existing === undefined ? 0 : (existing.version ?? 0) + 1
  next.isBinary = change.isBinary ?? existing?.isBinary ?? false
  next.isEncrypted = change.isEncrypted ?? existing?.isEncrypted ?? false
  applyTimes(next, change, write.now)
  applyCaching(next, change, existing === undefined, write.now)
  applyTexts(next as Record<string, unknown>, change, write.newValue)
  applyKeyHash(next, change, write.newValue)
  if (change.immutable !== undefined) next.immutable = change.immutable
  if (change.appMetadata !== undefined) next.appMetadata = change.appMetadata
  return next
}

/** Whether a record is to be served at `now`: born and not expired (expiry itself is still alive, page 03, 2.4). */
export const isLive = (metadata: Metadata, now: number): boolean =>
  (metadata.availableAt === undefined || metadata.availableAt <= now) &&
  (metadata.expiresAt === undefined || metadata.expiresAt >= now)

/** Whether a record is to be served at some times only. */
export const isTimed = ({ availableAt, expiresAt }: Metadata): boolean =>
  availableAt !== undefined || expiresAt !== undefined
