import type { AtSign } from '../core/at-sign.ts'
import type { Notification } from '../core/notification.ts'
import type { Holding, HoldingKind } from '../core/storage.ts'
import type { Database, Operation } from './database.ts'
import { bytesOfRecord, originOfCopy } from './holdings.ts'
import { expiryKey, holdingKey, type NotificationState, notificationKey, notificationRef, tables } from './layout.ts'
import { stateOf } from './notifications.ts'
import { seal, unseal } from './seal.ts'

// Format 1 knew notifications by their id alone. Here each gets its own name, and what is held of others is counted.

/** Rows changed in one batch. */
const portion = 256

const table = {
  states: tables.notificationStates.prefix,
  bodies: tables.notifications.prefix,
  outbox: tables.outbox.prefix,
  expiry: tables.expiry.prefix,
  holdings: tables.holdings.prefix,
} as const

const put = (key: string, row: unknown): Operation => ({ key, value: seal(key, JSON.stringify(row)) })
const remove = (key: string): Operation => ({ key, value: undefined })

/** Undefined for a row that is missing or damaged: it could not be served before either. */
function open<Row>(key: string, stored: Uint8Array | undefined): Row | undefined {
  const json = stored === undefined ? undefined : unseal(key, stored)
  return json === undefined ? undefined : (JSON.parse(json) as Row)
}

/** What becomes of the notification that format 1 has under an id. */
function renamed(database: Database, id: string, stored: Uint8Array): Operation[] {
  const state = open<NotificationState>(table.states + id, stored)
  const gone = [remove(table.states + id)]
  if (state === undefined) return gone
  gone.push(
    remove(table.bodies + notificationKey(state.at, id)),
    remove(table.expiry + expiryKey(state.expiresAt, 'n', id)),
  )
  const bodyKey = table.bodies + notificationKey(state.at, id)
  const body = open<Notification>(bodyKey, database.get(bodyKey))
  if (body === undefined) return state.outbox === undefined ? gone : [...gone, remove(table.outbox + state.outbox)]
  const ref = notificationRef(body)
  return [
    ...gone,
    put(table.bodies + notificationKey(state.at, ref), body),
    put(table.states + ref, { ...stateOf(body), ...state }),
    put(table.expiry + expiryKey(state.expiresAt, 'n', ref), 0),
    ...(state.outbox === undefined ? [] : [put(table.outbox + state.outbox, ref)]),
  ]
}

async function rename(database: Database): Promise<void> {
  let operations: Operation[] = []
  for await (const [key, stored] of database.scan({ prefix: table.states })) {
    const id = key.slice(table.states.length)
    if (id.includes('/')) continue
    operations.push(...renamed(database, id, stored))
    if (operations.length < portion) continue
    await database.batch(operations, false)
    operations = []
  }
  await database.batch(operations, true)
}

async function countHoldings(database: Database): Promise<void> {
  const found = new Map<string, Holding>()
  const add = (kind: HoldingKind, of: AtSign, more: number): void => {
    const { count, bytes } = found.get(holdingKey(kind, of)) ?? { count: 0, bytes: 0 }
    found.set(holdingKey(kind, of), { count: count + 1, bytes: bytes + more })
  }
  for await (const [key, stored] of database.scan({ prefix: table.states })) {
    const state = open<NotificationState>(key, stored)
    if (state?.sender !== undefined) add('notifications', state.sender, state.bytes ?? 0)
  }
  const { prefix } = tables.records
  for await (const [full, stored] of database.scan({ prefix: `${prefix}cached:@` })) {
    const key = full.slice(prefix.length)
    const origin = originOfCopy(key)
    const row = open<unknown>(full, stored)
    if (origin !== undefined && row !== undefined)
      add('copies', origin, bytesOfRecord(key, tables.records.unpack(row, key)))
  }
  await database.batch(
    [...found].map(([key, holding]) => put(table.holdings + key, holding)),
    true,
  )
}

/** Brings the notifications of format 1 to format 2. Cut off anywhere, it goes on where it was. */
export async function nameNotifications(database: Database): Promise<void> {
  await rename(database)
  await countHoldings(database)
}
