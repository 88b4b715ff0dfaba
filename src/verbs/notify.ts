import { randomUUID } from 'node:crypto'
import { type Access, permitsExchange } from '../core/access.ts'
import { cachedForm, isCommitted, parseAtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { parseUtc, wireTime } from '../core/clock.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Metadata, type MetadataChange, mergeMetadata, metadataAsChange } from '../core/metadata.ts'
import type { Notification } from '../core/notification.ts'
import type { Session } from '../core/session.ts'
import type { Transaction } from '../core/storage.ts'
import { anyOrder, integer, metadata, oneOf, opt, type Part, param, seq, timeParam, token } from '../wire/grammar.ts'
import { data, type Reply } from '../wire/reply.ts'
import { lineBreak, priorities, standing } from './changes.ts'
import { defineVerb, type Ports } from './verb.ts'

interface Subject {
  /** Undefined for `public:`, which no atServer delivers (page 04, section 4). */
  readonly to: AtSign | undefined
  /** Name and namespace as sent, or the text of a text notification; its letter case is kept. */
  readonly name: string
  readonly owner: AtSign | undefined
  readonly value: string | undefined
}

/** `name@owner:value`; the owner and the value may be left out. */
function readBody(body: string): Omit<Subject, 'to'> {
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

/** `:@bob:` and the key with its value, or the text that a text notification is, whatever that holds. */
const subject: Part<{ subject: Subject }> = {
  read(cursor, out) {
    const rest = cursor.text.slice(cursor.at)
    const head = /^:(@[^:\s]+|public):/i.exec(rest)
    if (head?.[1] === undefined) throw invalidSyntax(`expected a recipient such as :@bob: at "${rest.slice(0, 32)}"`)
    const body = rest.slice(head[0].length)
    if (lineBreak.test(body)) throw invalidSyntax('the notification holds a line break')
    if (body.length === 0) throw invalidSyntax('the name of the notified key is missing')
    const to = head[1].startsWith('@') ? parseAtSign(head[1]) : undefined
    const isText = out['messageType'] === 'text'
    out['subject'] = { to, ...(isText ? { name: body, owner: undefined, value: undefined } : readBody(body)) }
    cursor.at = cursor.text.length
  },
  write({ subject: { to, name, owner, value } }) {
    return `:${to ?? 'public'}:${name}${owner ?? ''}${value === undefined ? '' : `:${value}`}`
  },
}

const utc = {
  parse(text: string): number {
    const ms = parseUtc(text)
    if (ms === undefined) throw invalidSyntax('eAtn takes a UTC time such as 2026-10-04T10:50:00.000Z')
    return ms
  },
  format: wireTime,
}

const grammar = seq(
  anyOrder(
    param('id', token(/^[\w-]{1,64}$/)),
    opt('operation', 'update', 'delete'),
    param('messageType', oneOf('key', 'text'), ['messageType', 'message_type']),
    param('priority', oneOf(...priorities)),
    param('strategy', oneOf('all', 'latest')),
    param('latestN', integer(1)),
    param('notifier', token()),
    param('ttln', integer(0)),
    timeParam('eAtn', utc),
    metadata,
  ),
  subject,
)

type Params = ReturnType<typeof grammar.parse>

function checkParams(p: Params): void {
  if (p.eAtn !== undefined && p.ttln !== undefined) throw invalidSyntax('eAtn and ttln cannot both be given')
  if (p.strategy === 'latest' && p.notifier === undefined) {
    throw invalidSyntax('For Strategy latest, notifier cannot be null')
  }
}

/** A text without the atSign of its sender, which the grammar of the reference allows behind it (page 04, section 4). */
function withoutSender(text: string, sender: AtSign): string {
  const end = text.length - sender.length
  return end > 0 && text.endsWith(sender) && text[end - 1] !== ' ' ? text.slice(0, end) : text
}

/** Full key as stored and delivered: lower-case is for records, notifications keep the sender's spelling. */
function fullKey({ subject: { name, owner }, messageType }: Params, to: AtSign, sender: AtSign): string {
  return messageType === 'text' ? `${to}:${withoutSender(name, sender)}` : `${to}:${name}${owner ?? sender}`
}

/** Never delivered by plain `notify` (page 07, section 15). */
const undelivered = ['isBinary', 'encoding', 'sharedKeyStatus', 'dataSignature'] as const

/** The metadata a notification carries: absolute times for asserted ones, never what `notify` does not deliver. */
function carried(change: MetadataChange): Metadata {
  const { cAt, uAt, eAt, aAt, ...rest } = change
  for (const name of undelivered) delete rest[name]
  if (rest.ttr === 0) delete rest.ttr
  if (rest.ttr === undefined) delete rest.ccd
  else rest.ccd ??= false
  return {
    ...(cAt === undefined ? {} : { createdAt: cAt }),
    ...(uAt === undefined ? {} : { updatedAt: uAt }),
    ...(eAt === undefined ? {} : { expiresAt: eAt }),
    ...(aAt === undefined ? {} : { availableAt: aAt }),
    ...rest,
  }
}

/** Keys count as encrypted unless the line says otherwise, texts only when it says so (page 04, section 4). */
const encryptedByDefault = (p: Params): boolean => p.metadata.isEncrypted ?? p.messageType !== 'text'

function makeNotification(p: Params, from: AtSign, to: AtSign, ports: Ports, type: Notification['type']): Notification {
  const now = ports.clock.now()
  const life = Math.min(p.ttln || ports.notificationMs, limits.notificationMaxMs)
  const key = fullKey(p, to, from)
  if (key.length > limits.cachedKeyLength - 'cached:'.length && p.messageType !== 'text') {
    throw new AtError('AT0016', `notification key length ${key.length + 7} is greater than 255 chars`)
  }
  return {
    id: p.id ?? randomUUID(),
    from,
    to,
    key,
    value: p.messageType === 'text' ? null : (p.subject.value ?? null),
    operation: p.operation ?? 'update',
    messageType: p.messageType ?? 'key',
    type,
    priority: p.priority ?? 'low',
    strategy: p.strategy ?? 'all',
    latestN: p.latestN ?? 1,
    notifier: p.notifier ?? 'SYSTEM',
    at: now,
    expiresAt: p.eAtn === undefined ? now + life : Math.min(p.eAtn, now + limits.notificationMaxMs),
    status: type === 'sent' ? 'queued' : 'delivered',
    isEncrypted: encryptedByDefault(p),
    metadata: carried(p.metadata),
    ...(p.eAtn === undefined ? {} : { explicitExpiry: true }),
  }
}

/** A message of the owner: to itself it is at once received, to others it waits in the outbox. */
async function send(p: Params, ports: Ports): Promise<Reply> {
  const { self, clock } = ports
  const { to, owner = self } = p.subject
  if (to === undefined) {
    throw invalidSyntax('a public key cannot be notified: name a recipient, as in notify:@bob:phone.wavi@alice')
  }
  const messageType = p.messageType ?? 'key'
  const refusal = permitsExchange({ direction: 'out', self, peer: to, recipient: to, owner, messageType })
  if (refusal !== undefined) throw refusal
  const toSelf = to === self
  const notification = makeNotification(p, self, to, ports, toSelf ? 'received' : 'sent')
  if (p.messageType !== 'text') parseAtKey(notification.key)
  if (notification.expiresAt <= clock.now()) return data(notification.id)
  await ports.write(async (tx) => {
    if (toSelf) {
      await tx.putNotification(notification)
      tx.onCommit(() => ports.feed.received(notification))
      return
    }
    await tx.enqueue(notification)
    tx.onCommit(() => ports.outgoing.wake(notification.to))
  })
  return data(notification.id)
}

/** The same content under the same id is a retry; base Python sends different content under one id (page 04, section 4). */
const isRepeat = (known: Notification | undefined, fresh: Notification): boolean =>
  known !== undefined &&
  known.from === fresh.from &&
  known.key === fresh.key &&
  known.value === fresh.value &&
  known.operation === fresh.operation

/** Writes or removes the copy that the owner of the record allows this atSign to keep (page 04, section 6). */
async function keepCopy(tx: Transaction, notification: Notification, ports: Ports): Promise<number> {
  const copy = cachedForm(parseAtKey(notification.key))
  const now = ports.clock.now()
  const stored = await tx.record(copy.text)
  const opTime = notification.metadata.updatedAt ?? now
  if (notification.operation === 'delete') {
    if (stored === undefined || stored.metadata.ccd !== true) return -1
    return tx.removeRecord(copy, { operation: '-', opTime, commit: isCommitted(copy) })
  }
  const { ttr } = notification.metadata
  if (ttr === undefined || (notification.value === null && stored === undefined)) return -1
  const change = { ...metadataAsChange(notification.metadata, true), isEncrypted: notification.isEncrypted ?? true }
  const merged = mergeMetadata(standing(stored, now)?.metadata, change, {
    by: ports.self,
    now,
    newValue: notification.value !== null,
  })
  const value = notification.value ?? stored?.value ?? null
  const operation = notification.value === null ? '#' : '*'
  return tx.putRecord(
    copy,
    { value, metadata: { ...merged, createdBy: notification.from } },
    { operation, opTime, commit: true },
  )
}

/** A message of another atSign's server. `data:success` means stored, so that the sender never repeats it. */
async function receive(p: Params, peer: AtSign, ports: Ports): Promise<Reply> {
  const { to: recipient, owner } = p.subject
  const { self } = ports
  const messageType = p.messageType ?? 'key'
  const refusal = permitsExchange({ direction: 'in', self, peer, recipient, owner, messageType })
  if (refusal !== undefined) throw refusal
  const notification = makeNotification(p, peer, self, ports, 'received')
  if (p.messageType !== 'text') parseAtKey(notification.key)
  if (notification.expiresAt <= ports.clock.now()) return data('success')
  await ports.write(async (tx) => {
    if (isRepeat(await tx.notification(notification.id), notification)) return
    await tx.putNotification(notification)
    const commitId = notification.messageType === 'text' ? -1 : await keepCopy(tx, notification, ports)
    tx.onCommit(() => {
      ports.feed.received(notification)
      if (commitId >= 0) ports.feed.changed(commitId, notification.operation)
    })
  })
  return data('success')
}

/** An enrollment needs write access to the notified key's namespace; a text has none (page 08, 7.1). */
function accessOf(p: Params, session: Session, self: AtSign): readonly Access[] {
  if (session.identity.kind !== 'owner') return []
  const { to = 'public', name, owner = self } = p.subject
  const key = parseAtKey(`${to}:${p.messageType === 'text' ? 'text' : name}${owner}`)
  return [{ op: 'write', key, verb: 'notify' }]
}

export const notify = defineVerb({
  name: 'notify',
  summary: 'Send a notification to another atSign, or receive one from its server.',
  grammar,
  admits: ['owner', 'peer'],
  access: accessOf,
  async run(p, ports, { session }) {
    checkParams(p)
    const { identity } = session
    return identity.kind === 'peer' ? receive(p, identity.atSign, ports) : send(p, ports)
  },
  examples: [
    'notify:@bob:temp.sensors@alice:21.5',
    'notify:id:n7:update:messageType:key:notifier:SYSTEM:ttln:60000:ttl:0:ttb:0:isEncrypted:false:@bob:temp.sensors@alice:21.5',
    'notify:delete:@bob:phone.wavi@alice',
    'notify:eAtn:2030-10-04T10:50:00.000000Z:ttr:-1:ccd:true:@bob:phone.wavi@alice:v',
    'notify:messageType:text:@bob:Hello there',
  ],
})
