import type { Clock } from '../core/clock.ts'
import type { Finding, LossReport, StoreState } from '../core/health.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { tables } from './layout.ts'

/** Collects what a store has lost. */
export interface Losses {
  /** Something is gone; each is logged and counted once. */
  found(finding: Finding): void
  /** Something was put right from what else is known. */
  healed(): void
  /** How often. */
  healings(): number
  /** What the start did about it, as a sentence. */
  step(sentence: string): void
  /** Changes after this time may be missing without being named. */
  since(at: number): void
  /** How the store was opened. */
  opened(state: StoreState): void
  state(): StoreState
  /** How many steps and findings this run has brought, those that were known already included. */
  news(): number
  /** The owner has been told of so many more steps and findings. */
  told(count: number): void
  /** Undefined when nothing was lost. */
  report(): LossReport | undefined
  /** The same with what only the next start needs. */
  known(): KnownLosses | undefined
}

/** What a full key of the database stands for. */
export function named(full: string): { what: string; key: string } {
  for (const { prefix, noun } of Object.values(tables)) {
    if (full.startsWith(prefix)) return { what: noun, key: full.slice(prefix.length) }
  }
  return { what: 'entry', key: full }
}

/** The words for a finding. */
export const wordsFor = ({ what, key, cause }: Finding): string => `${what} ${key} ${cause}`

const text = (key: string): string => key.replaceAll(/\p{C}/gu, '?').slice(0, limits.cachedKeyLength)

/** What has been lost, as it outlives a restart. */
export interface KnownLosses {
  readonly at: number
  readonly steps: readonly string[]
  readonly findings: readonly Finding[]
  readonly found: number
  readonly untold: number
  readonly since?: number
  /** When the owner was told of all of it. */
  readonly toldAt?: number
}

/** @param log gets a line for each finding. @param earlier of starts before this one */
export function createLosses(clock: Clock, log: Log, earlier?: KnownLosses): Losses {
  const nameOf = ({ what, key }: Finding): string => `${what} ${key}`
  const known = new Set<string>(earlier?.findings.map(nameOf))
  const findings: Finding[] = [...(earlier?.findings ?? [])]
  const steps: string[] = [...(earlier?.steps ?? [])]
  let found = earlier?.found ?? 0
  let untold = earlier?.untold ?? 0
  let toldAt = earlier?.toldAt
  let healings = 0
  let news = 0
  let at = earlier?.at
  let since = earlier?.since
  let state: StoreState = 'sound'

  function report(): LossReport | undefined {
    if (at === undefined) return undefined
    return { at, steps: [...steps], findings: [...findings], found, untold, ...(since === undefined ? {} : { since }) }
  }

  return {
    found(finding) {
      const clean = { ...finding, key: text(finding.key) }
      news += 1
      if (known.has(nameOf(clean))) return
      if (known.size < limits.findings) known.add(nameOf(clean))
      at ??= clock.now()
      found += 1
      untold += 1
      if (findings.length < limits.reportedFindings) findings.push(clean)
      if (found <= limits.findings) log('error', `${finding.what} ${clean.key} is damaged`, { cause: finding.cause })
    },
    healed() {
      healings += 1
    },
    healings: () => healings,
    step(sentence) {
      log('error', sentence)
      news += 1
      at ??= clock.now()
      // A disk that stays read-only is the same news at every start.
      if (steps.at(-1) === sentence) return
      steps.push(sentence)
      untold += 1
      if (steps.length > limits.reportedSteps) steps.shift()
    },
    since(time) {
      since = Math.min(time, since ?? time)
    },
    opened(next) {
      state = next
    },
    state: () => state,
    news: () => news,
    told(count) {
      untold = Math.max(untold - count, 0)
      toldAt = clock.now()
    },
    report,
    known() {
      const said = report()
      return said && { ...said, ...(toldAt === undefined ? {} : { toldAt }) }
    },
  }
}
