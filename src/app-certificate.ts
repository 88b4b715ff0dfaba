import { createPrivateKey, X509Certificate } from 'node:crypto'
import { mkdir, readFile, realpath, stat } from 'node:fs/promises'
import { hostname } from 'node:os'
import { join } from 'node:path'
import type { Config } from './config/load.ts'
import type { Clock } from './core/clock.ts'
import type { Log } from './core/log.ts'
import { describeCertificate } from './provision/certificate.ts'
import { ensureAuthority, ensureCertificate } from './provision/files.ts'
import { watchFiles } from './provision/watch.ts'

/** What the device shows to others and whom it trusts. PEM texts; times of the files in milliseconds since the epoch. */
export interface DeviceCertificate {
  readonly chain: string
  readonly key: string
  readonly ca: string | undefined
  readonly chainModified: number
  readonly keyModified: number
}

interface CertificatePaths {
  readonly chain: string
  readonly key: string
  readonly ca: string | undefined
}

/** Files that configuration names, or those of the device's own authority. */
function pathsOf({ certificates, dataDir }: Config): CertificatePaths {
  const { chain, key, ca } = certificates
  if (chain !== undefined && key !== undefined) return { chain, key, ca }
  return { chain: join(dataDir, 'fullchain.pem'), key: join(dataDir, 'privkey.pem'), ca: join(dataDir, 'ca.pem') }
}

const isOwn = ({ certificates }: Config): boolean => certificates.chain === undefined || certificates.key === undefined

/** Issues what is missing or has fewer than 30 days left. */
async function issueOwn(config: Config, clock: Clock): Promise<void> {
  await mkdir(config.dataDir, { recursive: true, mode: 0o700 })
  const authority = await ensureAuthority(config.dataDir, `atedge ${config.atSign}`, clock.now())
  const names = [...new Set([config.host, hostname(), 'localhost', '127.0.0.1', '::1'])]
  await ensureCertificate(config.dataDir, authority, names, clock.now())
}

/** @throws Error that names the file which is no certificate, no key, or not the key of the other one */
function check({ chain, key, ca }: DeviceCertificate, paths: CertificatePaths): void {
  const read = <T>(path: string, what: string, parse: () => T): T => {
    try {
      return parse()
    } catch (cause) {
      throw new Error(`${path} holds no ${what}`, { cause })
    }
  }
  const certificate = read(paths.chain, 'certificate', () => new X509Certificate(chain))
  const privateKey = read(paths.key, 'private key', () => createPrivateKey(key))
  if (ca !== undefined) read(paths.ca ?? '', 'certificate', () => new X509Certificate(ca))
  if (!certificate.checkPrivateKey(privateKey)) throw new Error(`${paths.key} is not the key of ${paths.chain}`)
}

/**
 * Reads the files that configuration names, or a certificate of the device's own authority, issued when it is missing and
 * renewed in time.
 * @throws Error that names the file which is missing or unusable
 */
export async function deviceCertificate(config: Config, clock: Clock): Promise<DeviceCertificate> {
  if (isOwn(config)) await issueOwn(config, clock)
  const paths = pathsOf(config)
  const [chain, key, ca, chainStat, keyStat] = await Promise.all([
    readFile(paths.chain, 'utf8'),
    readFile(paths.key, 'utf8'),
    paths.ca === undefined ? undefined : readFile(paths.ca, 'utf8'),
    stat(paths.chain),
    stat(paths.key),
  ])
  const read = { chain, key, ca, chainModified: chainStat.mtimeMs, keyModified: keyStat.mtimeMs }
  check(read, paths)
  return read
}

/** The certificate of a running device, which may be exchanged at any time. */
export interface LiveCertificate {
  current(): DeviceCertificate
  /**
   * Reads the files again and shows what they hold from now on; open connections keep theirs.
   * @returns whether anything changed
   * @throws Error that names the unusable file; what was shown before is still shown
   */
  reload(): Promise<boolean>
  close(): void
}

/** Files on shared disks and behind links change without an event; a certificate of our own is renewed by then. */
const checkEveryMs = 3_600_000
const warnDays = 14
const dayMs = 86_400_000

const isSame = (one: DeviceCertificate, other: DeviceCertificate): boolean =>
  one.chain === other.chain && one.key === other.key && one.ca === other.ca

/**
 * Reads the device's certificate and follows its files.
 * @param apply has the new certificate shown everywhere; called for later ones, not for the first
 * @throws Error as `deviceCertificate`
 */
export async function followCertificate(
  { config, clock, log }: { config: Config; clock: Clock; log: Log },
  apply: (certificate: DeviceCertificate) => void,
): Promise<LiveCertificate> {
  let current = await deviceCertificate(config, clock)
  let turn: Promise<unknown> = Promise.resolve()
  let closed = false

  const daysLeft = (): number => Math.floor((describeCertificate(current.chain).notAfter - clock.now()) / dayMs)

  const load = async (): Promise<boolean> => {
    const next = await deviceCertificate(config, clock)
    if (closed || isSame(next, current)) return false
    apply(next)
    current = next
    log('info', 'another certificate is shown from now on', { daysLeft: daysLeft() })
    return true
  }

  const reload = (): Promise<boolean> => {
    const mine = turn.then(load)
    turn = mine.catch(() => {})
    return mine
  }

  const follow = (): void => {
    reload().catch((error: Error) => {
      if (!closed) log('warn', 'a new certificate cannot be used; the one before stays', { reason: error.message })
    })
  }

  const { chain, key, ca } = pathsOf(config)
  const files = [chain, key, ...(ca === undefined ? [] : [ca])]
  const targets = await Promise.all(files.map((file) => realpath(file)))
  const stopWatching = watchFiles([...new Set([...files, ...targets])], { clock, log, onChange: follow })

  let stopTimer = (): void => {}
  const checkLater = (): void => {
    stopTimer = clock.after(checkEveryMs, () => {
      follow()
      if (daysLeft() < warnDays) log('warn', 'the certificate expires soon', { file: chain, daysLeft: daysLeft() })
      checkLater()
    })
  }
  checkLater()

  return {
    current: () => current,
    reload,
    close() {
      closed = true
      stopTimer()
      stopWatching()
    },
  }
}
