// Builds what is shipped: `dist/atedge.mjs` (the program) and `dist/index.mjs` (the library), with all of their dependencies
// inside or in parts beside them (`dist/atedge-*.mjs`), and the binaries. Run by `npm run build`.
import { chmodSync, existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { parseArgs } from 'node:util'
import { build, type Metafile, type Plugin } from 'esbuild'
import { binariesBesideBundle, copyBinaries } from './binaries.ts'

/** DESIGN section 10. */
const maxBytes = 1_500_000
const root = resolve(import.meta.dirname, '..')

/** What CommonJS dependencies expect to find around them. */
const commonJsNames = [
  "import{createRequire as nodeCreateRequire}from'node:module';",
  'const require=nodeCreateRequire(import.meta.url),__filename=import.meta.filename,__dirname=import.meta.dirname;',
].join('')

/**
 * Parts of dependencies that the program never reaches, as folder, files and the reason why nobody misses them.
 * Each becomes an empty module: the bundle is read at every start, from a memory card.
 */
const leftOut: readonly (readonly [folder: string, files: string, reason: string])[] = [
  [
    'node-forge/lib',
    'aesCipherSuites|ed25519|kem|pbe|pkcs12|pkcs7|pkcs7asn1|rc2|ssh|tls',
    'certificates are issued, no more',
  ],
  [
    'systeminformation/lib',
    'audio|bluetooth|bluetoothVendors|docker|dockerSocket|graphics',
    'a board has none to watch',
  ],
  ['systeminformation/lib', 'printer|usb|virtualbox', 'a board has none to watch'],
  ['mqtt/build/lib/connect', 'socks', 'an MQTT broker is on the same network'],
  ['worker-timers/build/es5', 'bundle', 'timers for browsers'],
]
const leftOutFiles = new RegExp(
  leftOut
    .map(([folder, files]) => `node_modules/${folder}/(?:${files})\\.js$`)
    .join('|')
    .replaceAll('/', '[\\\\/]'),
)

/**
 * Empties what `leftOut` lists, and gives `readable-stream`, a copy of Node's streams, its original back. `debug`, with which
 * the parser of MQTT tells of each packet a dozen times, tells nobody.
 */
const lean: Plugin = {
  name: 'lean',
  setup({ onLoad, onResolve }) {
    onLoad({ filter: leftOutFiles }, () => ({ contents: '', loader: 'js' }))
    onLoad({ filter: /node_modules[\\/]debug[\\/]src[\\/]index\.js$/ }, () => ({
      contents: 'module.exports = () => () => {}',
      loader: 'js',
    }))
    onResolve({ filter: /^readable-stream$/ }, () => ({ path: 'node:stream', external: true }))
  },
}

/** What is imported while the program runs lies in parts of its own, which a start need not read. */
async function bundle(entry: string, name: string, dist: string): Promise<Metafile> {
  const { metafile } = await build({
    entryPoints: [{ in: entry, out: name }],
    outdir: dist,
    outExtension: { '.js': '.mjs' },
    chunkNames: `${name}-[hash]`,
    splitting: true,
    banner: { js: commonJsNames },
    bundle: true,
    minify: true,
    metafile: true,
    legalComments: 'none',
    platform: 'node',
    target: 'node20.19',
    format: 'esm',
    plugins: [binariesBesideBundle, lean],
    logLevel: 'warning',
  })
  return metafile
}

/** `node_modules/mqtt/build/x.js` belongs to `mqtt`, `src/core/x.ts` to `src/core`. */
function ownerOf(input: string): string {
  const inner = input.split('node_modules/').at(-1) ?? input
  const depth = input.includes('node_modules/') && !inner.startsWith('@') ? 1 : 2
  return inner.split('/').slice(0, depth).join('/')
}

function largestInputs(metafile: Metafile, count: number): string {
  const bytes = new Map<string, number>()
  for (const output of Object.values(metafile.outputs)) {
    for (const [input, { bytesInOutput }] of Object.entries(output.inputs)) {
      const owner = ownerOf(input)
      bytes.set(owner, (bytes.get(owner) ?? 0) + bytesInOutput)
    }
  }
  const largest = [...bytes].sort((a, b) => b[1] - a[1]).slice(0, count)
  return largest.map(([owner, size]) => `${owner} ${Math.round(size / 1000)}`).join(', ')
}

/** Licence texts of everything inside the bundle, as those licences ask for. */
function writeNotices(metafile: Metafile, file: string): void {
  const folders = new Set<string>()
  for (const input of Object.keys(metafile.inputs)) {
    const folder = /^.*node_modules\/(?:@[^/]+\/)?[^/]+/.exec(input)?.[0]
    if (folder !== undefined) folders.add(folder)
  }
  const notices = [...folders].sort().map((folder) => {
    const { name, version, license } = JSON.parse(readFileSync(join(root, folder, 'package.json'), 'utf8'))
    const text = readdirSync(join(root, folder)).find((entry) => /^(licen[cs]e|copying)/i.test(entry))
    const terms = text === undefined ? `Licence: ${license}` : readFileSync(join(root, folder, text), 'utf8').trim()
    return `${name} ${version}\n\n${terms}\n`
  })
  writeFileSync(file, notices.join(`\n${'-'.repeat(78)}\n\n`))
}

const { values } = parseArgs({
  options: { main: { type: 'string', default: join(root, 'src/main.ts') }, dist: { type: 'string', default: 'dist' } },
})
const dist = resolve(root, values.dist)
rmSync(dist, { recursive: true, force: true })

const program = join(dist, 'atedge.mjs')
const metafile = await bundle(values.main, 'atedge', dist)
writeFileSync(program, `#!/usr/bin/env node\n${readFileSync(program, 'utf8')}`)
chmodSync(program, 0o755)
const library = join(root, 'src/index.ts')
if (existsSync(library)) await bundle(library, 'index', dist)

writeNotices(metafile, join(dist, 'THIRD-PARTY-LICENSES.txt'))

const { platform, arch } = process
for (const target of new Set(['linux-x64', 'linux-arm64', `${platform}-${arch}`])) {
  const [system = '', processor = ''] = target.split('-')
  copyBinaries(root, system, processor, dist)
}

const size = readdirSync(dist)
  .filter((name) => /^atedge.*\.mjs$/.test(name))
  .reduce((sum, name) => sum + statSync(join(dist, name)).size, 0)
console.log(`dist/atedge*.mjs: ${size.toLocaleString('en')} bytes of ${maxBytes.toLocaleString('en')}`)
console.log(`largest, in kB: ${largestInputs(metafile, 10)}`)
if (size > maxBytes) {
  console.error('The bundle is over its budget (DESIGN section 10).')
  process.exitCode = 1
}
