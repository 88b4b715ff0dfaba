import { replyTime } from './clock.ts'
import type { Metadata } from './metadata.ts'

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
