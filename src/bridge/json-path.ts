import { bounds } from './bounds.ts'

/** Steps from the root of a JSON value: member names and list positions. */
export type JsonPath = readonly (string | number)[]

const step = /\.([A-Za-z_][\w-]*)|\[(\d{1,6})\]|\['([^']*)'\]|\["([^"]*)"\]/y

/**
 * Parses a path such as `$.a.b[0]['x y']`.
 * @returns the path, or a sentence about the part that cannot be understood
 */
export function parseJsonPath(text: string): JsonPath | string {
  if (text.length > bounds.pathLength) return `is longer than ${bounds.pathLength} characters`
  if (!text.startsWith('$')) return `must start with $, as in $.temperature`
  const path: (string | number)[] = []
  const pattern = new RegExp(step)
  for (pattern.lastIndex = 1; pattern.lastIndex < text.length; ) {
    const start = pattern.lastIndex
    const match = pattern.exec(text)
    if (match === null) return `cannot be understood from "${text.slice(start, start + 20)}" on`
    path.push(match[2] === undefined ? (match[1] ?? match[3] ?? match[4] ?? '') : Number(match[2]))
    if (path.length > bounds.pathSteps) return `has more than ${bounds.pathSteps} steps`
  }
  return path
}

/** The value at a path, or undefined when the payload does not have it. */
export function valueAt(root: unknown, path: JsonPath): unknown {
  let value = root
  for (const name of path) {
    if (typeof value !== 'object' || value === null || !Object.hasOwn(value, name)) return undefined
    if (Array.isArray(value) !== (typeof name === 'number')) return undefined
    value = (value as Record<string | number, unknown>)[name]
  }
  return value
}
