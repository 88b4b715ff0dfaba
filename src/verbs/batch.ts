import { catalogue, type ErrorCode, invalidSyntax } from '../core/errors.ts'
import { isDeepJson } from '../core/json.ts'
import { limits } from '../core/limits.ts'
import { jsonLine } from '../core/one-line.ts'
import { flag, type Part, seq } from '../wire/grammar.ts'
import { data } from '../wire/reply.ts'
import { type Call, defineVerb, type Ports } from './verb.ts'

interface Command {
  readonly id: number
  readonly command: string
}

/** What a batch may carry: plain verbs that answer once and leave the session as it is (draft of October 2026). */
const carried: ReadonlySet<string> = new Set([
  ...['update', 'update:meta', 'delete'],
  ...['lookup', 'llookup', 'plookup', 'notify'],
])

/** They enter the store in the order in which they are started, so that several of them can share a flash write. */
const writes: ReadonlySet<string> = new Set(['update', 'update:meta', 'delete'])

function readCommand(element: unknown, index: number): Command {
  const { id, command } = (element ?? {}) as { id?: unknown; command?: unknown }
  if (!Number.isSafeInteger(id)) throw invalidSyntax(`command ${index + 1} of the batch needs a whole number as id`)
  if (typeof command !== 'string') throw invalidSyntax(`command ${index + 1} of the batch needs a text as command`)
  return { id: id as number, command }
}

const commands: Part<{ commands: Command[] }> = {
  read(cursor, out) {
    const text = cursor.text.slice(cursor.at + 1)
    if (cursor.text[cursor.at] !== ':' || text === '') throw invalidSyntax('the list of commands is missing')
    if (isDeepJson(text, limits.batchDepth))
      throw invalidSyntax(`the list is nested deeper than ${limits.batchDepth} levels`)
    let list: unknown
    try {
      list = JSON.parse(text)
    } catch {
      throw invalidSyntax('the list of commands is not JSON')
    }
    if (!Array.isArray(list)) throw invalidSyntax('the list of commands is not a JSON array')
    if (list.length > limits.batchCommands)
      throw invalidSyntax(`more than ${limits.batchCommands} commands in one batch`)
    out['commands'] = list.map(readCommand)
    cursor.at = cursor.text.length
  },
  write: (p) => `:${JSON.stringify(p.commands)}`,
}

/** One answer as JSON. */
interface Entry {
  readonly text: string
  readonly failed: boolean
}

const entryOf = (id: number, response: Record<string, string>, failed: boolean): Entry => ({
  text: jsonLine({ id, response }),
  failed,
})

/** Only the table text of the code: at_client takes it apart no further (page 01, 9.4). */
const refusal = (id: number, code: ErrorCode): Entry =>
  entryOf(id, { error_code: code, error_message: catalogue[code].text }, true)

/** Runs commands of one batch and keeps it within its bounds. */
function createRunner(call: Call, { clock }: Ports): (command: Command) => Promise<Entry> {
  const { signal } = call
  const nested = call.nested()
  const deadline = clock.now() + limits.commandMs
  let bytes = 0
  return async ({ id, command }) => {
    const line = command.trim()
    // On the wire an LF would have ended the command.
    if (!carried.has(nested.verbOf(line) ?? '') || line.includes('\n')) return refusal(id, 'AT0003')
    // Nobody waits for the rest any more, and what comes next on the connection must not run beside it.
    if (signal.aborted || clock.now() >= deadline) return refusal(id, 'AT0023')
    if (bytes >= limits.batchReplyBytes) return refusal(id, 'AT0005')
    const { text, error } = await nested.run(line)
    if (error !== undefined) return refusal(id, error.code)
    const entry = entryOf(id, { data: (text ?? 'data:').slice('data:'.length) }, false)
    bytes += Buffer.byteLength(entry.text)
    return bytes > limits.batchReplyBytes ? refusal(id, 'AT0005') : entry
  }
}

/** Runs every command in order. Writes that follow each other do not wait for flash one by one; a read waits for all. */
async function runAll(list: readonly Command[], call: Call, ports: Ports): Promise<Entry[]> {
  const run = createRunner(call, ports)
  const nested = call.nested()
  const entries: Entry[] = []
  let running: Promise<Entry>[] = []
  for (const command of list) {
    if (!writes.has(nested.verbOf(command.command.trim()) ?? '')) {
      entries.push(...(await Promise.all(running)))
      running = []
      entries.push(await run(command))
    } else running.push(run(command))
  }
  entries.push(...(await Promise.all(running)))
  return entries
}

/** Runs one command after another, each write finished before the next, until one fails. */
async function runUntilFailure(list: readonly Command[], call: Call, ports: Ports): Promise<Entry[]> {
  const nested = call.nested()
  const outsider = list.find(({ command }) => !carried.has(nested.verbOf(command.trim()) ?? ''))
  if (outsider !== undefined) {
    throw invalidSyntax(`a batch does not take "${outsider.command.slice(0, 64)}" (id ${outsider.id}); nothing was run`)
  }
  const run = createRunner(call, ports)
  const entries: Entry[] = []
  for (const command of list) {
    if (entries.at(-1)?.failed) entries.push({ text: jsonLine({ id: command.id, skipped: true }), failed: true })
    else entries.push(await run(command))
  }
  return entries
}

export const batch = defineVerb({
  name: 'batch',
  summary: 'Run several commands with one line; each gets an entry in the answer.',
  grammar: seq(flag('abortOnFailure'), commands),
  admits: ['owner'],
  async run(p, ports, call) {
    const entries = await (p.abortOnFailure ? runUntilFailure : runAll)(p.commands, call, ports)
    return data(`[${entries.map(({ text }) => text).join(',')}]`)
  },
  examples: [
    'batch:[{"id":1,"command":"update:public:city@alice Paris"},{"id":2,"command":"llookup:none.x@alice"}]',
    'batch:abortOnFailure:[{"id":1,"command":"update:ttl:30000:immutable:true:_lock.ns@alice holder"}]',
  ],
})
