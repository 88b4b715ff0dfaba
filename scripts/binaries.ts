import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
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

/**
 * Copies the binaries of one platform, named so that the loader need not search.
 * @param root of the project
 * @throws Error when one of them is missing, or is not what package-lock.json names
 */
export function copyBinaries(root: string, platform: string, arch: string, dist: string): void {
  const folder = join(dist, 'prebuilds', `${platform}-${arch}`)
  mkdirSync(folder, { recursive: true })
  copyLevel(join(root, 'node_modules/classic-level/prebuilds'), platform, arch, folder)
  // Elsewhere LevelDB maps its tables (store/level.ts).
  if (platform === 'linux') copyKoffi(root, arch, folder)
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
function copyKoffi(root: string, arch: string, folder: string): void {
  const name = `@koromix/koffi-linux-${arch}`
  const installed = join(root, 'node_modules', name)
  const source = existsSync(installed) ? installed : unpacked(archiveOf(root, name))
  copyFileSync(join(source, `linux_${arch}/koffi.node`), join(folder, 'koffi.node'))
  copyFileSync(join(source, `musl_${arch}/koffi.node`), join(folder, 'koffi.musl.node'))
  if (source !== installed) rmSync(source, { recursive: true })
}

/** The archive of a package that npm would not install here, as package-lock.json names it. */
function archiveOf(root: string, name: string): string {
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'))
  const { version, integrity } = lock.packages[`node_modules/${name}`]
  const cache = join(root, 'node_modules/.cache')
  const archive = join(cache, `${name.slice(1).replace('/', '-')}-${version}.tgz`)
  const isRight = (): boolean =>
    existsSync(archive) && `sha512-${createHash('sha512').update(readFileSync(archive)).digest('base64')}` === integrity
  if (isRight()) return archive
  mkdirSync(cache, { recursive: true })
  execFileSync('npm', ['pack', '--silent', '--pack-destination', cache, `${name}@${version}`], { stdio: 'ignore' })
  if (!isRight()) throw new Error(`${archive} is not the ${name} that package-lock.json names`)
  return archive
}

/** A new folder with what is in an archive of npm. */
function unpacked(archive: string): string {
  const folder = mkdtempSync(`${archive}-`)
  execFileSync('tar', ['-xzf', archive, '-C', folder, '--strip-components', '1'])
  return folder
}
