import type { Duplex } from 'node:stream'
import type { AtSign } from '../core/at-sign.ts'
import type { Durability } from '../core/storage.ts'

/** Opens a connection to one's own atServer: TLS or inside the process. Called again after each loss. */
export type Connect = () => Promise<Duplex>

/** What `put` may say about a record. */
export interface PutOptions {
  /** When the change is acknowledged; that of the atServer's store unless told. Only inside the process of the atServer. */
  readonly durability?: Durability | undefined
  /** Life in milliseconds. */
  readonly ttl?: number | undefined
  /** Milliseconds before it can be read. */
  readonly ttb?: number
  /** Seconds for which the recipient may keep a copy, -1 for ever. */
  readonly ttr?: number | undefined
  /** Whether the recipient's copy goes when the record goes. */
  readonly ccd?: boolean
}

/** What `notify` may say about a notification. */
export interface NotifyOptions {
  /** As for `put`. */
  readonly durability?: Durability | undefined
  /** Held in memory alone, here and at the recipient: two minutes at most, and no byte reaches the flash (`eph`). */
  readonly ephemeral?: boolean
  readonly operation?: 'update' | 'delete'
  /** Life of the notification in milliseconds. */
  readonly ttln?: number | undefined
  /** Life of the recipient's copy in milliseconds. */
  readonly ttl?: number | undefined
  /** Seconds for which the recipient may keep a copy, -1 for ever. */
  readonly ttr?: number | undefined
  readonly ccd?: boolean
  /** Letters, digits, `-` and `_`; a random UUID unless told. The same id and content again is a retry. */
  readonly id?: string
}

/** A record in clear. */
export interface ReadRecord {
  readonly key: string
  readonly value: string | null
  /** As the atServer shows it. */
  readonly metadata: Record<string, unknown>
  /** The bytes of a binary record, whose `value` is their text form. */
  readonly bytes?: Uint8Array
}

/** A notification in clear. */
export interface ReceivedNotification {
  readonly id: string
  readonly from: AtSign
  readonly to: AtSign
  readonly key: string
  /** Null when there is none, or when it could not be decrypted. */
  readonly value: string | null
  readonly operation: 'update' | 'delete'
  /** Milliseconds since the epoch, by the atServer's clock. */
  readonly at: number
  /** Why the value could not be decrypted. */
  readonly problem?: string
}

export interface MonitorOptions {
  /** Replay stored notifications later than this, in milliseconds since the epoch; undefined replays none. */
  readonly since?: number
  /** Regex on the key or the sender, run by the atServer. */
  readonly pattern?: string
  readonly signal?: AbortSignal
}

/**
 * A client of one atSign. Every method rejects with an AtError that carries the atServer's code. `put`, `delete` and `notify`
 * of one key take effect in the order of the calls, whether or not the caller waits in between.
 */
export interface AtClient {
  readonly atSign: AtSign
  /**
   * Stores a value: public keys in clear and signed, all others encrypted for their reader.
   * @param key `public:x.ns`, `@bob:x.ns` or `x.ns`; the owner may be left out
   * @returns the commit id
   */
  put(key: string, value: string, options?: PutOptions): Promise<number>
  /**
   * Reads a record of one's own or of another atSign (`x.ns@bob`, `public:x.ns@bob`).
   * @returns undefined when there is none
   * @throws AtError AT0011 when it cannot be decrypted
   */
  get(key: string, options?: { bypassCache?: boolean }): Promise<ReadRecord | undefined>
  /** @returns the commit id */
  delete(key: string): Promise<number>
  /** Keys that match a regex, one's own or those that another atSign shares with this one. */
  scan(pattern?: string, options?: { showHidden?: boolean; atSign?: AtSign }): Promise<string[]>
  /** @param key `@bob:x.ns`. @returns the notification's id */
  notify(key: string, value: string | undefined, options?: NotifyOptions): Promise<string>
  /** `queued`, `delivered`, `errored`, `expired`, or `null` for an id that is not known. */
  notificationStatus(id: string): Promise<string>
  /**
   * Notifications as they arrive, over a connection of its own that is made again when it breaks.
   * Ends with the signal, with `close`, or with an error when the atServer refuses the login or the pattern.
   */
  monitor(options?: MonitorOptions): AsyncIterable<ReceivedNotification>
  /** Sends any command line. @returns the reply line without prompt, `data:…` or `error:…` */
  request(line: string): Promise<string>
  close(): Promise<void>
}
