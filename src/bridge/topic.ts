/** A parsed topic filter. */
export interface TopicFilter {
  readonly levels: readonly Level[]
  /** Present when the filter ends in `#` or `#name`; its name is undefined for the anonymous form. */
  readonly tail?: { readonly name: string | undefined }
  /** Names that a match captures. */
  readonly names: readonly string[]
}

type Level =
  | { readonly kind: 'word'; readonly word: string }
  | { readonly kind: 'any'; readonly name: string | undefined }

/** What a match caught: a level by `+name`, the levels of the rest by `#name`. */
export type Captures = ReadonlyMap<string, readonly string[]>

const captureName = /^[A-Za-z][A-Za-z0-9_]{0,31}$/

/**
 * Parses an MQTT topic filter whose wildcards may have names: `zigbee2mqtt/+device/#rest`.
 * @returns the filter, or a sentence about what is wrong with it
 */
export function parseTopicFilter(text: string): TopicFilter | string {
  if (text.length === 0 || text.length > 512 || text.includes('\u0000')) return 'expected 1 to 512 characters'
  const parts = text.split('/')
  const levels: Level[] = []
  const names: string[] = []
  let tail: TopicFilter['tail']
  for (const [i, part] of parts.entries()) {
    const wildcard = part[0] === '+' || part[0] === '#'
    const name = wildcard && part.length > 1 ? part.slice(1) : undefined
    if (name !== undefined && !captureName.test(name)) return `"${part}" is not a wildcard with a name, such as +device`
    if (!wildcard && /[+#]/.test(part)) return `"${part}" mixes text and wildcard; a wildcard takes a whole level`
    if (name !== undefined && names.includes(name)) return `the name ${name} is used twice`
    if (name !== undefined) names.push(name)
    if (part[0] !== '#') levels.push(wildcard ? { kind: 'any', name } : { kind: 'word', word: part })
    else if (i === parts.length - 1) tail = { name }
    else return '# may only be the last level'
  }
  return { levels, names, ...(tail === undefined ? {} : { tail }) }
}

/**
 * Matches a topic, already split at `/`, in one pass over its levels (MQTT 3.1.1, section 4.7).
 * @returns what was caught, or undefined for a topic that the filter does not take
 */
export function matchTopic(filter: TopicFilter, topic: readonly string[]): Captures | undefined {
  const { levels, tail } = filter
  // `a/#` takes `a` too.
  if (tail === undefined ? topic.length !== levels.length : topic.length < levels.length) return undefined
  // A wildcard at the start does not reach the broker's own `$…` topics (4.7.2).
  if (topic[0]?.startsWith('$') && levels[0]?.kind !== 'word') return undefined
  const captures = new Map<string, readonly string[]>()
  for (const [i, level] of levels.entries()) {
    const part = topic[i] ?? ''
    if (level.kind === 'word' && level.word !== part) return undefined
    if (level.kind === 'any' && level.name !== undefined) captures.set(level.name, [part])
  }
  if (tail?.name !== undefined) captures.set(tail.name, topic.slice(levels.length))
  return captures
}
