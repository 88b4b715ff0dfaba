import { AtError } from '../core/errors.ts'
import type { Tuning } from '../verbs/verb.ts'

/** What the settings are for that mean something here. */
export interface Tuned {
  /** Connections from other machines at one time. */
  readonly inboundMaxLimit: number
  /** Whether changes of shared records are announced to their recipients. */
  readonly autoNotify: boolean
}

const mostPlaces = 100_000
const longestValue = 64

const refuse = (name: string, expected: string): AtError => new AtError('AT0022', `${name} takes ${expected}`)

function count(name: string, text: string): number {
  const value = /^\d{1,6}$/.test(text) ? Number(text) : 0
  if (value < 1 || value > mostPlaces) throw refuse(name, `a whole number from 1 to ${mostPlaces}`)
  return value
}

function flag(name: string, text: string): boolean {
  if (text !== 'true' && text !== 'false') throw refuse(name, 'true or false')
  return text === 'true'
}

/**
 * Settings of a running atServer, for tests of clients as against a released one. What means nothing here, such as how often
 * a log is compacted, is remembered and shown.
 * @param usual what the configuration says
 * @param refreshNow has copies of other atSigns' records refreshed
 */
export function createTuning(usual: Tuned, refreshNow: () => void): Tuning & { readonly tuned: Tuned } {
  const values = new Map<string, string>()
  const given = <T>(name: keyof Tuned, read: (name: string, text: string) => T): T | undefined => {
    const text = values.get(name)
    return text === undefined ? undefined : read(name, text)
  }
  const tuned: Tuned = {
    get inboundMaxLimit() {
      return given('inboundMaxLimit', count) ?? usual.inboundMaxLimit
    },
    get autoNotify() {
      return given('autoNotify', flag) ?? usual.autoNotify
    },
  }

  return {
    tuned,
    set(name, value) {
      if (name === 'inboundMaxLimit') count(name, value)
      else if (name === 'autoNotify') flag(name, value)
      else if (name === 'doCacheRefreshNow' && flag(name, value)) refreshNow()
      else if (value === '' || value.length > longestValue) throw refuse(name, `1 to ${longestValue} characters`)
      values.set(name, value)
    },
    reset: (name) => void values.delete(name),
    print(name) {
      if (name === 'inboundMaxLimit' || name === 'autoNotify') return String(tuned[name])
      return values.get(name) ?? null
    },
  }
}
