/** The value below which a share of the others lies; NaN of nothing. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN
}

export const median = (values: readonly number[]): number => quantile(values, 0.5)

export const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms))

/** How long and how often everything is measured. */
export interface Pace {
  /** Runs of each side. */
  readonly rounds: number
  /** Length of one run. */
  readonly runMs: number
  readonly warmUpMs: number
  /** Quiet time before memory is read. */
  readonly idleMs: number
}

/** Measures two sides in turns, so that whatever else the machine does weighs on both; medians. */
export async function inTurns(
  rounds: number,
  ours: () => Promise<number>,
  limit: (() => Promise<number>) | undefined,
): Promise<{ ours: number; limit: number | undefined }> {
  const measured: number[] = []
  const beside: number[] = []
  for (let round = 0; round < rounds; round++) {
    if (limit !== undefined) beside.push(await limit())
    measured.push(await ours())
  }
  return { ours: median(measured), limit: limit === undefined ? undefined : median(beside) }
}
