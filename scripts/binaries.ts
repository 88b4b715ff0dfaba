import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Plugin } from 'esbuild'

// Binaries that lie beside the bundle, in `prebuilds/<platform>-<arch>`: LevelDB, and koffi, which calls functions of C.

/** Load the binaries from beside the bundle instead of searching for them in node_modules. */
export const binariesBesideBundle: Plugin = {
  name: 'binaries-beside-bundle',
  setup({ onLoad }) {
    const instead = (filter: RegExp, name: string, exported: string): void =>
      onLoad({ filter }, () => ({
        loader: 'js',
        contents: `
          const musl = process.platform === 'linux' && require('node:fs').existsSync('/etc/alpine-release')
          const folder = __dirname + '/prebuilds/' + process.platform + '-' + process.arch
          ${exported} require(folder + '/${name}' + (musl ? '.musl.node' : '.node'))`,
      }))
    instead(/[\\/]classic-level[\\/]binding\.js$/, 'classic-level', 'module.exports =')
    instead(/[\\/]koffi[\\/]index\.js$/, 'koffi', 'export default')
  },
}

/** Copies the binaries of one platform, named so that the loader need not search. @param root of the project */
export function copyBinaries(root: string, platform: string, arch: string, dist: string): void {
  const folder = join(dist, 'prebuilds', `${platform}-${arch}`)
  mkdirSync(folder, { recursive: true })
  copyLevel(join(root, 'node_modules/classic-level/prebuilds'), platform, arch, folder)
  try {
    copyKoffi(root, platform, arch, folder)
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause)
    console.error(`Without koffi for ${platform}-${arch} LevelDB maps its tables into memory there: ${reason}`)
  }
}

/** `linux-arm64/classic-level.armv8.node` too. */
function copyLevel(prebuilds: string, platform: string, arch: string, folder: string): void {
  const source = readdirSync(prebuilds).find((name) => {
    const [system, ...processors] = name.split(/[-+]/)
    return system === platform && processors.includes(arch)
  })
  if (source === undefined) throw new Error(`classic-level ships no binary for ${platform}-${arch}`)
  for (const name of readdirSync(join(prebuilds, source))) {
    const plain = name.includes('.musl.') ? 'classic-level.musl.node' : 'classic-level.node'
    copyFileSync(join(prebuilds, source, name), join(folder, plain))
  }
}

/** npm installs koffi's binaries for this machine alone; those for others are fetched once. */
function copyKoffi(root: string, platform: string, arch: string, folder: string): void {
  const name = `@koromix/koffi-${platform}-${arch}`
  const installed = join(root, 'node_modules', name)
  const source = existsSync(installed) ? installed : fetched(root, name)
  copyFileSync(join(source, `${platform}_${arch}/koffi.node`), join(folder, 'koffi.node'))
  const musl = join(source, `musl_${arch}/koffi.node`)
  if (existsSync(musl)) copyFileSync(musl, join(folder, 'koffi.musl.node'))
}

/** The folder of a package that npm would not install here, as package-lock.json names it. */
function fetched(root: string, name: string): string {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const { version, integrity } = lock.packages[`node_modules/${name}`]
  const folder = join(root, 'node_modules/.cache', `${name.replace('/', '-')}-${version}`)
  const unpacked = join(folder, 'package')
  if (existsSync(unpacked)) return unpacked
  mkdirSync(folder, { recursive: true })
  const pack = ['pack', '--silent', '--pack-destination', folder, `${name}@${version}`]
  const archive = join(
    folder,
    execFileSync('npm', pack, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] }).trim(),
  )
  const sum = `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}`
  if (sum !== integrity) throw new Error(`${name} is not what package-lock.json names`)
  execFileSync('tar', ['-xzf', archive, '-C', folder])
  return unpacked
}
