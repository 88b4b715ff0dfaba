import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, type Node, parseDocument } from 'yaml'

/** A YAML text as plain data that still knows its lines. */
export interface Source {
  readonly data: unknown
  /** Line, counted from 1, of the setting at a path, or of its nearest parent that is written. */
  lineOf(path: readonly (string | number)[]): number
}

const mostCharacters = 1_048_576

/**
 * Reads one YAML document (version 1.2).
 * @returns the source, or the line and a sentence that says what is broken there
 */
export function readSource(text: string): Source | { readonly line: number; readonly message: string } {
  if (text.length > mostCharacters) {
    return { line: 1, message: `expected at most ${mostCharacters} characters, not ${text.length}` }
  }
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const broken = document.errors[0]
  if (broken !== undefined) {
    return {
      line: lines.linePos(broken.pos[0]).line,
      message: `is not YAML: ${broken.message}${quoteHint(broken.message)}`,
    }
  }
  try {
    const data: unknown = document.toJS({ maxAliasCount: 100 })
    return { data, lineOf: (path) => lines.linePos(offsetOf(document, path)).line }
  } catch (cause) {
    return { line: 1, message: `is not YAML: ${cause instanceof Error ? cause.message : String(cause)}` }
  }
}

const quoteHint = (message: string): string =>
  message.includes('reserved character @') ? " (write atSigns in quotes: '@device')" : ''

function offsetOf(document: Document.Parsed, path: readonly (string | number)[]): number {
  let node: Node | null = document.contents
  let offset = node?.range?.[0] ?? 0
  for (const step of path) {
    if (isAlias(node)) node = node.resolve(document) ?? null
    if (isMap(node)) {
      const pair = node.items.find(({ key }) => String(isScalar(key) ? key.value : key) === String(step))
      if (pair === undefined) return offset
      offset = (pair.key as Node | null)?.range?.[0] ?? offset
      node = pair.value as Node | null
    } else if (isSeq(node) && typeof step === 'number') {
      node = (node.items[step] as Node | undefined) ?? null
      offset = node?.range?.[0] ?? offset
    } else return offset
  }
  return offset
}
