import { batch } from './batch.ts'
import { config } from './config.ts'
import { cram } from './cram.ts'
import { deleteVerb } from './delete.ts'
import { exit } from './exit.ts'
import { from } from './from.ts'
import { info } from './info.ts'
import { keys } from './keys.ts'
import { llookup } from './llookup.ts'
import { lookup } from './lookup.ts'
import { monitor } from './monitor.ts'
import { noop } from './noop.ts'
import { notify } from './notify.ts'
import { notifyAll } from './notify-all.ts'
import { notifyFetch } from './notify-fetch.ts'
import { notifyList } from './notify-list.ts'
import { notifyMulti } from './notify-multi.ts'
import { notifyRemove } from './notify-remove.ts'
import { notifyStatus } from './notify-status.ts'
import { pkam } from './pkam.ts'
import { plookup } from './plookup.ts'
import { pol } from './pol.ts'
import { scan } from './scan.ts'
import { stats } from './stats.ts'
import { stream } from './stream.ts'
import { sync } from './sync.ts'
import { to } from './to.ts'
import { update } from './update.ts'
import { updateMeta } from './update-meta.ts'
import type { Verb } from './verb.ts'

/** A verb whose parameter type is no longer known; the gate hands it only what its own grammar parsed. */
export type AnyVerb = Verb<unknown>

const all = [
  from,
  cram,
  pkam,
  pol,
  to,
  update,
  updateMeta,
  deleteVerb,
  llookup,
  lookup,
  plookup,
  scan,
  notify,
  notifyMulti,
  notifyAll,
  notifyList,
  notifyFetch,
  notifyStatus,
  notifyRemove,
  monitor,
  sync,
  batch,
  stats,
  config,
  keys,
  stream,
  info,
  noop,
  exit,
] as unknown as readonly AnyVerb[]

/** Every verb of the server, by its name. */
export const verbs: ReadonlyMap<string, AnyVerb> = new Map(all.map((verb) => [verb.name, verb]))

/** First words that are followed by a second one (`update:meta`), so that most lines need one look-up. */
const families: ReadonlySet<string> = new Set(
  all.filter((verb) => verb.name.includes(':')).map((verb) => verb.name.slice(0, verb.name.indexOf(':'))),
)

const wordEnd = /[: ]/

/**
 * Finds the verb of a line and the text behind its name. Letter case of the verb word does not matter; as released
 * servers do, blanks inside it are dropped when it means nothing with them (page 01, section 7).
 * @returns undefined for an unknown verb
 */
export function findVerb(line: string): { verb: AnyVerb; rest: string } | undefined {
  const end = line.search(wordEnd)
  const word = end === -1 ? line : line.slice(0, end)
  if (word.startsWith('@')) {
    const verb = line === word ? verbs.get(word) : undefined
    return verb === undefined ? undefined : { verb, rest: '' }
  }
  const folded = word.toLowerCase()
  const rest = end === -1 ? '' : line.slice(end)
  if (families.has(folded) && rest.startsWith(':')) {
    const second = rest.slice(1).search(wordEnd)
    const next = second === -1 ? rest.slice(1) : rest.slice(1, second + 1)
    const verb = verbs.get(`${folded}:${next.toLowerCase()}`)
    if (verb !== undefined) return { verb, rest: rest.slice(next.length + 1) }
  }
  const verb = verbs.get(folded)
  if (verb !== undefined) return { verb, rest }
  const colon = line.indexOf(':')
  if (end === -1 || line[end] === ':' || colon === -1) return undefined
  const joined = line.slice(0, colon).replaceAll(' ', '')
  return joined === word ? undefined : findVerb(`${joined}${line.slice(colon)}`)
}
