import { type Identity, permits } from './access.ts'
import { type AtKey, parseAtKey } from './at-key.ts'
import { AtError } from './errors.ts'
import type { Pattern } from './pattern.ts'

/** Keys that every device gets, whatever it asked for: without them it can decrypt nothing (page 04, section 2). */
const always = (key: string): boolean =>
  key.startsWith('public:publickey') ||
  (key.startsWith('public:') && !key.includes('.')) ||
  /^@[^:]+:shared_key@|^shared_key\.[^.@]+@/.test(key)

function readKey(text: string): AtKey | undefined {
  try {
    return parseAtKey(text)
  } catch (error) {
    if (error instanceof AtError) return undefined
    throw error
  }
}

/**
 * Whether a change of a key goes to a device by `sync:from`, and so counts for `stats:3` (page 07, section 10): what the
 * session may read and its pattern finds; what lies in `__manage` goes to nobody.
 * @param text key as stored
 */
export function isSynced(text: string, who: Identity, pattern: Pattern | undefined): boolean {
  if (pattern !== undefined && !always(text) && !pattern(text)) return false
  const key = readKey(text)
  if (key === undefined || key.entity === '__manage' || key.entity.endsWith('.__manage')) return false
  return permits(who, { op: 'read', key, verb: 'sync' }) === undefined
}

/** Whether a session without a pattern gets every change, so that nobody has to look for the newest one. */
export const syncsAll = (who: Identity): boolean =>
  who.kind === 'owner' && (who.via === 'cram' || who.namespaces['*'] !== undefined)
