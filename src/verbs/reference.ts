import { type Identity, lookupTarget, permits } from '../core/access.ts'
import { type AtKey, makeAtKey, parseAtKey } from '../core/at-key.ts'
import { AtError, keyNotFound } from '../core/errors.ts'
import { isLive } from '../core/metadata.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Ports } from './verb.ts'

const prefix = 'atsign://'
/** Hops of a reference value before it counts as leading nowhere (reference: lookup.depth_of_resolution). */
const mostHops = 3

/** A record that is born and has not expired. */
export async function readLive(ports: Ports, wanted: AtKey): Promise<StoredRecord | undefined> {
  const record = await ports.records.get(wanted.text)
  return record !== undefined && isLive(record.metadata, ports.clock.now()) ? record : undefined
}

/** The key that a reference names. @throws AtError AT0015 when it names none: whoever reads it has made no mistake */
function targetOf(reference: string): AtKey {
  const text = reference.slice(prefix.length)
  try {
    return parseAtKey(text)
  } catch (error) {
    if (error instanceof AtError) throw keyNotFound(text)
    throw error
  }
}

/**
 * Follows `atsign://` values within this server: in the scope of a reader first, then among the public records (page 03,
 * section 9).
 * @returns the value at the end of the way
 * @throws AtError AT0015 for one that leads nowhere, in a circle or elsewhere
 */
export async function followReferences(ports: Ports, reader: Identity, value: string | null): Promise<string | null> {
  let current = value
  for (let hop = 0; current?.startsWith(prefix); hop++) {
    const target = targetOf(current)
    if (hop === mostHops || target.owner !== ports.self) throw keyNotFound(target.text)
    const own = lookupTarget(reader, ports.self, target.entity)
    const open = makeAtKey({ scope: 'public', entity: target.entity, owner: ports.self })
    // An enrollment may write references to whatever it likes; they lead it nowhere that it may not read.
    const mayRead = permits(reader, { op: 'read', key: own, verb: 'lookup' }) === undefined
    const record = (mayRead ? await readLive(ports, own) : undefined) ?? (await readLive(ports, open))
    if (record === undefined) throw keyNotFound(target.text)
    current = record.value
  }
  return current
}
