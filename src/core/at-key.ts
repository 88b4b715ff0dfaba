import { type AtSign, parseAtSign } from './at-sign.ts'
import { AtError } from './errors.ts'
import { limits } from './limits.ts'

/** What stands in front of a key's name, besides a recipient. */
export type Scope = 'public' | 'private' | 'privatekey' | 'local'

/** Namespace of what an atServer tells its own clients: all of them read it, none writes it (page 07, section 8). */
export const atServerNamespace = '__atserver'

/** Classes of keys (page 03, 1.4), judged on the whole key. */
export type KeyKind =
  | 'public'
  | 'private'
  | 'privatekey'
  | 'shared'
  | 'self'
  | 'cachedPublic'
  | 'cachedShared'
  | 'local'
  | 'reserved'

/** A parsed atKey. `text` is its canonical, lower-case stored form, built from the other members. */
export interface AtKey {
  readonly text: string
  readonly cached: boolean
  readonly scope: Scope | undefined
  /** Recipient; undefined for public and plain self keys. */
  readonly sharedWith: AtSign | undefined
  /** Name and namespace, lower case: `temperature.kitchen.sensors`. */
  readonly entity: string
  /** Undefined only for `privatekey:` names and reserved names without owner. */
  readonly owner: AtSign | undefined
}

const invisible = '\\u2000-\\u200c\\u200e\\u200f\\u2028-\\u202f\\u205f-\\u206f\\u3000'
const emoji = '\\u00a9\\u00ae\\u2000-\\u3300\\ufe00-\\ufe0f\\u{1f000}-\\u{1fbff}'
const entityShape = new RegExp(`^(?![^]*[${invisible}])[a-z0-9_.\\-'*"${emoji}]+$`, 'u')
const scopes: ReadonlySet<string> = new Set(['public', 'private', 'privatekey', 'local'])

const privateKeyNames: ReadonlySet<string> = new Set([
  'at_pkam_publickey',
  'at_pkam_privatekey',
  'privatekey',
  'self_encryption_key',
  'at_secret',
  'at_secret_deleted',
  'signing_keypair_generated',
])

const invalidKey = (text: string, reason: string): AtError =>
  new AtError('AT0016', `${reason} in key ${text.slice(0, 64)}`)

const tooLong = (length: number, longest: number): AtError =>
  new AtError('AT0016', `key length ${length} is greater than max allowed ${longest} chars`)

/** Dots in atSigns do not count; beyond this many characters a key is refused unread. */
const longestSpelling = 4 * limits.cachedKeyLength

/** Builds a key from its members; the members must already be normalised. */
export function makeAtKey(parts: {
  entity: string
  owner?: AtSign | undefined
  scope?: Scope | undefined
  sharedWith?: AtSign | undefined
  cached?: boolean
}): AtKey {
  const { entity, owner, scope, sharedWith, cached = false } = parts
  const text =
    (cached ? 'cached:' : '') +
    (scope === undefined ? '' : `${scope}:`) +
    (sharedWith === undefined ? '' : `${sharedWith}:`) +
    entity +
    (owner ?? '')
  return { text, cached, scope, sharedWith, entity, owner }
}

/**
 * Parses and normalises a key such as `@bob:phone.wavi@alice`, `public:city@alice` or `cached:public:publickey@bob`.
 * @throws AtError AT0016 for a name outside the grammar of page 03, 1.1, AT0011 for a bad atSign inside it
 */
export function parseAtKey(text: string): AtKey {
  if (text.length > longestSpelling) throw tooLong(text.length, limits.keyLength)
  let rest = text
  let cached = false
  let scope: Scope | undefined
  let sharedWith: AtSign | undefined
  for (let colon = rest.indexOf(':'); colon !== -1; colon = rest.indexOf(':')) {
    const word = rest.slice(0, colon)
    const folded = word.toLowerCase()
    if (word.startsWith('@') && sharedWith === undefined && scope !== 'public') sharedWith = parseAtSign(word)
    else if (folded === 'cached' && !cached && scope === undefined && sharedWith === undefined) cached = true
    else if (scopes.has(folded) && scope === undefined && sharedWith === undefined) scope = folded as Scope
    else throw invalidKey(text, `unknown prefix "${word.slice(0, 32)}"`)
    rest = rest.slice(colon + 1)
  }
  const at = rest.lastIndexOf('@')
  const entity = (at === -1 ? rest : rest.slice(0, at)).toLowerCase()
  const owner = at === -1 ? undefined : parseAtSign(rest.slice(at))
  if (entity.length === 0) throw invalidKey(text, 'empty name')
  if (!entityShape.test(entity)) throw invalidKey(text, 'characters that a name may not have')
  const key = makeAtKey({ entity, owner, scope, sharedWith, cached })
  const longest = cached ? limits.cachedKeyLength : limits.keyLength
  if (key.text.length > longest) throw tooLong(key.text.length, longest)
  return key
}

const reservedOwned = (key: AtKey): boolean => {
  const { entity, scope, sharedWith } = key
  if (scope === 'public') return entity === 'publickey' || entity === 'signing_publickey'
  if (key.cached) return false
  if (scope === 'private') return sharedWith === undefined && entity === 'blocklist'
  if (scope !== undefined) return false
  if (sharedWith !== undefined) return entity === 'shared_key' || entity === 'signing_privatekey'
  return /^shared_key\.[^.]+$/.test(entity)
}

/**
 * The class of a key. Reserved names are matched on the whole key, not on a part of it as the reference does (page 03, 1.5).
 * @returns undefined for a key that fits no class (no owner, unknown `privatekey:` name)
 */
export function keyKind(key: AtKey): KeyKind | undefined {
  if (key.owner === undefined) {
    if (key.cached || key.sharedWith !== undefined) return undefined
    if (key.scope === 'privatekey') return privateKeyNames.has(key.entity) ? 'privatekey' : undefined
    if (key.scope !== undefined) return undefined
    return key.entity.startsWith('_') || key.entity === 'configkey' ? 'reserved' : undefined
  }
  if (key.scope === 'privatekey') return undefined
  if (reservedOwned(key)) return 'reserved'
  if (key.cached) {
    if (key.scope === 'public') return 'cachedPublic'
    return key.sharedWith !== undefined && key.scope === undefined ? 'cachedShared' : undefined
  }
  if (key.scope !== undefined) return key.scope
  return key.sharedWith !== undefined && key.sharedWith !== key.owner ? 'shared' : 'self'
}

/** Text after the last dot of the name, or undefined for a name without namespace. */
export function namespaceOf(key: AtKey): string | undefined {
  const dot = key.entity.lastIndexOf('.')
  return dot === -1 ? undefined : key.entity.slice(dot + 1)
}

/**
 * Whether changes of this key enter the commit log and so reach other devices of the owner.
 * `public:_x` does not, `public:__x` does (page 03, section 14).
 */
export function isCommitted(key: AtKey): boolean {
  if (key.scope === 'private' || key.scope === 'privatekey' || key.scope === 'local') return false
  return !(key.scope === 'public' && !key.cached && key.entity.startsWith('_') && !key.entity.startsWith('__'))
}

/** The key under which a recipient's server keeps its copy. */
export const cachedForm = (key: AtKey): AtKey => makeAtKey({ ...key, cached: true })
