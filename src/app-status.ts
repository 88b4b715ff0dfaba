import type { AtServer } from './app.ts'
import type { Clock } from './core/clock.ts'
import { describeCertificate } from './provision/certificate.ts'
import { uptimeWords } from './verbs/info.ts'

/** One part of the status: a plain value, read when it is asked for; undefined leaves it out. */
export type StatusSection = () => unknown

/** Parts of the status by name. */
export type StatusSections = Readonly<Record<string, StatusSection>>

async function readSection(section: StatusSection): Promise<unknown> {
  try {
    return await section()
  } catch (error) {
    // One part that cannot be read must not hide the others.
    return { error: error instanceof Error ? error.message : String(error) }
  }
}

const dayMs = 86_400_000

/**
 * What `atedge status` shows on the device itself, as JSON.
 * @param parts `chain` gives the certificate that is shown now, PEM
 */
export async function readStatus(
  parts: { server: AtServer; version: string; clock: Clock; chain: () => string },
  sections: StatusSections,
): Promise<Readonly<Record<string, unknown>>> {
  const { server, version, clock, chain } = parts
  const { activated, uptimeMs, connections, peerLineBytes, lastCommitId, storeBytes } = await server.status()
  const names = Object.keys(sections)
  const values = await Promise.all(Object.values(sections).map(readSection))
  const read = names.map((name, index) => [name, values[index]] as const).filter(([, value]) => value !== undefined)
  const { notAfter } = describeCertificate(chain())
  return {
    ...{ atSign: server.atSign, activated, version, uptime: uptimeWords(uptimeMs), uptimeMs },
    certificateExpires: new Date(notAfter).toISOString(),
    certificateDaysLeft: Math.floor((notAfter - clock.now()) / dayMs),
    ...{ connections, peerLineBytes, store: { lastCommitId, bytes: storeBytes } },
    ...Object.fromEntries(read),
  }
}
