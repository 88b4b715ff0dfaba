import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import * as v from 'valibot'
import { bareName } from '../core/at-sign.ts'
import { fromEnvironment, fromFlags, type Override } from './env.ts'
import { impossible } from './impossible.ts'
import { type Config, defaults, type Finding, filePaths, settings, standardDataDir } from './schema.ts'
import { readSource, type Source } from './source.ts'

export type { Config, Finding } from './schema.ts'

/** A configuration that cannot be used. The message has one line a problem, each with place, key path and sentence. */
export class ConfigError extends Error {
  readonly problems: readonly string[]

  constructor(problems: readonly string[]) {
    super(problems.join('\n'))
    this.name = 'ConfigError'
    this.problems = problems
  }
}

/** A further judge of a whole configuration, such as the compiler of the bridge's rules. */
export type Check = (config: Config) => readonly Finding[]

/** Where a configuration comes from: the later wins. */
export interface Origins {
  /** Path of the YAML file; none for a configuration by environment and flags alone. */
  readonly file?: string | undefined
  /** Environment variables, those of the process by default. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Settings by path: `{ 'listen.port': 6465 }`. Undefined ones count as not given. */
  readonly flags?: Readonly<Record<string, unknown>>
  readonly check?: Check
}

/**
 * Loads a configuration: defaults < file < environment < flags. Relative paths start at the file's folder when the file
 * gives them, else at the working directory.
 * @throws ConfigError with every problem found
 */
export async function loadConfig({ file, env = process.env, flags = {}, check }: Origins): Promise<Config> {
  const tree = defaults(hostname())
  const given = fromEnvironment(env, tree)
  const asked = fromFlags(flags, tree)
  const text = file === undefined ? '' : await readText(file)
  const overrides = [...given.overrides, ...asked.overrides]
  const problems = [...given.problems, ...asked.problems]
  return assemble({ text, file, overrides, problems, check, underSystemd: env['JOURNAL_STREAM'] !== undefined })
}

/**
 * Reads a configuration from the text of a file alone; `fileName` is for messages and relative paths.
 * @throws ConfigError with every problem found
 */
export const parseConfig = (text: string, fileName: string, check?: Check): Config =>
  assemble({ text, file: fileName, overrides: [], problems: [], check, underSystemd: false })

async function readText(file: string): Promise<string> {
  try {
    return await readFile(file, 'utf8')
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? String(cause.code) : String(cause)
    throw new ConfigError([`${file}: cannot be read (${code}); expected a YAML file`])
  }
}

interface Parts {
  readonly text: string
  readonly file: string | undefined
  readonly overrides: readonly Override[]
  readonly problems: readonly string[]
  readonly check: Check | undefined
  readonly underSystemd: boolean
}

function assemble({ text, file, overrides, problems, check, underSystemd }: Parts): Config {
  const source = readSource(text)
  if ('message' in source) throw new ConfigError([`${file}:${source.line}: ${source.message}`, ...problems])
  const word = describe(source, file, overrides)

  const folder = file === undefined ? process.cwd() : dirname(resolve(file))
  const written = withAbsolutePaths(source.data ?? {}, folder)
  const overlaid = overrides.reduce((tree, { path, value }) => {
    return withValue(tree, path, filePaths.includes(path.join('.')) ? absolute(value, process.cwd()) : value)
  }, written)

  const result = v.safeParse(settings, merge(defaults(hostname()), overlaid))
  const found: Finding[] = result.success ? impossible(result.output) : result.issues.map(toFinding)
  const sentences = [...problems, ...found.map(word)]
  if (sentences.length > 0 || !result.success) throw new ConfigError(sentences)

  const config = complete(result.output, underSystemd)
  const objections = check?.(config) ?? []
  if (objections.length > 0) throw new ConfigError(objections.map(word))
  return config
}

function complete(given: v.InferOutput<typeof settings>, underSystemd: boolean): Config {
  const { atSign, dataDir, bridge } = given
  const keys = bridge.keys ?? join(dataDir, 'keys', `@${bareName(atSign)}_key.atKeys`)
  const path = given.control.path ?? controlPath(dataDir)
  return { ...given, bridge: { ...bridge, keys }, control: { path }, underSystemd }
}

const runtimeFolder = '/run/atedge'

/** The system's own device has its socket where systemd makes a folder for it; every other one beside its data. */
const controlPath = (dataDir: string): string =>
  dataDir === standardDataDir && existsSync(runtimeFolder)
    ? join(runtimeFolder, 'control.sock')
    : join(dataDir, 'control', 'control.sock')

const toFinding = (issue: v.BaseIssue<unknown>): Finding => ({
  path: (issue.path ?? []).map(({ key }) => (typeof key === 'number' ? key : String(key))),
  message: issue.message,
})

const describe =
  (source: Source, file: string | undefined, overrides: readonly Override[]) =>
  ({ path, message }: Finding): string => {
    const origin = overrides.findLast((given) => given.path.every((key, i) => key === path[i]))
    const place = origin?.from ?? (file === undefined ? 'configuration' : `${file}:${source.lineOf(path)}`)
    return [place, ...(path.length === 0 ? [] : [pathText(path)]), message].join(': ')
  }

const pathText = (path: readonly (string | number)[]): string =>
  path.reduce<string>((text, key) => {
    if (typeof key === 'number') return `${text}[${key}]`
    if (!/^\w+$/.test(key)) return `${text}['${key.slice(0, 64)}']`
    return text === '' ? key : `${text}.${key}`
  }, '')

type Plain = Record<string, unknown>

const isPlain = (value: unknown): value is Plain => typeof value === 'object' && value !== null && !Array.isArray(value)

/** Lays `over` on `base`; a key without value (`bridge:`) counts as not written. */
function merge(base: unknown, over: unknown): unknown {
  if (over === undefined || over === null) return isPlain(base) ? merge(base, {}) : base
  if (!isPlain(base) || !isPlain(over)) return over
  const keys = [...new Set([...Object.keys(base), ...Object.keys(over)])]
  const pairs = keys.map((key) => [key, merge(own(base, key), own(over, key))] as const)
  // From entries, so that a key called __proto__ is a key like any other and is refused as unknown.
  return Object.fromEntries(pairs.filter(([key, value]) => value !== undefined || isUnknown(base, over, key)))
}

const isUnknown = (base: Plain, over: Plain, key: string): boolean =>
  Object.hasOwn(over, key) && !Object.hasOwn(base, key)

const own = (tree: Plain, key: string): unknown => (Object.hasOwn(tree, key) ? tree[key] : undefined)

function withValue(tree: unknown, path: readonly string[], value: unknown): unknown {
  const [key, ...rest] = path
  if (key === undefined) return value
  const plain = isPlain(tree) ? tree : {}
  return { ...plain, [key]: withValue(own(plain, key), rest, value) }
}

const absolute = (value: unknown, folder: string): unknown =>
  typeof value === 'string' && value !== '' ? resolve(folder, value) : value

const withAbsolutePaths = (tree: unknown, folder: string): unknown =>
  filePaths.reduce((result, path) => {
    const keys = path.split('.')
    const value = keys.reduce<unknown>((at, key) => (isPlain(at) ? own(at, key) : undefined), result)
    return typeof value === 'string' ? withValue(result, keys, absolute(value, folder)) : result
  }, tree)
