import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import type { Clock } from '../core/clock.ts'
import type { Finding } from '../core/health.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { readDurable, writeDurably } from './durable-file.ts'
import type { KnownLosses, Losses } from './health.ts'
import { reasonOf } from './refusal.ts'

// What was lost is told by a file beside the database until the owner has heard of it, and for some days after: a start
// that put everything right is followed by one that finds nothing wrong.

const fileName = 'losses.json'

type Members = Readonly<Record<string, unknown>>

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && Number(value) >= 0
const isTime = (value: unknown): value is number => typeof value === 'number' && Number.isFinite(value)

function readFinding(value: unknown): Finding[] {
  if (typeof value !== 'object' || value === null) return []
  const { what, key, cause, commitId } = value as Members
  if (typeof what !== 'string' || typeof key !== 'string' || typeof cause !== 'string') return []
  return [{ what, key, cause, ...(isCount(commitId) ? { commitId } : {}) }]
}

const list = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : [])

/** @returns undefined when it is no report */
function readLosses({ at, steps, findings, found, untold, since, toldAt }: Members): KnownLosses | undefined {
  if (!isTime(at) || !isCount(found) || !isCount(untold)) return undefined
  return {
    ...{ at, found, untold },
    steps: list(steps)
      .filter((step) => typeof step === 'string')
      .slice(-limits.reportedSteps),
    findings: list(findings).slice(0, limits.reportedFindings).flatMap(readFinding),
    ...(isTime(since) ? { since } : {}),
    ...(isTime(toldAt) ? { toldAt } : {}),
  }
}

/** What earlier starts have left to be told. @param directory of the store */
export async function earlierLosses(directory: string, clock: Clock): Promise<KnownLosses | undefined> {
  const file = await readDurable(join(directory, fileName)).catch(() => undefined)
  const known = file?.members && readLosses(file.members)
  const isOver = known?.untold === 0 && clock.now() - (known.toldAt ?? known.at) > limits.reportMs
  return isOver ? undefined : known
}

/** @returns a function that writes down what is new, or that there is nothing; what cannot be written is tried again */
export function createLossKeeper(directory: string, losses: Losses, log: Log): () => Promise<void> {
  const path = join(directory, fileName)
  const textOf = (known: KnownLosses | undefined): string => JSON.stringify(known ?? null)
  let kept = losses.known() === undefined ? '' : textOf(losses.known())
  let isSaid = false
  return async () => {
    const known = losses.known()
    if (textOf(known) === kept) return
    try {
      if (known === undefined) await rm(path, { force: true })
      else await writeDurably(path, { ...known })
      kept = textOf(known)
    } catch (cause) {
      if (!isSaid) log('warn', 'what was lost cannot be written down for the next start', { cause: reasonOf(cause) })
      isSaid = true
    }
  }
}
