import { randomUUID } from 'node:crypto'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import type { LossReport, StoreHealth } from '../core/health.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import type { Notification } from '../core/notification.ts'
import type { Store } from '../core/storage.ts'

const dayMs = 86_400_000
/** The owner hears of new damage this often at most. */
const quietMs = 3_600_000
const longestText = 1_000

const rest = (report: LossReport): number => report.found - report.findings.length

/** What the owner reads: one line, bounded. */
export function lossText({ state, report }: StoreHealth): string {
  if (report === undefined) return `the store is ${state}`
  const named = report.findings.map(
    ({ what, key, commitId }) => `${what} ${key}${commitId === undefined ? '' : ` (commit id ${commitId})`}`,
  )
  const more = rest(report) > 0 ? [`${rest(report)} more`] : []
  const lost = named.length === 0 ? [] : [`Lost or damaged: ${[...named, ...more].join(', ')}`]
  const since =
    report.since === undefined ? [] : [`Changes after ${new Date(report.since).toISOString()} may be missing`]
  const text = ['atedge met damage in its store', ...report.steps, ...lost, ...since].join('. ')
  return text.length <= longestText ? text : `${text.slice(0, longestText)}…; atedge status shows all of it`
}

const toOwner = (self: AtSign, text: string, now: number): Notification => ({
  ...{ id: randomUUID(), from: self, to: self, key: `${self}:${text}`, value: null, operation: 'update' },
  ...{ messageType: 'text', type: 'received', priority: 'high', strategy: 'all', latestN: 1, notifier: 'atedge' },
  ...{ at: now, expiresAt: now + limits.notificationMaxMs, status: 'delivered', isEncrypted: false, metadata: {} },
})

/** What upkeep works on. */
export interface UpkeepOptions {
  readonly self: AtSign
  readonly store: Store
  /** Shows the owner's monitors what was stored for them. */
  readonly received: (notification: Notification) => void
  /** Bytes that the check of everything stored may read in a day; 0 turns it off. */
  readonly scrubPerDay: number
  readonly clock: Clock
  readonly log: Log
}

/** Checks what is stored, a little at a time, and tells the owner what was lost. @returns a function that stops it */
export function startUpkeep({ self, store, received, scrubPerDay, clock, log }: UpkeepOptions): () => void {
  const pause = scrubPerDay > 0 ? Math.ceil((dayMs * limits.scrubBytes) / scrubPerDay) : quietMs
  let quiet = false
  let stopped = false
  let cancel = () => {}

  async function tell(): Promise<void> {
    const health = store.health()
    const news = health.report?.untold ?? 0
    if (quiet || news === 0 || health.readOnly !== undefined) return
    quiet = true
    clock.after(quietMs, () => {
      quiet = false
    })
    const notification = toOwner(self, lossText(health), clock.now())
    await store.write(async (tx) => {
      await tx.putNotification(notification)
      tx.onCommit(() => received(notification))
    })
    await store.ownerTold(news)
  }

  async function round(): Promise<void> {
    try {
      if (scrubPerDay > 0) await store.scrub(limits.scrubBytes)
      await tell()
    } catch (error) {
      if (!stopped) log('error', 'the check of the store failed and is tried again', { error })
    }
    if (!stopped) cancel = clock.after(pause, () => void round())
  }

  void tell().catch((error: unknown) => log('error', 'the owner could not be told of damage', { error }))
  cancel = clock.after(pause, () => void round())
  return () => {
    stopped = true
    cancel()
  }
}
