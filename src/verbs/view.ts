import { AtError } from '../core/errors.ts'
import type { Metadata } from '../core/metadata.ts'
import { metadataView } from '../core/metadata-view.ts'
import { jsonLine, lineBreak } from '../core/one-line.ts'

/** Which part of a record a lookup asks for; undefined is the value alone. */
export type View = 'meta' | 'all' | undefined

/** `{"key","data","metaData"}` in this order; `data` is left out when the record has no value (page 03, section 6). */
export const recordObject = (key: string, value: string | null, metadata: Metadata): Record<string, unknown> =>
  value === null ? { key, metaData: metadataView(metadata) } : { key, data: value, metaData: metadataView(metadata) }

/**
 * The text behind `data:` for a record; null prints as the literal `null`.
 * @throws AtError AT0011 for the bare value of another atSign that holds a line break: whatever stands behind it would
 * be taken for the next reply
 */
export function viewText(view: View, key: string, value: string | null, metadata: Metadata): string | null {
  if (view === undefined) {
    if (value !== null && lineBreak.test(value)) {
      throw new AtError('AT0011', `the value of ${key} holds a line break or NUL; all shows it as JSON`)
    }
    return value
  }
  return jsonLine(view === 'meta' ? metadataView(metadata) : recordObject(key, value, metadata))
}
