import { permitsExchange } from '../core/access.ts'
import { cachedForm, isCommitted, parseAtKey } from '../core/at-key.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { mergeMetadata } from '../core/metadata.ts'
import { metadataAsChange } from '../core/metadata-tags.ts'
import type { Notification } from '../core/notification.ts'
import type { HoldingKind, Transaction } from '../core/storage.ts'
import { whenKnown } from '../core/when-known.ts'
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
import { blockListText, parseBlockList } from './block-list.ts'
import { priorities, standing } from './changes.ts'
import {
  accessToNotify,
  type Body,
  checkMessage,
  expiryTime,
  inMemory,
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

/** Who notifies, by the choice of the sender: kept with each notification, so that it may not be long. */
const notifierName = token(/^[^\s:]{1,128}$/)

const grammar = seq(
  anyOrder(
    param('id', token(/^[\w-]{1,64}$/)),
    opt('operation', 'update', 'delete'),
    param('messageType', oneOf('key', 'text'), ['messageType', 'message_type']),
    param('priority', oneOf(...priorities)),
    param('strategy', oneOf('all', 'latest')),
    param('latestN', integer(1)),
    param('notifier', notifierName),
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

/** Refuses what would make a peer's notifications or copies take more room than it has. The sender tries again later. */
function checkRoom(tx: Transaction, kind: HoldingKind, peer: AtSign, ports: Ports): void {
  const held = tx.holding(kind, peer)
  const { count, bytes } = ports.peerQuota[kind]
  if (kind === 'notifications') ports.crowded(peer, held)
  if (held.count < count && held.bytes < bytes) return
  throw new AtError('AT0028', `${held.count} ${kind} of ${peer} are held, more are refused until there is room`)
}

/** Whether a notification may change the copy of a record: what only tells a value is not to be kept. */
const concernsCopy = ({ messageType, operation, metadata }: Notification): boolean =>
  messageType === 'key' && (operation === 'delete' || metadata.ttr !== undefined)

/** Writes or removes the copy that the owner of the record allows this atSign to keep (page 04, section 6). */
function keepCopy(tx: Transaction, notification: Notification, ports: Ports): number | Promise<number> {
  if (!concernsCopy(notification)) return -1
  const copy = cachedForm(parseAtKey(notification.key))
  const now = ports.clock.now()
  const stored = tx.record(copy.text)
  const opTime = notification.metadata.updatedAt ?? now
  if (notification.operation === 'delete') {
    if (stored === undefined || stored.metadata.ccd !== true) return -1
    return tx.removeRecord(copy, { operation: '-', opTime, commit: isCommitted(copy) })
  }
  if (notification.value === null && stored === undefined) return -1
  const change = { ...metadataAsChange(notification.metadata, true), isEncrypted: notification.isEncrypted ?? true }
  if (stored === undefined) checkRoom(tx, 'copies', notification.from, ports)
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

/** Whether a peer may send this. @throws AtError AT0009, AT0013 */
function judge(
  { to, owner }: Subject,
  messageType: 'key' | 'text',
  peer: AtSign,
  blocked: boolean,
  ports: Ports,
): void {
  const { self } = ports
  const exchange = { direction: 'in', self, peer, recipient: to, owner, messageType, blocked } as const
  const refusal = permitsExchange(exchange)
  if (refusal !== undefined) throw refusal
}

const received = (p: Params, peer: AtSign, ports: Ports): Notification =>
  makeNotification(p, p.subject, { from: peer, to: ports.self, type: 'received' }, ports)

/** What a peer sends, once it was judged; undefined for what has expired or is there. @throws AtError AT0009, AT0013 */
function judged(tx: Transaction, p: Params, peer: AtSign, ports: Ports): Notification | undefined {
  const blocked = parseBlockList(tx.record(blockListText(ports.self))?.value).includes(peer)
  judge(p.subject, p.messageType ?? 'key', peer, blocked, ports)
  const notification = received(p, peer, ports)
  if (notification.expiresAt <= ports.clock.now()) return undefined
  const isThere = ports.ephemeral.has(notification) || tx.hasNotification(notification)
  return isThere ? undefined : notification
}

/** Neither server stores it; the same one counts once (page 07, E49). Its place is among the stored ones, as in `sendInMemory`. */
const receiveInMemory = (p: Params, peer: AtSign, ports: Ports): Promise<void> =>
  ports.write((tx) => {
    const notification = judged(tx, p, peer, ports)
    if (notification === undefined) return
    ports.ephemeral.checkSize(notification)
    tx.onCommit(() => {
      // Two connections may have brought the same one.
      if (ports.ephemeral.has(notification)) return
      ports.ephemeral.put(notification)
      ports.feed.received(notification)
    })
  }, inMemory)

const onFlash = { durability: 'group' } as const

/** Made apart from the change, which nothing that waits for the flash should hold in memory. */
const announcing =
  ({ feed }: Ports, notification: Notification, commitId: number) =>
  (): void => {
    feed.received(notification)
    if (commitId >= 0) feed.changed(commitId, notification.operation)
  }

/**
 * Everything is judged within the change, so that lines under way at one time keep their order. The same content under
 * the same id is a repeat; base Python sends different content under one id (page 04, section 4).
 */
const receiveStored = (p: Params, peer: AtSign, ports: Ports): Promise<void> =>
  ports.write((tx) => {
    const notification = judged(tx, p, peer, ports)
    if (notification === undefined) return undefined
    checkRoom(tx, 'notifications', peer, ports)
    tx.putNotification(notification)
    return whenKnown(keepCopy(tx, notification, ports), (commitId) =>
      tx.onCommit(announcing(ports, notification, commitId)),
    )
    // Whatever this server risks with its own readings: the sender is told that it need not send this again.
  }, onFlash)

/** A message of another atSign's server. `data:success` means stored, so that the sender never repeats it. */
function receive(p: Params, peer: AtSign, ports: Ports): Promise<Reply> {
  checkMessage(p)
  return (p.eph ? receiveInMemory : receiveStored)(p, peer, ports).then(() => data('success'))
}

export const notify = defineVerb({
  name: 'notify',
  summary: 'Send a notification to another atSign, or receive one from its server.',
  grammar,
  admits: ['owner', 'peer'],
  overlaps: () => true,
  access: (p, session, self) => accessToNotify(p, p.subject, p.subject.to ?? 'public', session, self),
  run(p, ports, { session }) {
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
