import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { expect, test } from 'vitest'

/** Who may import whom; what an arrow's target may import is allowed too (DESIGN, section 2). Nothing points back. */
const arrows: Record<string, readonly string[]> = {
  core: [],
  wire: ['core'],
  crypto: ['core'],
  store: ['core'],
  net: ['core'],
  config: ['core'],
  device: ['core'],
  verbs: ['wire', 'crypto'],
  directory: ['wire', 'net'],
  services: ['verbs', 'store', 'directory', 'net'],
  server: ['services'],
  client: ['verbs', 'store', 'directory', 'net'],
  bridge: ['client'],
  provision: ['crypto', 'client'],
  version: [],
  app: ['server', 'client', 'bridge', 'config', 'device', 'provision', 'version'],
  cli: ['app'],
  main: ['cli'],
  index: ['cli'],
}

/** What may be imported from these places alone, however the arrows point. */
const onlyFrom: readonly (readonly [what: RegExp, places: RegExp])[] = [
  [/^net\//, /^(?:net\/|app|client\/|directory\/|services\/peers\.ts|cli\/control\.ts)/],
  [/^crypto\/(?:cipher|keys-file)\.ts$/, /^(?!verbs\/|server\/|services\/|store\/)/],
  [/^(?:node:(?:net|tls|https?|http2)|ws)$/, /^net\//],
  [/^(?:level|classic-level|abstract-level)$/, /^store\//],
  [/^node-forge/, /^provision\//],
  [/^(?:mqtt|aedes)/, /^(?:bridge|device)\//],
  [/^re2js$/, /^core\/pattern\.ts$/],
  [/^koffi$/, /^core\/native\.ts$/],
  [/^(?![a-z]+\/\S+\.ts$)(?!re2js$|koffi$)/, /^(?!core\/)/],
  [/^process\.env$/, /^config\//],
]

const importLine = /^(?:import|export)\s(?:[^'"`;=]*\sfrom\s)?\s*'([^']+)'|\bimport\(\s*'([^']+)'|\b(process\.env)\b/gm
const src = join(import.meta.dirname, '../src')
const sources = readdirSync(src, { recursive: true, encoding: 'utf8' }).filter((name) => name.endsWith('.ts'))
/** The folder of a file; `app.ts` and `app-*.ts` are one. */
const unitOf = (path: string): string => path.replace(/(?:\/.*|\.ts)$/, '').replace(/^app-.*/, 'app')

function reachable(graph: Record<string, readonly string[]>, from: string, seen = new Set<string>()): Set<string> {
  for (const next of graph[from] ?? []) if (!seen.has(next)) reachable(graph, next, seen.add(next))
  return seen
}

/** Every import as the file and what it names: a path under src, or a package. */
const imports = sources.flatMap((file) =>
  [...readFileSync(join(src, file), 'utf8').matchAll(importLine)].map((match) => {
    const named = match[1] ?? match[2] ?? match[3] ?? ''
    return { file, named: named.startsWith('.') ? normalize(join(dirname(file), named)) : named }
  }),
)
const inside = imports.filter(({ named }) => named.endsWith('.ts') && unitOf(named) !== '..')

test('imports point downwards', () => {
  const wrong = inside.flatMap(({ file, named }) => {
    const [from, to] = [unitOf(file), unitOf(named)]
    const allowed = reachable(arrows, from)
    if (from === to || allowed.has(to)) return []
    return `src/${file} imports src/${named}, but ${from} may import only ${[...allowed].join(', ') || 'nothing'}.`
  })
  expect(wrong).toEqual([])
})

test('what has one owner is imported by its owner', () => {
  const wrong = imports.flatMap(({ file, named }) =>
    onlyFrom
      .filter(([what, places]) => what.test(named) && !places.test(file))
      .map(([, places]) => `src/${file} uses ${named}, which is only for files that match ${places.source}.`),
  )
  expect(wrong).toEqual([])
})

test('no folder imports itself through others', () => {
  const graph: Record<string, string[]> = {}
  for (const { file, named } of inside) {
    const [from, to] = [unitOf(file), unitOf(named)]
    if (from !== to) graph[from] = [...(graph[from] ?? []), to]
  }
  expect(Object.keys(graph).filter((unit) => reachable(graph, unit).has(unit))).toEqual([])
})
