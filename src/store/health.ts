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
  /** Undefined when nothing was lost. */
  report(): LossReport | undefined
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

/** @param log gets a line for each finding */
export function createLosses(clock: Clock, log: Log): Losses {
  const known = new Set<string>()
  const findings: Finding[] = []
  const steps: string[] = []
  let found = 0
  let healings = 0
  let at: number | undefined
  let since: number | undefined
  let state: StoreState = 'sound'

  return {
    found(finding) {
      const name = `${finding.what} ${finding.key}`
      if (known.has(name)) return
      if (known.size < limits.findings) known.add(name)
      at ??= clock.now()
      found += 1
      const clean = { ...finding, key: text(finding.key) }
      if (findings.length < limits.reportedFindings) findings.push(clean)
      if (found <= limits.findings) log('error', `${finding.what} ${clean.key} is damaged`, { cause: finding.cause })
    },
    healed() {
      healings += 1
    },
    healings: () => healings,
    step(sentence) {
      at ??= clock.now()
      steps.push(sentence)
      log('error', sentence)
    },
    since(time) {
      since = Math.min(time, since ?? time)
    },
    opened(next) {
      state = next
    },
    state: () => state,
    report() {
      if (at === undefined) return undefined
      return { at, steps: [...steps], findings: [...findings], found, ...(since === undefined ? {} : { since }) }
    },
  }
}
