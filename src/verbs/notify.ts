import { permitsExchange } from '../core/access.ts'
import { cachedForm, isCommitted, parseAtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { invalidSyntax } from '../core/errors.ts'
import { mergeMetadata, metadataAsChange } from '../core/metadata.ts'
import type { Notification } from '../core/notification.ts'
import type { Transaction } from '../core/storage.ts'
import {
  anyOrder,
  flag,
  integer,
  metadata,
  oneOf,
  opt,
  type Part,
  param,
  seq,
  timeParam,
  token,
} from '../wire/grammar.ts'
import { data, type Reply } from '../wire/reply.ts'
import { isBlocked } from './block-list.ts'
import { priorities, standing } from './changes.ts'
import {
  accessToNotify,
  type Body,
  checkMessage,
  expiryTime,
  makeNotification,
  readBody,
  sendMessage,
  writeBody,
} from './notifying.ts'
import { defineVerb, type Ports } from './verb.ts'

interface Subject extends Body {
  /** Undefined for `public:`, which no atServer delivers (page 04, section 4). */
  readonly to: AtSign | undefined
}

/** `:@bob:` and the body. */
const subject: Part<{ subject: Subject }> = {
  read(cursor, out) {
    const rest = cursor.text.slice(cursor.at)
    const head = /^:(@[^:\s]+|public):/i.exec(rest)
    if (head?.[1] === undefined) throw invalidSyntax(`expected a recipient such as :@bob: at "${rest.slice(0, 32)}"`)
    const to = head[1].startsWith('@') ? parseAtSign(head[1]) : undefined
    out['subject'] = { to, ...readBody(rest.slice(head[0].length), out['messageType']) }
    cursor.at = cursor.text.length
  },
  write: (params) => `:${params.subject.to ?? 'public'}:${writeBody(params.subject)}`,
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
    timeParam('eAtn', expiryTime),
    flag('eph'),
    metadata,
  ),
  subject,
)

type Params = ReturnType<typeof grammar.parse>

/** A message of the owner. */
async function send(p: Params, ports: Ports): Promise<Reply> {
  const { to } = p.subject
  checkMessage(p)
  if (to === undefined) {
    throw invalidSyntax('a public key cannot be notified: name a recipient, as in notify:@bob:phone.wavi@alice')
  }
  const [id = ''] = await sendMessage(p, p.subject, [to], ports)
  return data(id)
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

/** Neither server stores it; the same id counts once (page 07, E49). */
async function receiveInMemory(notification: Notification, ports: Ports): Promise<void> {
  const stored = await ports.notifications.get(notification.id)
  // No pause between this look and the place it takes: two connections may bring the same one.
  if (
    isRepeat(stored, notification) ||
    isRepeat(ports.ephemeral.get(notification.id, notification.from), notification)
  ) {
    return
  }
  ports.ephemeral.put(notification)
  ports.feed.received(notification)
}

async function receiveStored(notification: Notification, ports: Ports): Promise<void> {
  await ports.write(async (tx) => {
    if (isRepeat(await tx.notification(notification.id), notification)) return
    await tx.putNotification(notification)
    const commitId = notification.messageType === 'text' ? -1 : await keepCopy(tx, notification, ports)
    tx.onCommit(() => {
      ports.feed.received(notification)
      if (commitId >= 0) ports.feed.changed(commitId, notification.operation)
    })
  })
}

/** A message of another atSign's server. `data:success` means stored, so that the sender never repeats it. */
async function receive(p: Params, peer: AtSign, ports: Ports): Promise<Reply> {
  const { to: recipient, owner } = p.subject
  const { self } = ports
  const messageType = p.messageType ?? 'key'
  checkMessage(p)
  const blocked = await isBlocked(ports.records, self, peer)
  const refusal = permitsExchange({ direction: 'in', self, peer, recipient, owner, messageType, blocked })
  if (refusal !== undefined) throw refusal
  const notification = makeNotification(p, p.subject, { from: peer, to: self, type: 'received' }, ports)
  if (notification.expiresAt > ports.clock.now()) {
    await (notification.ephemeral ? receiveInMemory : receiveStored)(notification, ports)
  }
  return data('success')
}

export const notify = defineVerb({
  name: 'notify',
  summary: 'Send a notification to another atSign, or receive one from its server.',
  grammar,
  admits: ['owner', 'peer'],
  overlaps: true,
  access: (p, session, self) => accessToNotify(p, p.subject, p.subject.to ?? 'public', session, self),
  async run(p, ports, { session }) {
    const { identity } = session
    return identity.kind === 'peer' ? receive(p, identity.atSign, ports) : send(p, ports)
  },
  examples: [
    'notify:@bob:temp.sensors@alice:21.5',
    'notify:id:n7:update:messageType:key:notifier:SYSTEM:ttln:60000:ttl:0:ttb:0:isEncrypted:false:@bob:temp.sensors@alice:21.5',
    'notify:delete:@bob:phone.wavi@alice',
    'notify:eAtn:2030-10-04T10:50:00.000000Z:ttr:-1:ccd:true:@bob:phone.wavi@alice:v',
    'notify:ttln:60000:eph:@bob:temp.sensors@alice:21.5',
    'notify:messageType:text:@bob:Hello there',
  ],
})
