import { createHash, timingSafeEqual } from 'node:crypto'
import type { Aedes, AuthenticateError, Client } from 'aedes'
import { createInOrder, type InOrder } from '../core/in-order.ts'
import type { Log } from '../core/log.ts'
import { bounds } from './bounds.ts'
import { type Connection, type Guarded, guard } from './guard.ts'
import type { QoS } from './ingress.ts'
import { createRetainedBudget } from './retained.ts'

/** Accepts connections somewhere; `close` takes no more and resolves when those it had are gone. */
export type Listen = (
  onConnection: (socket: Connection) => void,
) => Promise<{ readonly port: number; close(): Promise<void> }>

/** Who may connect from another machine. From the device itself nobody is asked. */
export interface BrokerUser {
  readonly name: string
  readonly password: string
}

/** What a broker is made of. */
export interface BrokerParts {
  readonly listen: Listen
  /** Resolves when a message may be acknowledged; rejects when it must not be. */
  take(topic: string, payload: Uint8Array, qos: QoS): Promise<void>
  readonly user?: BrokerUser
  readonly log: Log
}

/** The embedded MQTT 3.1.1 broker. */
export interface Broker {
  readonly port: number
  clients(): number
  /** Takes no more messages, waits for those in flight, then drops every connection. */
  close(): Promise<void>
}

/** What the broker knows of one connection. */
interface Line extends Guarded {
  readonly local: boolean
  readonly subscriptions: Set<string>
  /** Messages that wait for their commit are answered in the order in which they came (MQTT 3.1.1, 4.6). */
  readonly answers: InOrder<Outcome, Done>
}

/** Why a message is not acknowledged, or null. */
type Outcome = Error | null
type Done = (outcome: Outcome) => void

/**
 * Starts the embedded broker. A message is given to `take` before aedes acknowledges and forwards it: aedes itself answers a
 * QoS 1 message first and works later, so the work is done in the one hook that runs before.
 * @throws what `listen` throws
 */
export async function startBroker({ listen, take, user, log }: BrokerParts): Promise<Broker> {
  const lines = new Map<unknown, Line>()
  const retained = createRetainedBudget({ topics: bounds.retainedTopics, bytes: bounds.retainedBytes })
  const pending = new Set<Promise<Outcome>>()
  let closing = false

  // Its code is looked at once the device listens: a start need not wait for it.
  const { Aedes } = await import('aedes')
  const aedes = await Aedes.createBroker({
    connectTimeout: bounds.connectMs,
    // No sessions: a queue for subscribers that stay away would grow without bound, and readings are kept as records anyway.
    preConnect(_client, packet, done) {
      packet.clean = true
      done(null, true)
    },
    authenticate: (client, name, password, done) => {
      const admitted = lines.get(client.conn)?.local === true || isUser(user, name, password)
      if (admitted) done(null, true)
      else
        done(Object.assign(new Error('user name or password is wrong'), { returnCode: 5 }) as AuthenticateError, false)
    },
    authorizeSubscribe(client, subscription, done) {
      const subscriptions = lines.get(client.conn)?.subscriptions
      const full = subscriptions === undefined || subscriptions.size >= bounds.subscriptions
      if (full && !subscriptions?.has(subscription.topic)) return done(null, null)
      subscriptions.add(subscription.topic)
      done(null, subscription)
    },
    authorizePublish(client, packet, done) {
      if (packet.topic.startsWith('$SYS/')) return done(new Error('$SYS topics belong to the broker'))
      if (closing) return done(new Error('the broker is closing'))
      const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload
      if (packet.retain && !retained.admit(packet.topic, payload.length)) packet.retain = false
      const line = client === null ? undefined : lines.get(client.conn)
      const end = (error: Outcome): Outcome => {
        pending.delete(outcome)
        return error
      }
      const outcome: Promise<Outcome> = take(packet.topic, payload, packet.qos).then(
        () => end(null),
        // Nothing comes again of a QoS 0 message, so that its sensor is not dropped.
        (cause: unknown) => end(packet.qos === 0 ? null : asError(cause)),
      )
      pending.add(outcome)
      if (line === undefined) void outcome.then(done)
      else answerInOrder(line, outcome, done)
    },
  })
  aedes.on('unsubscribe', (topics, client) => {
    for (const topic of topics) lines.get(client.conn)?.subscriptions.delete(topic)
  })
  forwardIfHeard(aedes, () => {
    for (const { subscriptions } of lines.values()) if (subscriptions.size > 0) return true
    return false
  })
  logErrors(aedes, log)

  const accept = (socket: Connection): void => {
    if (closing || lines.size >= bounds.clients) {
      log('warn', 'an MQTT connection was refused', { from: socket.remoteAddress, clients: lines.size })
      socket.on('error', () => undefined)
      socket.destroy()
      return
    }
    const line = openLine(socket, log)
    lines.set(line.stream, line)
    line.stream.once('close', () => lines.delete(line.stream))
    aedes.handle(line.stream)
  }

  const listener = await listen(accept).catch(async (cause: unknown) => {
    await closeAedes(aedes)
    throw cause
  })
  return {
    port: listener.port,
    clients: () => aedes.connectedClients,
    async close() {
      closing = true
      const gone = listener.close()
      await Promise.all(pending)
      // The last acknowledgements leave in the next turn of the loop.
      await new Promise((resolve) => setImmediate(resolve))
      await closeAedes(aedes)
      for (const { stream } of lines.values()) stream.destroy()
      await gone
    },
  }
}

type Publish = (packet: { readonly retain: boolean }, client: unknown, done?: () => void) => void

/**
 * Spares messages of clients the way to subscribers, which is most of what aedes does for them, where nobody has subscribed
 * to anything: most devices. Retained ones are kept all the same, and what the broker itself says goes its way.
 */
function forwardIfHeard(aedes: Aedes, hasSubscribers: () => boolean): void {
  const publish: unknown = Reflect.get(aedes, 'publish')
  if (typeof publish !== 'function') return
  const forward: Publish = (packet, client, done) => {
    const isOfClient = typeof client === 'object' && client !== null
    if (isOfClient && !packet.retain && !hasSubscribers()) done?.()
    else Reflect.apply(publish, aedes, [packet, client, done])
  }
  Reflect.set(aedes, 'publish', forward)
}

function openLine(socket: Connection, log: Log): Line {
  const local = isLoopback(socket.remoteAddress)
  const guarded = guard(socket, bounds.packetBytes)
  const conclude = (outcome: Outcome, done: Done): void => {
    try {
      done(outcome)
    } catch (cause) {
      log('warn', 'an MQTT connection failed', { reason: asError(cause).message })
      guarded.stream.destroy()
    }
  }
  const answers = createInOrder(conclude, () => {
    if (answers.waiting() < bounds.inFlight / 2) guarded.release()
  })
  return { ...guarded, local, subscriptions: new Set(), answers }
}

/** The commits of a connection's messages run side by side; reading stops while too many of them wait. */
function answerInOrder(line: Line, outcome: Promise<Outcome>, done: Done): void {
  line.answers.add(outcome, done)
  if (line.answers.waiting() >= bounds.inFlight) line.hold()
}

function logErrors(aedes: Aedes, log: Log): void {
  const lost = (client: Client, error: Error) => {
    log('info', 'an MQTT connection was dropped', { client: client.id, reason: error.message })
  }
  aedes.on('clientError', lost)
  aedes.on('connectionError', lost)
  const events: NodeJS.EventEmitter = aedes
  events.on('error', (cause) => log('warn', 'the MQTT broker has a fault', { reason: asError(cause).message }))
}

const closeAedes = (aedes: Aedes): Promise<void> => new Promise((resolve) => aedes.close(() => resolve()))

const asError = (cause: unknown): Error => (cause instanceof Error ? cause : new Error(String(cause)))

const isLoopback = (address = ''): boolean => address === '::1' || /^(?:::ffff:)?127\./.test(address)

const digest = (text: string | Buffer): Buffer => createHash('sha256').update(text).digest()

function isUser(user: BrokerUser | undefined, name = '', password: Buffer | undefined): boolean {
  if (user === undefined || password === undefined) return false
  const right = timingSafeEqual(digest(password), digest(user.password))
  return timingSafeEqual(digest(name), digest(user.name)) && right
}
