/** What a rule leaves out. */
export interface Policy {
  /** Milliseconds between two readings of one key. */
  readonly minInterval?: number
  /** Least change of a number; other values pass when they differ. */
  readonly changeThreshold?: number
}

/** The last reading of a key that was stored. */
export interface Last {
  readonly at: number
  readonly value: string | number | boolean
}

/** Whether a policy leaves out anything: for one that does not, no reading has to be remembered. */
export const isSelective = ({ minInterval, changeThreshold }: Policy): boolean =>
  minInterval !== undefined || changeThreshold !== undefined

/** Whether a reading is worth storing after the last one. The first always is; a clock that went back holds nothing up. */
export function passes(policy: Policy, last: Last | undefined, next: Last): boolean {
  if (last === undefined) return true
  const elapsed = next.at - last.at
  if (policy.minInterval !== undefined && elapsed >= 0 && elapsed < policy.minInterval) return false
  if (policy.changeThreshold === undefined) return true
  if (typeof last.value !== 'number' || typeof next.value !== 'number') return next.value !== last.value
  // Rounded to twelve digits: 21.5 - 21.4 is a little less than 0.1 in binary.
  return Number(Math.abs(next.value - last.value).toPrecision(12)) >= policy.changeThreshold
}
