import { parse } from 'yaml'
import { nearest } from './nearest.ts'

/** One setting that the environment or a flag gives; it wins over the file. */
export interface Override {
  readonly path: readonly string[]
  readonly value: unknown
  /** Where it was given, for messages: `ATEDGE_LISTEN_PORT` or `flag listen.port`. */
  readonly from: string
}

/** A tree of defaults: what can be set, and of which type it is. */
export type Tree = { readonly [key: string]: unknown }

/** Variables of the process that configure something else than a setting: the path of the file itself. */
const otherVariables: ReadonlySet<string> = new Set(['ATEDGE_CONFIG'])

const isBranch = (value: unknown): value is Tree =>
  typeof value === 'object' && value !== null && !Array.isArray(value) && Object.keys(value).length > 0

/** Every setting below a tree of defaults, with its path and its default. */
export function settingsOf(tree: Tree, path: readonly string[] = []): { path: readonly string[]; standard: unknown }[] {
  return Object.entries(tree).flatMap(([key, value]) =>
    isBranch(value) ? settingsOf(value, [...path, key]) : [{ path: [...path, key], standard: value }],
  )
}

// Numbers, booleans, lists and maps are recognised by their default; a text that does not fit stays as it is for the
// schema to refuse in its own words.
function read(text: string, standard: unknown): unknown {
  if (typeof standard === 'number') return /^\d{1,15}$/.test(text) ? Number(text) : text
  if (typeof standard === 'boolean') return text === 'true' ? true : text === 'false' ? false : text
  if (typeof standard !== 'object') return text
  try {
    return parse(text)
  } catch {
    return text
  }
}

/** `listen.port` is `ATEDGE_LISTEN_PORT`, `dataDir` is `ATEDGE_DATA_DIR`. */
export const variableOf = (path: readonly string[]): string =>
  `ATEDGE_${path.map((key) => key.replaceAll(/([A-Z])/g, '_$1').toUpperCase()).join('_')}`

/**
 * Settings that the variables `ATEDGE_…` give. Empty ones count as not given.
 * Lists and maps are written as YAML or JSON: `ATEDGE_BRIDGE_RULES='[{"topic":…}]'`.
 * @returns the overrides, and a sentence for each variable that is no setting
 */
export function fromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  tree: Tree,
): { overrides: Override[]; problems: string[] } {
  const known = new Map(settingsOf(tree).map((setting) => [variableOf(setting.path), setting]))
  const overrides: Override[] = []
  const problems: string[] = []
  for (const [name, text] of Object.entries(env)) {
    if (!name.startsWith('ATEDGE_') || otherVariables.has(name) || text === undefined || text === '') continue
    const setting = known.get(name)
    if (setting !== undefined) overrides.push({ path: setting.path, value: read(text, setting.standard), from: name })
    else problems.push(`${name}: is not a known variable${hint(name, [...known.keys()])}`)
  }
  return { overrides, problems }
}

/** Settings that flags of the command line give, by their path: `{ 'listen.port': 6465, dataDir: './data' }`. */
export function fromFlags(
  flags: Readonly<Record<string, unknown>>,
  tree: Tree,
): { overrides: Override[]; problems: string[] } {
  const known = new Map(settingsOf(tree).map((setting) => [setting.path.join('.'), setting]))
  const overrides: Override[] = []
  const problems: string[] = []
  for (const [name, given] of Object.entries(flags)) {
    if (given === undefined) continue
    const setting = known.get(name)
    const value = typeof given === 'string' ? read(given, setting?.standard) : given
    if (setting !== undefined) overrides.push({ path: setting.path, value, from: `flag ${name}` })
    else problems.push(`flag ${name}: is not a known setting${hint(name, [...known.keys()])}`)
  }
  return { overrides, problems }
}

function hint(name: string, known: readonly string[]): string {
  const guess = nearest(name, known)
  return guess === undefined ? '' : `; did you mean ${guess}?`
}
