/** One thing that is gone or cannot be read. */
export interface Finding {
  /** What it is, as in `record`, `commit entry`, `notification`. */
  readonly what: string
  /** Its key, or the place where it lay. Never a value. */
  readonly key: string
  /** The commit id that is gone with it, where one is known. */
  readonly commitId?: number
  readonly cause: string
}

/**
 * What a store has lost since it was opened, and before as long as the owner was not told or a week has not gone by since;
 * a plain value, bounded.
 */
export interface LossReport {
  /** When the first of it was noticed, in milliseconds since the epoch by the device's clock. */
  readonly at: number
  /** What the latest starts had to do, in order; sentences. */
  readonly steps: readonly string[]
  /** The first findings. */
  readonly findings: readonly Finding[]
  /** How many findings there are in all. */
  readonly found: number
  /** How many steps and findings the owner was not told yet. */
  readonly untold: number
  /** Changes after this time may be missing without being named; undefined when every loss is named. */
  readonly since?: number
}

/**
 * How a store was opened: undisturbed; after repair; from a snapshot; anew because nothing was left; or for reading alone.
 * `down`: it failed while running and could not be opened again yet; nothing can be read, and it is tried again.
 */
export type StoreState = 'sound' | 'repaired' | 'restored' | 'anew' | 'read-only' | 'down'

/** How far the background check of everything stored has come. */
export interface ScrubProgress {
  /** Times that everything was read since the store was opened. */
  readonly rounds: number
  /** Bytes read since the store was opened. */
  readonly bytes: number
}

/** How a store is. */
export interface StoreHealth {
  readonly state: StoreState
  /** Why it takes no changes, while it takes none. */
  readonly readOnly?: string
  /** Undefined when nothing was lost. */
  readonly report?: LossReport
  /** Rows that were put right from what others say about them. */
  readonly healed: number
  /** Damaged values kept for inspection. */
  readonly quarantined: number
  readonly scrub: ScrubProgress
}
