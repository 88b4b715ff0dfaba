/** Why a store does not open, or a snapshot is not taken. `damaged` is for snapshots: a store opens all the same (ladder.ts). */
export type RefusalReason = 'locked' | 'newer' | 'foreign' | 'other-atsign' | 'unreadable' | 'damaged'

/** The store was not opened, and nothing in it was changed. */
export class StoreRefusal extends Error {
  readonly reason: RefusalReason

  constructor(reason: RefusalReason, sentence: string, cause?: unknown) {
    super(sentence, cause === undefined ? undefined : { cause })
    this.name = 'StoreRefusal'
    this.reason = reason
  }
}

/** The innermost message of an error, on one line. */
export function reasonOf(error: unknown): string {
  let innermost = error
  while (innermost instanceof Error && innermost.cause !== undefined) innermost = innermost.cause
  const message = innermost instanceof Error ? innermost.message : String(innermost)
  return message.replaceAll(/\s+/g, ' ').trim()
}

/** Whether an error, or one behind it, has a code such as `ENOENT` or `LEVEL_LOCKED`. */
export const hasCode = (error: unknown, code: string): boolean =>
  error instanceof Error && (('code' in error && error.code === code) || hasCode(error.cause, code))
