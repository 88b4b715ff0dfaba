import { permitsNotification } from '../core/access.ts'
import { bareName } from '../core/at-sign.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Notification, notificationView } from '../core/notification.ts'
import { jsonLine } from '../core/one-line.ts'
import type { Session } from '../core/session.ts'
import { inTurns } from '../core/turns.ts'
import { type Part, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { defineVerb, type Ports } from './verb.ts'

interface Range {
  readonly from?: string
  readonly to?: string
  readonly pattern?: string
}

/** `[:date[:date]][:regex]`; the specification's blank in front of the regex is read as well (page 04, section 8). */
const range: Part<Range> = {
  read(cursor, out) {
    const match = /^(?::(\d{4}-\d{1,2}-\d{1,2}))?(?::(\d{4}-\d{1,2}-\d{1,2}))?(?:[: ](.+))?$/s.exec(
      cursor.text.slice(cursor.at),
    )
    if (match === null) throw invalidSyntax(`unexpected "${cursor.text.slice(cursor.at, cursor.at + 32)}"`)
    for (const [index, name] of ['from', 'to', 'pattern'].entries()) {
      if (match[index + 1] !== undefined) out[name] = match[index + 1]
    }
    cursor.at = cursor.text.length
  },
  write({ from, to, pattern }) {
    const days = [from, to].map((day) => (day === undefined ? '' : `:${day}`)).join('')
    if (pattern === undefined) return days
    // Behind a colon, a regex that begins like a day would be one.
    return `${days}${/^\d{4}-/.test(pattern) ? ' ' : ':'}${pattern}`
  },
}

const dayMs = 86_400_000

/** Start of a day in UTC. @throws AtError AT0022 for one that no calendar has */
function dayOf(text: string): number {
  const [year = 0, month = 0, day = 0] = text.split('-').map(Number)
  const start = Date.UTC(year, month - 1, day)
  const read = new Date(start)
  if (read.getUTCMonth() !== month - 1 || read.getUTCDate() !== day) throw new AtError('AT0022', 'Invalid date format')
  return start
}

/** First and last millisecond that are asked for. @throws AtError AT0022 */
function periodOf(p: Range): { first: number; last: number } {
  const first = p.from === undefined ? 0 : dayOf(p.from)
  const last = p.to === undefined ? Number.POSITIVE_INFINITY : dayOf(p.to) + dayMs - 1
  if (last < first) throw new AtError('AT0022', 'ToDate cannot be less than FromDate')
  return { first, last }
}

/** The owner sees what arrived and it may read, a peer what waits for it or was sent to it. */
function isListed(notification: Notification, { identity }: Session): boolean {
  if (identity.kind === 'peer') return notification.type === 'sent' && notification.to === identity.atSign
  if (notification.type !== 'received') return false
  return permitsNotification(identity, 'read', notification, 'list notify') === undefined
}

export const notifyList = defineVerb({
  name: 'notify:list',
  summary: 'List the notifications that arrived and have not expired, by time.',
  grammar: seq(range),
  admits: ['owner', 'peer'],
  async run(p, ports: Ports, { session, signal }) {
    const { first, last } = periodOf(p)
    const matches = p.pattern === undefined ? () => true : ports.pattern(p.pattern)
    const now = ports.clock.now()
    const found: string[] = []
    let bytes = 0
    for await (const notification of inTurns(ports.notifications.since(first - 1), ports.clock, signal)) {
      if (notification.at > last) break
      if (notification.expiresAt <= now || !isListed(notification, session)) continue
      if (!matches(notification.key) && !matches(bareName(notification.from))) continue
      const text = jsonLine(notificationView(notification))
      bytes += Buffer.byteLength(text)
      // The reply must stay one that clients can read; the rest is found by date.
      if (bytes > limits.pageBytes && found.length > 0) break
      found.push(text)
    }
    return data(`[${found.join(',')}]`)
  },
  examples: [
    'notify:list',
    'notify:list:phone',
    'notify:list:2026-01-31',
    'notify:list:2026-01-31:2026-02-01:^@alice:phone',
    'notify:list .wavi',
  ],
})
