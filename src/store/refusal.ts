/** Why a store does not open. */
export type RefusalReason = 'locked' | 'missing' | 'newer' | 'foreign' | 'other-atsign' | 'damaged'

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
