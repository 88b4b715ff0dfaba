import { type Metadata, metadataView } from '../core/metadata.ts'

/** Which part of a record a lookup asks for; undefined is the value alone. */
export type View = 'meta' | 'all' | undefined

/** `{"key","data","metaData"}` in this order; `data` is left out when the record has no value (page 03, section 6). */
export const recordObject = (key: string, value: string | null, metadata: Metadata): Record<string, unknown> =>
  value === null ? { key, metaData: metadataView(metadata) } : { key, data: value, metaData: metadataView(metadata) }

/** The text behind `data:` for a record; null prints as the literal `null`. */
export function viewText(view: View, key: string, value: string | null, metadata: Metadata): string | null {
  if (view === undefined) return value
  return JSON.stringify(view === 'meta' ? metadataView(metadata) : recordObject(key, value, metadata))
}
