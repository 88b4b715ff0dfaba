import type { AtSign } from './at-sign.ts'
import { latestTime, parseUtc, replyTime, wireTime } from './clock.ts'
import { invalidSyntax, settledSyntax } from './errors.ts'
import { limits } from './limits.ts'

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

type TagType = 'count' | 'ttr' | 'bool' | 'time' | 'token' | 'appMetadata'

interface Tag {
  readonly name: keyof MetadataChange
  readonly type: TagType
  /** Spellings of released clients that are read and never written. */
  readonly aliases?: readonly string[]
  /** Dropped, not inherited, when a new value arrives without it: it describes the old ciphertext (page 05, 1.5). */
  readonly boundToValue?: true
}

/**
 * Every metadata tag of the wire, in the one order in which it is written (page 06, section 2).
 * Any order is read: released C, Java and Python clients send others (page 03, 2.1).
 */
export const metadataTags: readonly Tag[] = [
  { name: 'ttl', type: 'count' },
  { name: 'ttb', type: 'count' },
  { name: 'ttr', type: 'ttr' },
  { name: 'ccd', type: 'bool' },
  { name: 'cAt', type: 'time' },
  { name: 'uAt', type: 'time' },
  { name: 'eAt', type: 'time' },
  { name: 'aAt', type: 'time' },
  { name: 'dataSignature', type: 'token', boundToValue: true },
  { name: 'sharedKeyStatus', type: 'token' },
  { name: 'isBinary', type: 'bool' },
  { name: 'isEncrypted', type: 'bool' },
  { name: 'sharedKeyEnc', type: 'token', boundToValue: true },
  { name: 'pubKeyCS', type: 'token', boundToValue: true },
  { name: 'pubKeyHash', type: 'token', aliases: ['hash'], boundToValue: true },
  { name: 'hashingAlgo', type: 'token', aliases: ['algo'], boundToValue: true },
  { name: 'encoding', type: 'token', boundToValue: true },
  { name: 'encKeyName', type: 'token', boundToValue: true },
  { name: 'encAlgo', type: 'token', boundToValue: true },
  { name: 'ivNonce', type: 'token', boundToValue: true },
  { name: 'skeEncKeyName', type: 'token', boundToValue: true },
  { name: 'skeEncAlgo', type: 'token', boundToValue: true },
  { name: 'immutable', type: 'bool' },
  { name: 'appMetadata', type: 'appMetadata' },
]

const tagsBySpelling = new Map<string, Tag>(
  metadataTags.flatMap((tag) => [tag.name, ...(tag.aliases ?? [])].map((word) => [word.toLowerCase(), tag] as const)),
)

/** The tag that a wire word names in any letter case, or undefined. */
export const metadataTag = (word: string): Tag | undefined => tagsBySpelling.get(word.toLowerCase())

const limitsOf: Record<string, string> = {
  ttl: 'Valid value for TTL should be greater than or equal to 0',
  ttb: 'Valid value for TTB should be greater than or equal to 0',
  ttr: 'Valid values for TTR are -1 and greater than or equal to 1',
}

function parseNumber(tag: Tag, text: string): number {
  if (!/^-?\d{1,15}$/.test(text)) throw invalidSyntax(`${tag.name} takes a whole number, not "${text.slice(0, 24)}"`)
  const number = Number(text)
  if (number < (tag.type === 'ttr' ? -1 : 0)) throw settledSyntax(limitsOf[tag.name] ?? tag.name)
  return number
}

/** Whether a value holds arrays or objects deeper than `levels`: such a one could be read and never written again. */
const isDeeper = (value: unknown, levels: number): boolean =>
  typeof value === 'object' &&
  value !== null &&
  (levels === 0 || Object.values(value).some((member) => isDeeper(member, levels - 1)))

function checkAppMetadata(text: string): string {
  const bytes = Buffer.from(text, 'base64')
  if (bytes.toString('base64') !== text) throw settledSyntax('invalid appMetadata: not standard base64')
  let parsed: unknown
  try {
    parsed = JSON.parse(bytes.toString('utf8'))
  } catch {
    throw settledSyntax('invalid appMetadata: not JSON')
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed)) {
    throw settledSyntax('invalid appMetadata: not a JSON object')
  }
  if (isDeeper(parsed, limits.appMetadataDepth)) {
    throw settledSyntax(`invalid appMetadata: nested deeper than ${limits.appMetadataDepth} levels`)
  }
  return text
}

/**
 * Reads the value of one tag.
 * @throws AtError AT0003 that names the tag
 */
export function parseTagValue(tag: Tag, text: string): number | boolean | string {
  switch (tag.type) {
    case 'count':
    case 'ttr':
      return parseNumber(tag, text)
    case 'bool': {
      const folded = text.toLowerCase()
      if (folded !== 'true' && folded !== 'false') throw invalidSyntax(`${tag.name} takes true or false`)
      return folded === 'true'
    }
    case 'time': {
      const ms = parseUtc(text)
      if (ms === undefined) throw invalidSyntax(`${tag.name} takes a UTC time such as 2026-01-31T10:00:00Z`)
      return ms
    }
    case 'appMetadata':
      return checkAppMetadata(text)
    case 'token':
      if (text.length === 0 || /[:@\s]/.test(text)) throw invalidSyntax(`${tag.name} takes text without : @ or blanks`)
      return text
  }
}

/** Writes `:tag:value` for every member, in canonical order; the empty string for an empty change. */
export function formatMetadata(change: MetadataChange): string {
  let text = ''
  for (const tag of metadataTags) {
    const value = change[tag.name]
    if (value === undefined) continue
    text += `:${tag.name}:${tag.type === 'time' ? wireTime(value as number) : value}`
  }
  return text
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
  const next: Mutable<Metadata> = {
    ...existing,
    createdBy: existing?.createdBy ?? write.by,
    updatedBy: write.by,
    createdAt: existing?.createdAt ?? write.now,
    version: existing === undefined ? 0 : (existing.version ?? 0) + 1,
    isBinary: change.isBinary ?? existing?.isBinary ?? false,
    isEncrypted: change.isEncrypted ?? existing?.isEncrypted ?? false,
  }
  applyTimes(next, change, write.now)
  applyCaching(next, change, existing === undefined, write.now)
  applyTexts(next as Record<string, unknown>, change, write.newValue)
  applyKeyHash(next, change, write.newValue)
  if (change.immutable !== undefined) next.immutable = change.immutable
  if (change.appMetadata !== undefined) next.appMetadata = change.appMetadata
  return next
}

const timeMembers = new Set(['createdAt', 'updatedAt', 'availableAt', 'expiresAt', 'refreshAt'])
const replyMembers = [
  ...['createdBy', 'updatedBy', 'createdAt', 'updatedAt', 'availableAt', 'expiresAt', 'refreshAt', 'status', 'version'],
  ...['ttl', 'ttb', 'ttr', 'ccd', 'isBinary', 'isEncrypted', 'dataSignature', 'sharedKeyEnc', 'pubKeyCS', 'pubKeyHash'],
  ...['encoding', 'encKeyName', 'encAlgo', 'ivNonce', 'skeEncKeyName', 'skeEncAlgo', 'immutable', 'appMetadata'],
] as const

/**
 * The `metaData` object of `llookup:all` and `llookup:meta`, in the reference's member order.
 * Members that were not set are left out: base Java refuses a null or unknown one (page 05, 2.3).
 */
export function metadataView(metadata: Metadata): Record<string, unknown> {
  const view: Record<string, unknown> = {}
  for (const name of replyMembers) {
    if (name === 'status') {
      view[name] = 'active'
      continue
    }
    const value = metadata[name]
    if (value === undefined) continue
    if (timeMembers.has(name)) view[name] = replyTime(value as number)
    else if (name === 'pubKeyHash') view[name] = { hash: value, hashingAlgo: metadata.hashingAlgo }
    else if (name === 'appMetadata') view[name] = JSON.parse(Buffer.from(value as string, 'base64').toString('utf8'))
    else view[name] = value
  }
  return view
}

/**
 * The `metadata` object of a `sync` entry: the members of `metadataView`, each of them text, because the Dart client
 * parses them (page 04, section 2; page 07, section 10).
 */
export function metadataTexts(metadata: Metadata): Record<string, string> {
  const texts: Record<string, string> = {}
  for (const [name, value] of Object.entries(metadataView(metadata))) {
    if (name === 'appMetadata') texts[name] = metadata.appMetadata ?? ''
    else texts[name] = typeof value === 'object' ? JSON.stringify(value) : String(value)
  }
  return texts
}

/** The tags that a stored record's metadata stands for on the wire, with its four absolute times when asked. */
export function metadataAsChange(metadata: Metadata, withTimes: boolean): MetadataChange {
  const change: Record<string, unknown> = {}
  for (const tag of metadataTags) {
    const value = (metadata as Record<string, unknown>)[tag.name]
    if (value !== undefined) change[tag.name] = value
  }
  if (withTimes) {
    if (metadata.createdAt !== undefined) change['cAt'] = metadata.createdAt
    if (metadata.updatedAt !== undefined) change['uAt'] = metadata.updatedAt
    if (metadata.expiresAt !== undefined) change['eAt'] = metadata.expiresAt
    if (metadata.availableAt !== undefined) change['aAt'] = metadata.availableAt
  }
  return change as MetadataChange
}

/** Whether a record is to be served at `now`: born and not expired (expiry itself is still alive, page 03, 2.4). */
export const isLive = (metadata: Metadata, now: number): boolean =>
  (metadata.availableAt === undefined || metadata.availableAt <= now) &&
  (metadata.expiresAt === undefined || metadata.expiresAt >= now)
