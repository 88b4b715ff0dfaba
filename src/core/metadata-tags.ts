import { parseUtc, wireTime } from './clock.ts'
import { invalidSyntax, settledSyntax } from './errors.ts'
import { limits } from './limits.ts'
import type { Metadata, MetadataChange } from './metadata.ts'

type TagType = 'count' | 'ttr' | 'bool' | 'time' | 'token' | 'appMetadata'

/** One tag as it stands in commands: `:ttl:60000`. */
export interface Tag {
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
  { name: 'hashingAlgo', type: 'token', aliases: ['algo', 'pubKeyAlgo'], boundToValue: true },
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
  if (!/^(?!-0)-?\d{1,15}$/.test(text))
    throw invalidSyntax(`${tag.name} takes a whole number, not "${text.slice(0, 24)}"`)
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

export type Optional<T> = { readonly [Name in keyof T]?: T[Name] | undefined }

/** Writes `:tag:value` for every member that has a value, in canonical order; the empty string for an empty change. */
export function formatMetadata(change: Optional<MetadataChange>): string {
  let text = ''
  for (const tag of metadataTags) {
    const value = change[tag.name]
    if (value === undefined) continue
    text += `:${tag.name}:${tag.type === 'time' ? wireTime(value as number) : value}`
  }
  return text
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
