import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError, type ErrorCode } from '../core/errors.ts'
import { createLanes } from '../core/lanes.ts'
import type { Log } from '../core/log.ts'
import type { Durability } from '../core/storage.ts'
import { bounds } from './bounds.ts'
import { type Mapping, map, type Problem, type Reading } from './mapping.ts'
import { isSelective, type Last, passes } from './policy.ts'
import { createUnfinished, type Message } from './unfinished.ts'

interface PutOptions {
  readonly ttl?: number | undefined
  readonly ttr?: number | undefined
  readonly durability?: Durability | undefined
}

interface NotifyOptions {
  readonly ttln?: number | undefined
  readonly ephemeral?: boolean
  readonly durability?: Durability | undefined
}

/** What the bridge needs of a client of the atServer. */
export interface BridgeClient {
  readonly atSign: AtSign
  /**
   * Stores a record, encrypted for whom its key names; resolves with the commit id once it is on flash.
   * @param key `@alice:temperature.kitchen.sensors`, `public:…` or a bare name; the owner is this atSign
   * @param options `ttl` in milliseconds, `ttr` in seconds; `durability` `interval` resolves before it is on flash
   */
  put(key: string, value: string, options?: PutOptions): Promise<number>
  /** Queues a notification; resolves with its id once it is on flash, an `ephemeral` one at once. `ttln` in milliseconds. */
  notify(key: string, value: string, options?: NotifyOptions): Promise<string>
}

/** Counters since the start. `received` and `ignored` are messages, the others readings, one for each rule that takes a message. */
export interface IngressStats {
  readonly received: number
  /** No rule takes the topic. */
  readonly ignored: number
  /** Stored for every recipient. */
  readonly committed: number
  /** Left out by `minInterval` or `changeThreshold`. */
  readonly suppressed: number
  /** The payload, or what became of it, can never be stored. */
  readonly refused: number
  /** The store could not take it; the sensor is not acknowledged. */
  readonly failed: number
}

/** Quality of service of a message: nobody is told what became of one with 0 (MQTT 3.1.1, section 4.3). */
export type QoS = 0 | 1 | 2

/** The way of a message into records and notifications. */
export interface Ingress {
  /**
   * Resolves when everything that the rules make of a message is on flash, of readings in `interval` mode when the store has
   * it, and for messages that no rule can use.
   * @throws the first failure of the client; then the message must not be acknowledged
   */
  take(topic: string, payload: Uint8Array, qos: QoS): Promise<void>
  stats(): IngressStats
}

/** What an ingress is made of. */
export interface IngressParts {
  readonly mapping: Mapping
  readonly client: BridgeClient
  readonly clock: Clock
  readonly log: Log
  /** Whether the server notifies recipients of a changed record by itself. */
  readonly autoNotify: boolean
  /** Of readings with QoS 0 whose rule names none; that of the store unless told. */
  readonly unacknowledged?: Durability | undefined
}

type Outcome = 'committed' | 'suppressed' | 'refused'

// Errors that the same command gets every time: redelivery would only stop the sensor for ever.
const hopeless: ReadonlySet<ErrorCode> = new Set(['AT0003', 'AT0009', 'AT0016', 'AT0022', 'AT0032'])

export function createIngress({ mapping, client, clock, log, autoNotify, unacknowledged }: IngressParts): Ingress {
  const counters = { received: 0, ignored: 0, committed: 0, suppressed: 0, refused: 0, failed: 0 }
  const lanes = createLanes()
  const remembered = createMemory()
  const unfinished = createUnfinished(clock)
  const complain = createComplaints(clock, log)
  const complainOfStore = createComplaints(clock, log)

  const conclude = (reading: Reading, failures: readonly unknown[]): Outcome => {
    const curable = failures.find((cause) => !(cause instanceof AtError && hopeless.has(cause.code)))
    if (curable !== undefined) throw curable
    if (failures[0] instanceof Error)
      complain({ rule: reading.rule, message: `${reading.key}: ${failures[0].message}` })
    return failures.length > 0 ? 'refused' : 'committed'
  }

  const store = (reading: Reading, message: Message, usual?: Durability): Promise<Outcome> => {
    const { durability = usual, recipients } = reading.delivery
    const how = { autoNotify, message, durability }
    return failuresOf(recipients.map((to) => deliver(client, reading, to, how))).then((failures) =>
      conclude(reading, failures),
    )
  }

  const storeIfWorth = (reading: Reading, message: Message, usual?: Durability): Promise<Outcome> => {
    const { rule } = reading.rule
    if (!isSelective(rule)) return store(reading, message, usual)
    const name = `${reading.rule.index} ${reading.key}`
    if (!passes(rule, remembered.get(name), reading)) return Promise.resolve('suppressed')
    return store(reading, message, usual).then((outcome) => {
      if (outcome === 'committed') remembered.set(name, reading)
      return outcome
    })
  }

  const fail = (reading: Reading, cause: unknown): never => {
    counters.failed++
    const { rule, key } = reading
    complainOfStore({ rule, message: 'a reading could not be stored' }, { key, reason: reasonOf(cause) })
    throw cause
  }

  const settle = (reading: Reading, message: Message, usual?: Durability): Promise<unknown> =>
    lanes
      .run(reading.key, () => storeIfWorth(reading, message, usual))
      .then(
        (outcome) => counters[outcome]++,
        (cause: unknown) => fail(reading, cause),
      )

  return {
    take(topic, payload, qos) {
      counters.received++
      const { readings, problems } = map(mapping, topic, payload, clock.now())
      if (readings.length + problems.length === 0) counters.ignored++
      counters.refused += problems.length
      for (const problem of problems) complain(problem)
      const message = unfinished.begin(topic, payload)
      const usual = qos === 0 ? unacknowledged : undefined
      return failuresOf(readings.map((reading) => settle(reading, message, usual))).then((failures) => {
        if (failures.length > 0) throw failures[0]
        message.finish()
      })
    },
    stats: () => ({ ...counters }),
  }
}

const none = (): readonly unknown[] => []
const one = (cause: unknown): readonly unknown[] => [cause]

/** Waits for all. @returns why some have failed, in their order */
function failuresOf(tasks: readonly Promise<unknown>[]): Promise<readonly unknown[]> {
  const ends = tasks.map((task) => task.then(none, one))
  const [only] = ends
  return only !== undefined && ends.length === 1 ? only : Promise.all(ends).then((lists) => lists.flat())
}

const reasonOf = (cause: unknown): string => (cause instanceof Error ? cause.message : String(cause))

const prefixOf = (recipient: string): string => (recipient === 'self' ? '' : `${recipient}:`)

/** Gives a recipient its record and its notification; what an earlier attempt at the message has given is not repeated. */
function deliver(
  client: BridgeClient,
  reading: Reading,
  recipient: string,
  { autoNotify, message, durability }: { autoNotify: boolean; message: Message; durability: Durability | undefined },
): Promise<unknown> {
  const { delivery, text, rule } = reading
  const { ttl, ttr } = delivery
  const key = `${prefixOf(recipient)}${reading.key}`
  const step = `${rule.index} ${key}`
  const put = (): Promise<unknown> => message.once(`put ${step}`, () => client.put(key, text, { ttl, ttr, durability }))
  const notify = (): Promise<unknown> => {
    const options = delivery.notify === 'ephemeral' ? { ttln: ttl, ephemeral: true } : { ttln: ttl, durability }
    return message.once(`notify ${step}`, () => client.notify(key, text, options))
  }
  if (!delivery.update) return notify()
  return delivery.notify === false || autoNotify || !recipient.startsWith('@') ? put() : put().then(notify)
}

/** The last stored reading of each key, as many as `bounds.remembered`. */
function createMemory() {
  const readings = new Map<string, Last>()
  return {
    get: (name: string): Last | undefined => readings.get(name),
    set(name: string, { at, value }: Last): void {
      readings.delete(name)
      readings.set(name, { at, value })
      const oldest = readings.keys().next()
      if (readings.size > bounds.remembered && !oldest.done) readings.delete(oldest.value)
    },
  }
}

/** Logs the problems of a rule once in `bounds.complaintMs`, with the number of those in between. */
function createComplaints(clock: Clock, log: Log): (problem: Problem, members?: Record<string, string>) => void {
  const rules = new Map<number, { at: number; silent: number }>()
  return ({ rule, message }, members) => {
    const now = clock.now()
    const last = rules.get(rule.index)
    const recent = last !== undefined && now >= last.at && now - last.at < bounds.complaintMs
    if (recent) last.silent++
    else {
      rules.set(rule.index, { at: now, silent: 0 })
      log('warn', message, { rule: rule.index + 1, ...members, unsaid: last?.silent ?? 0 })
    }
  }
}
