import { readFile } from 'node:fs/promises'
import type { Clock } from '../core/clock.ts'
import type { Log } from '../core/log.ts'
import type { Durability } from '../core/storage.ts'
import { type BrokerUser, type Listen, startBroker } from './broker.ts'
import { type BridgeClient, createIngress, type IngressStats } from './ingress.ts'
import { compileRules, type Rule } from './mapping.ts'

export type { Listen } from './broker.ts'
export type { BridgeClient, IngressStats } from './ingress.ts'
export { checkRules, type Rule } from './mapping.ts'

/** The part of the configuration that the bridge reads. */
export interface BridgeConfig {
  /** Ends the name of every record. */
  readonly namespace: string
  readonly rules: readonly Rule[]
  /** Who may connect from other machines; nobody without a user name. `passwordFile` is an absolute path. */
  readonly broker: { readonly username?: string; readonly passwordFile?: string }
}

/** What a bridge is made of. */
export interface BridgeParts {
  readonly config: BridgeConfig
  readonly client: BridgeClient
  readonly clock: Clock
  readonly listen: Listen
  readonly log: Log
  /** Whether the server notifies recipients of a changed record by itself. */
  readonly autoNotify: boolean
  /** Of readings with QoS 0 whose rule names none; that of the store unless told. */
  readonly unacknowledged?: Durability | undefined
}

/** Counters of the ingress, and the clients connected now. */
export interface BridgeStats extends IngressStats {
  readonly clients: number
}

/** A running bridge. */
export interface Bridge {
  /** Port of the embedded broker. */
  readonly port: number
  stats(): BridgeStats
  /** Takes no more messages, waits for those in flight, closes the broker. */
  close(): Promise<void>
}

/**
 * Starts the bridge: an embedded broker whose messages become records and notifications by the rules.
 * A sensor is acknowledged when its reading is on flash, in `interval` mode when the store has it.
 * @throws Error that names the rule at fault, the password file that cannot be read, or the port that cannot be had
 */
export async function startBridge({ config, client, listen, ...parts }: BridgeParts): Promise<Bridge> {
  const { log } = parts
  const mapping = compileRules(config.rules, config.namespace)
  const user = await readUser(config.broker)
  const ingress = createIngress({ mapping, client, ...parts })
  const broker = await startBroker({ listen, take: ingress.take, log, ...(user === undefined ? {} : { user }) })
  log('info', 'the bridge takes MQTT messages', { port: broker.port, rules: config.rules.length })
  return {
    port: broker.port,
    stats: () => ({ ...ingress.stats(), clients: broker.clients() }),
    close: () => broker.close(),
  }
}

async function readUser({ username, passwordFile }: BridgeConfig['broker']): Promise<BrokerUser | undefined> {
  if (username === undefined || passwordFile === undefined) return undefined
  const password = (await readFile(passwordFile, 'utf8')).replace(/\r?\n$/, '')
  if (password === '') throw new Error(`${passwordFile} is empty; expected the password of ${username}`)
  return { name: username, password }
}
