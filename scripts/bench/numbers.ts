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

/** Medians of two sides that were measured in turns. */
export interface Sides {
  readonly ours: number
  /** What the limit reached, and the median of ours over limit, round by round; undefined when it is not installed. */
  readonly beside: { readonly limit: number; readonly ratio: number } | undefined
}

/** Measures two sides in turns, so that whatever else the machine does weighs on both. */
export async function inTurns(
  rounds: number,
  ours: () => Promise<number>,
  limit: (() => Promise<number>) | undefined,
): Promise<Sides> {
  const measured: number[] = []
  const limits: number[] = []
  const ratios: number[] = []
  for (let round = 0; round < rounds; round++) {
    const before = await limit?.()
    const now = await ours()
    measured.push(now)
    if (before === undefined) continue
    limits.push(before)
    ratios.push(now / before)
  }
  const beside = limits.length === 0 ? undefined : { limit: median(limits), ratio: median(ratios) }
  return { ours: median(measured), beside }
}
