import { type AtKey, parseAtKey } from '../core/at-key.ts'
import { AtError, settledSyntax } from '../core/errors.ts'
import { isDeepJson } from '../core/json.ts'
import { limits } from '../core/limits.ts'
import type { MetadataChange } from '../core/metadata.ts'
import { metadataTag, parseTagValue, type Tag } from '../core/metadata-tags.ts'
import { lineBreak } from '../core/one-line.ts'

/** What an `update` says, in either spelling. */
export interface UpdateParams {
  readonly nc?: true
  readonly metadata: MetadataChange
  readonly key: AtKey
  readonly value: string
}

const bad = (reason: string): AtError => settledSyntax(`invalid update:json document: ${reason}`)

/** The document, its metadata, and the levels of an `appMetadata` in it. */
const documentDepth = limits.appMetadataDepth + 2

/** JSON names of the four asserted times (page 07, 4.3). */
const timeMembers: Record<string, keyof MetadataChange> = {
  createdAt: 'cAt',
  updatedAt: 'uAt',
  expiresAt: 'eAt',
  availableAt: 'aAt',
}

type Json = Record<string, unknown>
const isObject = (value: unknown): value is Json => typeof value === 'object' && value !== null && !Array.isArray(value)

const textOf = (tag: string, value: unknown): string => {
  if (typeof value === 'object' || typeof value === 'undefined') throw bad(`metadata.${tag} has the wrong type`)
  return String(value)
}

/** @throws AtError AT0003 in the words of the document, unless its own are settled */
function readTag(tag: Tag, text: string): ReturnType<typeof parseTagValue> {
  try {
    return parseTagValue(tag, text)
  } catch (error) {
    throw error instanceof AtError && !error.verbatim ? bad(`metadata.${error.message}`) : error
  }
}

function readMetadata(document: Json): MetadataChange {
  const change: Json = {}
  const set = (name: string, text: string): void => {
    const tag = metadataTag(name)
    // Members that the store derives by itself (version, status, refreshAt) may stand in a document and mean nothing.
    if (tag !== undefined) change[tag.name] = readTag(tag, text)
  }
  for (const name of ['isPublic', 'isBinary', 'isEncrypted']) {
    if (typeof document[name] !== 'boolean') throw bad(`metadata.${name} must be true or false`)
  }
  for (const [name, value] of Object.entries(document)) {
    if (value === null || value === undefined || name === 'isPublic') continue
    const time = Object.hasOwn(timeMembers, name) ? timeMembers[name] : undefined
    if (time !== undefined && !(typeof value === 'string' && value.endsWith('Z'))) {
      throw bad(`${name} must be UTC, as the update grammar requires`)
    }
    if (name === 'pubKeyHash' && isObject(value)) {
      set('pubKeyHash', textOf('pubKeyHash.hash', value['hash']))
      set('hashingAlgo', textOf('pubKeyHash.hashingAlgo', value['hashingAlgo'] ?? value['algo']))
    } else if (name === 'appMetadata' && isObject(value)) set(name, toBase64Json(value))
    else if (metadataTag(time ?? name) !== undefined) set(time ?? name, textOf(name, value))
  }
  return change as MetadataChange
}

const toBase64Json = (value: Json): string => Buffer.from(JSON.stringify(value)).toString('base64')

function readKey(document: Json, isPublic: boolean): AtKey {
  const parts: Json = isObject(document['atKey']) ? document['atKey'] : { ...document, key: document['atKey'] }
  const text = (name: string): string | undefined => {
    const value = parts[name] ?? undefined
    if (value !== undefined && typeof value !== 'string') throw bad(`${name} must be text`)
    return value
  }
  const key = text('key') ?? ''
  const sharedWith = text('sharedWith')
  if (key.length === 0) throw bad('atKey.key not supplied')
  if (isPublic && sharedWith !== undefined) throw bad(`a key cannot be public and shared with ${sharedWith} at once`)
  // The Dart builder puts the whole key into `atKey`; then nothing is added to it.
  if (key.includes('@') || key.includes(':')) return parseAtKey(key)
  const scope = isPublic ? 'public:' : sharedWith === undefined ? '' : `${sharedWith}:`
  const namespace = text('namespace') ?? ''
  return parseAtKey(`${scope}${key}${namespace === '' ? '' : `.${namespace}`}${text('sharedBy') ?? ''}`)
}

/**
 * Reads the document of `update:json:` (page 03, section 5, and page 07, 4.3).
 * @throws AtError AT0003 that names the member at fault
 */
export function readUpdateDocument(text: string, nc: boolean): UpdateParams {
  // What can be read may be too deep to be written again.
  if (isDeepJson(text, documentDepth)) throw bad(`nested deeper than ${documentDepth} levels`)
  let document: unknown
  try {
    document = JSON.parse(text)
  } catch {
    throw bad('not JSON')
  }
  if (!isObject(document)) throw bad('not a JSON object')
  const { metadata, value } = document
  if (!isObject(metadata)) throw bad('metadata must be an object')
  const change = readMetadata(metadata)
  if (typeof value !== 'string' || value.length === 0 || lineBreak.test(value)) {
    throw settledSyntax(
      'invalid value: update:json requires a non-empty, single-line string, as the update grammar does',
    )
  }
  const key = readKey(document, metadata['isPublic'] === true)
  return { ...(nc ? { nc: true as const } : {}), metadata: change, key, value }
}
