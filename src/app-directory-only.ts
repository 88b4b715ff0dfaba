import type { Duplex } from 'node:stream'
import { type DeviceCertificate, followCertificate } from './app-certificate.ts'
import { type Reloads, reloadAll, startControl } from './app-control.ts'
import { type LocalDirectory, startLocalDirectory } from './app-directory.ts'
import type { Config } from './config/load.ts'
import type { Clock } from './core/clock.ts'
import { createFlooredClock } from './core/clock-floor.ts'
import type { Log } from './core/log.ts'
import { vouchedClock } from './device/clock-trust.ts'
import { dialTls } from './net/dial.ts'
import { clientContext } from './net/tls-context.ts'
import { createTrust } from './net/trust.ts'
import type { ControlCommands } from './server/control.ts'
import { uptimeWords } from './verbs/info.ts'

export interface DirectoryDeviceOptions {
  readonly config: Config
  readonly clock: Clock
  readonly log: Log
  readonly version: string
}

const contextOf = ({ chain, key, ca }: DeviceCertificate) => ({ cert: chain, key, ca })

const dialContext = ({ chain, key, ca }: DeviceCertificate) =>
  clientContext({ cert: chain, key, ...(ca === undefined ? {} : { ca: [ca] }) })

/**
 * Runs an atDirectory alone, with its control socket: one of several over the same Redis, or the one of a site.
 * @throws Error that names the busy port or the unusable file
 */
export async function startDirectoryDevice(
  given: DirectoryDeviceOptions,
): Promise<{ directory: LocalDirectory; close: () => Promise<void> }> {
  const { config, log, version } = given
  const vouched = vouchedClock(given.clock, config.clock)
  const options = { ...given, clock: vouched }
  // There is no store that keeps a floor from run to run: a time before this program, or one still to be set, is not known.
  const clock = createFlooredClock(vouched, undefined)
  const startedAt = clock.now()
  let directory: LocalDirectory | undefined
  let secureContext: ReturnType<typeof dialContext> | undefined
  const certificate = await followCertificate(options, (next) => {
    directory?.setContext(contextOf(next))
    secureContext = dialContext(next)
  })
  const dial = (address: { host: string; port: number }): Promise<Duplex> => {
    secureContext ??= dialContext(certificate.current())
    return dialTls({ ...address, context: secureContext, trust: createTrust(certificate.current().ca), clock })
  }
  try {
    const running = await startLocalDirectory({ ...options, clock, context: contextOf(certificate.current()), dial })
    directory = running
    const reloads: Reloads = { certificates: async () => ({ changed: await certificate.reload() }) }
    const commands: ControlCommands = {
      ...running.commands,
      reload: () => reloadAll(reloads),
      status: async () => {
        const uptimeMs = clock.now() - startedAt
        return { version, uptime: uptimeWords(uptimeMs), uptimeMs, directory: running.status() }
      },
    }
    const stopControl = await startControl({ path: config.control.path, commands, clock, log })
    const close = async (): Promise<void> => {
      await stopControl()
      await running.close()
      certificate.close()
    }
    return { directory: running, close }
  } catch (error) {
    await directory?.close()
    certificate.close()
    throw error
  }
}
