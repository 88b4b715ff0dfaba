/** Lines without secrets; every other verb keeps only what is listed below. */
const harmless =
  /^(?:@exit|from|to|pol|scan|lookup|llookup|plookup|delete|sync|monitor|stats|info|config|noop|notify:(?:list|status|remove|fetch))(?=[:\s]|$)/i
const secretTags = /:(dataSignature|sharedKeyEnc|appMetadata):[^:\s]*/gi

/** An `update` up to its first blank or, without one, through its owner; the JSON form says nothing before its value. */
const updateHead = /^update:(?!(?:nc:)?json)(?:\S*(?=\s)|[^@\s]*@[^:\s@]*)/i
/** A `notify` through its recipient, or through the owner of a public key; what follows may be a text or a value. */
const notifyHead = /^notify(?::[^:@\s]+)*?:(?:@[^:\s@]*|public:[^:\s@]+@[^:\s@]*)/i

/**
 * A command line that may go into a log: digests, signatures, passcodes, keys and values are cut out, and everything
 * behind a word that is no verb known to be harmless.
 * @param line one command without LF
 */
export function redact(line: string): string {
  if (harmless.test(line)) return line.slice(0, 200)
  const head = (updateHead.exec(line) ?? notifyHead.exec(line))?.[0]
  if (head !== undefined) return `${head.replaceAll(secretTags, ':$1:…').slice(0, 200)} …`
  const verb = /^[a-z]{1,12}(?=[:\s]|$)/i.exec(line)?.[0]
  return verb === undefined ? '…' : `${verb}:…`
}
