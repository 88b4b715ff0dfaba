import { elapsed } from '../core/clock.ts'
import { type Part, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { defineVerb, everyone, type Ports } from './verb.ts'

/** What peers and clients may rely on by name alone (draft of October 2026, page 06, section 3). */
const features = [
  { name: 'notify.eph', status: 'GA', description: 'A notification may live in memory only, for two minutes at most.' },
  { name: 'notify.eAtn', status: 'GA', description: 'A notification may carry its own absolute expiry.' },
  { name: 'notify.multi', status: 'GA', description: 'One value may go to many atSigns with one command.' },
  { name: 'batch.abortOnFailure', status: 'GA', description: 'A batch may end at its first failure.' },
  { name: 'notify.all', status: 'Deprecated', description: 'Use notify:multi, which carries all metadata.' },
]

const units = [
  ['days', 86_400],
  ['hours', 3_600],
  ['minutes', 60],
] as const

/** `1 hours 35 minutes 29 seconds`: leading zero units left out, always plural (page 01, 9.3). */
export function uptimeWords(ms: number): string {
  let seconds = Math.floor(ms / 1000)
  let words = ''
  for (const [unit, length] of units) {
    const count = Math.floor(seconds / length)
    seconds -= count * length
    if (count > 0 || words !== '') words += `${count} ${unit} `
  }
  return `${words}${seconds} seconds`
}

const form: Part<{ form?: 'brief' | 'mtls' | 'mtlsbrief' }> = {
  read(cursor, out) {
    const word = /^:(brief|mtls|mtlsbrief)$/i.exec(cursor.text.slice(cursor.at))?.[1]
    if (word === undefined) return
    out['form'] = word.toLowerCase()
    cursor.at = cursor.text.length
  },
  write: (p) => (p.form === undefined ? '' : `:${p.form}`),
}

const isoTime = (ms: number): string => new Date(ms).toISOString()

function certificateMembers(wanted: 'mtls' | 'mtlsbrief', ports: Ports): Record<string, unknown> {
  const certificate = ports.serverCertificate()
  if (certificate === undefined) return {}
  if (wanted === 'mtls') return { mtls_fullchain: certificate.chain }
  const { chainModified, keyModified } = certificate
  return {
    ...(chainModified === undefined ? {} : { mtls_fullchain_last_modified: isoTime(chainModified) }),
    ...(keyModified === undefined ? {} : { mtls_privkey_last_modified: isoTime(keyModified) }),
  }
}

function members(wanted: 'brief' | 'mtls' | 'mtlsbrief' | undefined, ports: Ports): Record<string, unknown> {
  const uptime = elapsed(ports.clock) - ports.startedAt
  if (wanted === undefined) return { uptimeAsWords: uptimeWords(uptime) }
  if (wanted === 'brief') return { uptimeAsMillis: uptime }
  return certificateMembers(wanted, ports)
}

/** Whether times of this server can be believed; for the owner alone, since it tells how to deceive the device. */
function clockMember({ clock }: Ports): Record<string, unknown> {
  const { floor, ...status } = clock.status()
  return { ...status, floor: isoTime(floor) }
}

export const info = defineVerb({
  name: 'info',
  summary: 'Version, uptime and features of this atServer.',
  grammar: seq(form),
  admits: everyone,
  run: (p, ports, { session }) => {
    const clock = session.identity.kind === 'owner' ? { clock: clockMember(ports) } : {}
    return data(JSON.stringify({ version: ports.version, ...members(p.form, ports), ...clock, features }))
  },
  examples: ['info', 'info:brief', 'info:mtls', 'info:mtlsbrief'],
})
