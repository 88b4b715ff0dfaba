import { type AtKey, parseAtKey } from '../core/at-key.ts'
import type { AtSign } from '../core/at-sign.ts'
import { parseUtc } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import type { Metadata } from '../core/metadata.ts'
import { metadataTag, parseTagValue } from '../core/metadata-tags.ts'
import { replyData } from '../wire/link.ts'

type Json = Record<string, unknown>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

const times = ['createdAt', 'updatedAt', 'availableAt', 'expiresAt', 'refreshAt'] as const

/** A member out of a peer's JSON, or undefined when it has not the form of its tag. */
function readMember(tag: NonNullable<ReturnType<typeof metadataTag>>, value: unknown): unknown {
  try {
    const text = tag.type === 'appMetadata' ? Buffer.from(JSON.stringify(value)).toString('base64') : String(value)
    return parseTagValue(tag, text)
  } catch {
    return undefined
  }
}

/** A hash of a key and its algorithm say something together only. */
function readKeyHash(value: unknown): { pubKeyHash?: string; hashingAlgo?: string } {
  if (!isObject(value)) return {}
  const { hash, hashingAlgo = value['algo'] } = value
  return typeof hash === 'string' && typeof hashingAlgo === 'string' ? { pubKeyHash: hash, hashingAlgo } : {}
}

/** Read from other members, or of no meaning in a record. */
const notRead = new Set(['pubKeyHash', 'hashingAlgo', 'sharedKeyStatus'])

/** Metadata out of a peer's JSON: known members of the right form; everything else is left behind. */
function readMetadata(view: unknown, owner: AtSign): Metadata {
  const metadata: Json = { createdBy: owner }
  if (!isObject(view)) return metadata as Metadata
  const { version } = view
  if (Number.isSafeInteger(version) && Number(version) >= 0) metadata['version'] = version
  if (typeof view['updatedBy'] === 'string') metadata['updatedBy'] = owner
  for (const [name, value] of Object.entries(view)) {
    const tag = metadataTag(name)
    if (value === null || tag === undefined || tag.name !== name || tag.type === 'time' || notRead.has(name)) continue
    const read = readMember(tag, value)
    if (read !== undefined) metadata[name] = read
  }
  for (const name of times) {
    const value = view[name]
    const ms = typeof value === 'string' ? parseUtc(value) : undefined
    if (ms !== undefined) metadata[name] = ms
  }
  return { ...metadata, ...readKeyHash(view['pubKeyHash']) } as Metadata
}

function parseKey(value: unknown): AtKey | undefined {
  try {
    return typeof value === 'string' ? parseAtKey(value) : undefined
  } catch {
    return undefined
  }
}

/** A record as its owner's server gives it. */
export interface PeerRecord {
  readonly value: string | null
  readonly metadata: Metadata
}

/**
 * Reads a peer's answer to `lookup:all:`. Owner and recipient of what arrives are checked, so that a peer cannot plant
 * a record of somebody else.
 * @returns undefined when there is no such record
 * @throws AtError AT0008 for anything but the record that was asked for, else the peer's own error
 */
export function readAnswer(line: string, asked: AtKey, owner: AtSign): PeerRecord | undefined {
  let text: string
  try {
    text = replyData(line)
  } catch (error) {
    if (error instanceof AtError && error.code === 'AT0015') return undefined
    throw error
  }
  if (text === 'null') return undefined
  const parsed = parse(text)
  if (!isObject(parsed)) throw new AtError('AT0008', `${owner} sent an answer that is not a record`)
  if (parseKey(parsed['key'])?.text !== asked.text)
    throw new AtError('AT0008', `${owner} answered for another key than ${asked.text}`)
  const value = parsed['data']
  return { value: typeof value === 'string' ? value : null, metadata: readMetadata(parsed['metaData'], owner) }
}

/**
 * Reads a peer's answer to `scan`.
 * @throws AtError AT0008 for anything but a list of keys, else the peer's own error
 */
export function readKeys(line: string, owner: AtSign): readonly string[] {
  const keys = parse(replyData(line))
  const isList = Array.isArray(keys) && keys.every((key): key is string => typeof key === 'string')
  if (!isList) throw new AtError('AT0008', `${owner} sent an answer to scan that is not a JSON array of keys`)
  return keys
}
