import { type AtKey, parseAtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { invalidSyntax } from '../core/errors.ts'
import type { MetadataChange } from '../core/metadata.ts'
import { formatMetadata, metadataTag, parseTagValue } from '../core/metadata-tags.ts'
import { endOfTime, endOfValue, type Part, quote, segment } from './part.ts'

// The parts of a command that are the protocol's own values: metadata, keys, atSigns.

/** Metadata tags in any order, written in the canonical order (page 06, section 2). */
export const metadata: Part<{ metadata: MetadataChange }> = {
  read(cursor, out) {
    out['metadata'] ??= {}
    const change = out['metadata'] as Record<string, unknown>
    for (;;) {
      const found = segment(cursor)
      const tag = found === undefined ? undefined : metadataTag(found.word)
      if (found === undefined || tag === undefined || cursor.text[found.end] !== ':') return
      if (change[tag.name] !== undefined) throw invalidSyntax(`${tag.name} is given twice`)
      const from = found.end + 1
      // A time carries colons of its own: 2026-01-31T10:00:00Z.
      const end = tag.type === 'time' ? endOfTime(cursor.text, from) : endOfValue(cursor.text, from)
      change[tag.name] = parseTagValue(tag, cursor.text.slice(from, end))
      cursor.at = end
    }
  },
  write: (params) => formatMetadata(params.metadata),
}

const keyPrefix = /^(?:cached|public|private|privatekey|local|@[^:\s]*)$/i

/** End of the key that starts at `from`: prefixes, then a name up to the next colon, blank or end. */
function endOfKey(text: string, from: number): number {
  let start = from
  for (;;) {
    const end = endOfValue(text, start)
    if (text[end] !== ':' || !keyPrefix.test(text.slice(start, end))) return end
    start = end + 1
  }
}

function checkOwner(key: AtKey, rule: 'required' | 'optional'): AtKey {
  if (key.owner === undefined && rule === 'required' && key.scope !== 'privatekey') {
    throw invalidSyntax(`key ${quote(key.text)} needs its owner, as in ${key.text.slice(0, 32)}@alice`)
  }
  return key
}

/** A key with its prefixes: `:@bob:phone.wavi@alice`. A word that is neither a parameter nor a prefix is named. */
export function key(rule: 'required' | 'optional' = 'required'): Part<{ key: AtKey }> {
  return {
    read(cursor, out) {
      const { text, at } = cursor
      if (text[at] !== ':')
        throw invalidSyntax(at < text.length ? `unexpected ${quote(text.slice(at))}` : 'key is missing')
      const end = endOfKey(text, at + 1)
      const word = text.slice(at + 1, end)
      if (word.length === 0) throw invalidSyntax('key is missing')
      if (text[end] === ':' && !word.includes('@')) throw invalidSyntax(`unknown parameter ${quote(word)}`)
      out['key'] = checkOwner(parseAtKey(word), rule)
      cursor.at = end
    },
    write: (params) => `:${params.key.text}`,
  }
}

/** An optional `:@atSign`; its `@` is needed, so that it cannot be taken for another part. */
export function optionalAtSign<const N extends string>(name: N): Part<{ [K in N]?: AtSign }> {
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found === undefined || !found.text.startsWith('@')) return
      if (out[name] !== undefined) throw invalidSyntax(`${name} is given twice`)
      out[name] = parseAtSign(found.text)
      cursor.at = found.end
    },
    write: (params) => (params[name] === undefined ? '' : `:${params[name]}`),
  }
}

/** `:@atSign`, with or without its `@`. */
export function atSign<const N extends string>(name: N): Part<{ [K in N]: AtSign }> {
  return {
    read(cursor, out) {
      const found = segment(cursor)
      if (found === undefined || found.text.length === 0) throw invalidSyntax(`${name} is missing, as in :@alice`)
      const { text, end } = found
      if (/\s/.test(text) || text.lastIndexOf('@') > 0) throw invalidSyntax(`${quote(text)} is not an atSign`)
      out[name] = parseAtSign(text)
      cursor.at = end
    },
    write: (params) => `:${params[name]}`,
  }
}
