import { randomUUID } from 'node:crypto'
import { type Access, permitsExchange } from '../core/access.ts'
import { parseAtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { parseUtc, wireTime } from '../core/clock.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Metadata, MetadataChange } from '../core/metadata.ts'
import type { Notification } from '../core/notification.ts'
import { lineBreak } from '../core/one-line.ts'
import type { StoredRecord } from '../core/record.ts'
import type { Session } from '../core/session.ts'
import type { Waiting } from '../core/storage.ts'
import type { Part, ValueType } from '../wire/grammar.ts'
import { blockListKey, parseBlockList } from './block-list.ts'
import type { Ports } from './verb.ts'

// What `notify`, `notify:multi` and `notify:all` have in common.

/**
 * What a client may ask for as the id of a notification. Those given here are UUIDs; others choose theirs. A reply repeats
 * it, so nothing in it may end a line.
 */
export const notificationId = /^[^\p{Cc}\u2028\u2029]{1,64}$/u

/** What is notified: a key with its value, or a text. */
export interface Body {
  /** Name and namespace as sent, or the text of a text notification; its letter case is kept. */
  readonly name: string
  readonly owner: AtSign | undefined
  readonly value: string | undefined
}

/** What a line says besides recipient and body. */
export interface Message {
  readonly id?: string
  readonly operation?: Notification['operation']
  readonly messageType?: Notification['messageType']
  readonly priority?: Notification['priority']
  readonly strategy?: Notification['strategy']
  readonly latestN?: number
  readonly notifier?: string
  readonly ttln?: number
  readonly eAtn?: number
  readonly eph?: true
  readonly metadata: MetadataChange
}

/** `name@owner:value`; the owner and the value may be left out. */
function readKeyBody(body: string): Body {
  const owner = /@[^:\s]*/.exec(body)
  const split = body.indexOf(':', owner === null ? 0 : owner.index + owner[0].length)
  const end = split === -1 ? body.length : split
  if (owner !== null && owner.index + owner[0].length !== end) {
    throw invalidSyntax(`unexpected text behind the owner ${owner[0].slice(0, 32)}`)
  }
  const name = body.slice(0, owner?.index ?? end)
  if (name.length === 0) throw invalidSyntax('the name of the notified key is missing')
  if (end === body.length - 1) throw invalidSyntax('the value behind the key is empty')
  return {
    name,
    owner: owner === null ? undefined : parseAtSign(owner[0]),
    value: end === body.length ? undefined : body.slice(end + 1),
  }
}

/** The key with its value, or the text that a text notification is, whatever that holds. @throws AtError AT0003 */
export function readBody(body: string, messageType: unknown): Body {
  if (lineBreak.test(body)) throw invalidSyntax('the notification holds a line break')
  if (body.length === 0) throw invalidSyntax('the name of the notified key is missing')
  return messageType === 'text' ? { name: body, owner: undefined, value: undefined } : readKeyBody(body)
}

/** The text that `readBody` reads. */
export const writeBody = ({ name, owner, value }: Body): string =>
  `${name}${owner ?? ''}${value === undefined ? '' : `:${value}`}`

/** `:@a,@b:` and the body; an atSign that is named twice, in whatever spelling, counts once. */
export const manyRecipients: Part<{ to: AtSign[]; body: Body }> = {
  read(cursor, out) {
    const rest = cursor.text.slice(cursor.at)
    const head = /^:(@[^:\s]*):/.exec(rest)
    if (head?.[1] === undefined)
      throw invalidSyntax(`expected recipients such as :@bob,@carol: at "${rest.slice(0, 32)}"`)
    const named = head[1].split(',')
    if (named.length > limits.recipients) throw invalidSyntax(`more than ${limits.recipients} recipients`)
    const bare = named.find((name) => !name.startsWith('@'))
    if (bare !== undefined) throw invalidSyntax(`recipient "${bare.slice(0, 32)}" must begin with @`)
    out['to'] = [...new Set(named.map(parseAtSign))]
    out['body'] = readBody(rest.slice(head[0].length), out['messageType'])
    cursor.at = cursor.text.length
  },
  write: ({ to, body }) => `:${to.join(',')}:${writeBody(body)}`,
}

/** Value of `eAtn`. */
export const expiryTime: ValueType<number> = {
  parse(text) {
    const ms = parseUtc(text)
    if (ms === undefined) throw invalidSyntax('eAtn takes a UTC time such as 2026-10-04T10:50:00.000Z')
    return ms
  },
  format: wireTime,
}

/** Refuses combinations that say two things at once, or would make the recipient store something (page 07, 15). */
export function checkMessage(message: Message): void {
  const { eAtn, ttln, eph, operation, metadata, strategy, notifier } = message
  if (eAtn !== undefined && ttln !== undefined) throw invalidSyntax('eAtn and ttln cannot both be given')
  if (eph && operation === 'delete') throw invalidSyntax('eph does not take delete')
  if (eph && metadata.ttr !== undefined) throw invalidSyntax('eph does not take ttr')
  if (eph && metadata.ccd !== undefined) throw invalidSyntax('eph does not take ccd')
  if (strategy === 'latest' && notifier === undefined) {
    throw invalidSyntax('For Strategy latest, notifier cannot be null')
  }
}

/** A text without the atSign of its sender, which the grammar of the reference allows behind it (page 04, section 4). */
function withoutSender(text: string, sender: AtSign): string {
  const end = text.length - sender.length
  return end > 0 && text.endsWith(sender) && text[end - 1] !== ' ' ? text.slice(0, end) : text
}

/** Full key as stored and delivered: lower-case is for records, notifications keep the sender's spelling. */
function fullKey({ name, owner }: Body, messageType: Message['messageType'], to: AtSign, sender: AtSign): string {
  return messageType === 'text' ? `${to}:${withoutSender(name, sender)}` : `${to}:${name}${owner ?? sender}`
}

/** Never delivered by plain `notify` (page 07, section 15). */
export const undelivered = ['isBinary', 'encoding', 'sharedKeyStatus', 'dataSignature'] as const

/** How asserted times are called once they are facts. */
const times = new Map([
  ['cAt', 'createdAt'],
  ['uAt', 'updatedAt'],
  ['eAt', 'expiresAt'],
  ['aAt', 'availableAt'],
])

const leftOut: ReadonlySet<string> = new Set(undelivered)

/** The metadata a notification carries: absolute times for asserted ones, never what `notify` does not deliver. */
function carried(change: MetadataChange): Metadata {
  const mayBeKept = change.ttr !== undefined && change.ttr !== 0
  const metadata: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(change)) {
    if (leftOut.has(name) || (!mayBeKept && (name === 'ttr' || name === 'ccd'))) continue
    metadata[times.get(name) ?? name] = value
  }
  if (mayBeKept) metadata['ccd'] ??= false
  return metadata
}

/** Keys count as encrypted unless the line says otherwise, texts only when it says so (page 04, section 4). */
const encryptedByDefault = ({ metadata, messageType }: Message): boolean =>
  metadata.isEncrypted ?? messageType !== 'text'

/** An expiry that was asked for, within what a notification of that kind may live (page 07, section 15). */
function expiryOf({ eAtn, ttln, eph }: Message, now: number, usualMs: number): number {
  const longest = now + (eph ? limits.ephemeralMs : limits.notificationMaxMs)
  return Math.min(eAtn ?? now + (ttln || usualMs), longest)
}

/** @throws AtError AT0016 for a key whose copy would be too long at the recipient (page 07, 4.1) */
function checkKeyLength(key: string): void {
  const copied = key.length + 'cached:'.length
  if (copied > limits.cachedKeyLength) {
    throw new AtError('AT0016', `notification key length ${copied} is greater than 255 chars`)
  }
}

/** @throws AtError AT0016 for a key that is too long or is none */
export function makeNotification(
  message: Message,
  body: Body,
  { from, to, type }: Pick<Notification, 'from' | 'to' | 'type'>,
  ports: Ports,
): Notification {
  const now = ports.clock.now()
  const { messageType = 'key' } = message
  const key = fullKey(body, messageType, to, from)
  if (messageType !== 'text') {
    checkKeyLength(key)
    parseAtKey(key)
  }
  return {
    id: message.id ?? randomUUID(),
    from,
    to,
    key,
    value: messageType === 'text' ? null : (body.value ?? null),
    operation: message.operation ?? 'update',
    messageType,
    type,
    priority: message.priority ?? 'low',
    strategy: message.strategy ?? 'all',
    latestN: message.latestN ?? 1,
    notifier: message.notifier ?? 'SYSTEM',
    at: now,
    expiresAt: expiryOf(message, now, ports.notificationMs),
    status: type === 'sent' ? 'queued' : 'delivered',
    isEncrypted: encryptedByDefault(message),
    metadata: carried(message.metadata),
    ...(message.eAtn === undefined ? {} : { explicitExpiry: true }),
    ...(message.eph ? { ephemeral: true } : {}),
  }
}

/** A new message of the owner for one recipient. @throws AtError AT0009 when it may not go there, AT0016 */
function addressed(message: Message, body: Body, to: AtSign, blocked: boolean, ports: Ports): Notification {
  const { self } = ports
  const { messageType = 'key' } = message
  const { owner = self } = body
  const refusal = permitsExchange({ direction: 'out', self, peer: to, recipient: to, owner, messageType, blocked })
  if (refusal !== undefined) throw refusal
  return makeNotification(message, body, { from: self, to, type: to === self ? 'received' : 'sent' }, ports)
}

/** What is sent to oneself is at once received; what is for others waits. */
const announce = ({ feed, outgoing, self }: Ports, notification: Notification, waiting?: Waiting): void =>
  notification.to === self ? feed.received(notification) : outgoing.wake(notification.to, waiting)

const isLive = ({ expiresAt }: Notification, ports: Ports): boolean => expiresAt > ports.clock.now()

/** Of a change that only takes its place among the others. */
export const inMemory = { inMemory: true } as const

/**
 * Notifications that no store ever sees. One to oneself takes its place among the stored ones all the same: a monitor
 * resumes from the time of the latest that it was shown, so none of an earlier time may come later.
 */
async function sendInMemory(message: Message, body: Body, to: readonly AtSign[], ports: Ports): Promise<string[]> {
  const { records, ephemeral, self } = ports
  const make = (list: StoredRecord | undefined): Notification[] => {
    const blocked = parseBlockList(list?.value)
    const made = to.map((one) => addressed(message, body, one, blocked.includes(one), ports))
    for (const notification of made) ephemeral.checkSize(notification)
    return made
  }
  const hold = (made: readonly Notification[]): void => {
    const live = made.filter((one) => isLive(one, ports))
    for (const notification of live) ephemeral.put(notification)
    for (const notification of live) announce(ports, notification)
  }
  const list = blockListKey(self).text
  let made: Notification[] = []
  if (to.includes(self)) {
    await ports.write((tx) => {
      made = make(tx.record(list))
      tx.onCommit(() => hold(made))
    }, inMemory)
  } else {
    made = make(await records.get(list))
    hold(made)
  }
  return made.map(({ id }) => id)
}

/** Everything is judged within the change, so that commands under way at one time keep their order. */
const sendStored = (message: Message, body: Body, to: readonly AtSign[], ports: Ports): Promise<string[]> =>
  ports.write((tx) => {
    const blocked = parseBlockList(tx.record(blockListKey(ports.self).text)?.value)
    const notifications = to.map((one) => addressed(message, body, one, blocked.includes(one), ports))
    for (const notification of notifications.filter((one) => isLive(one, ports))) {
      let waiting: Waiting | undefined
      if (notification.to === ports.self) tx.putNotification(notification)
      else waiting = tx.enqueue(notification)
      tx.onCommit(() => announce(ports, notification, waiting))
    }
    return notifications.map(({ id }) => id)
  })

/**
 * Sends a message of the owner to each recipient, or to none when one of them is refused. One that has expired already
 * is accepted, and nothing is stored or sent (page 07, section 15).
 * @returns the ids, in the order of the recipients
 * @throws AtError AT0006 when the outbox of a recipient is full, AT0009, AT0016
 */
export function sendMessage(message: Message, body: Body, to: readonly AtSign[], ports: Ports): Promise<string[]> {
  checkMessage(message)
  return (message.eph ? sendInMemory : sendStored)(message, body, to, ports)
}

/** An enrollment needs write access to the notified key's namespace; a text has none (page 08, 7.1). */
export function accessToNotify(
  message: Message,
  { name, owner }: Body,
  to: string | undefined,
  session: Session,
  self: AtSign,
): readonly Access[] {
  if (session.identity.kind !== 'owner') return []
  const target = to === undefined ? '' : `${to}:`
  const key = `${target}${message.messageType === 'text' ? 'text' : name}${owner ?? self}`
  checkKeyLength(key)
  return [{ op: 'write', key: parseAtKey(key), verb: 'notify' }]
}
