import type { Metadata } from './metadata.ts'

/** A record as stored. */
export interface StoredRecord {
  /** Text exactly as it was sent; null when only metadata was ever written. */
  readonly value: string | null
  readonly metadata: Metadata
  /** Id of the latest commit entry of the key, -1 when it is not in the commit log. */
  readonly commitId: number
}

/** `*` value written, `#` metadata written, `-` removed (page 04, section 1). */
export type CommitOperation = '*' | '#' | '-'

/** The latest change of one key. */
export interface CommitEntry {
  readonly commitId: number
  readonly key: string
  readonly operation: CommitOperation
  /** Milliseconds since the epoch. */
  readonly opTime: number
}
