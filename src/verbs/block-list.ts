import { type AtKey, makeAtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import type { Records } from '../core/storage.ts'

/** Where the block list is kept, as the reference keeps it: `{"blockList":["@bob"]}` (page 01, 9.5). */
export const blockListKey = (self: AtSign): AtKey => makeAtKey({ scope: 'private', entity: 'blocklist', owner: self })

/** The text of that key. */
export const blockListText = (self: AtSign): string => `private:blocklist${self}`

/** The block list, and documents, in which any key may be spelled with escapes. */
const blockListOrDocument = /private:blocklist|^(?::nc)?:json:/iu

/**
 * Commands read the block list as it is on flash, so one that may write it is over before the next one starts.
 * @param rest of a line that writes a record, behind the verb's name
 */
export const leavesBlockList = (rest: string): boolean => !blockListOrDocument.test(rest)

/** Released servers store entries as they were typed, so that `@Bob` never matched. */
function normalised(entry: unknown): AtSign[] {
  try {
    return typeof entry === 'string' ? [parseAtSign(entry)] : []
  } catch (error) {
    if (error instanceof AtError) return []
    throw error
  }
}

/** The atSigns in the value of the record; one that is no block list blocks nobody. */
export function parseBlockList(value: string | null | undefined): AtSign[] {
  if (value == null) return []
  try {
    const { blockList } = JSON.parse(value) as { blockList?: unknown }
    return Array.isArray(blockList) ? blockList.flatMap(normalised) : []
  } catch (error) {
    if (error instanceof SyntaxError || error instanceof TypeError) return []
    throw error
  }
}

/** Whether the owner has blocked an atSign. Read from the record each time: it can be written by `update` as well. */
export async function isBlocked(records: Pick<Records, 'get'>, self: AtSign, other: AtSign): Promise<boolean> {
  return parseBlockList((await records.get(blockListKey(self).text))?.value).includes(other)
}
