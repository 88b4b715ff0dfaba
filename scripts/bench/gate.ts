// What the gate costs besides a verb's own work, in microseconds a command, as one line of JSON. Bundled before it runs,
// because a loader that keeps names would be measured instead.
import { permits } from '../../src/core/access.ts'
import { systemClock } from '../../src/core/clock.ts'
import type { Session } from '../../src/core/session.ts'
import { createGate } from '../../src/server/dispatch.ts'
import { findVerb, verbs } from '../../src/verbs/table.ts'
import type { Ports } from '../../src/verbs/verb.ts'

const self = '@alice'
const times = 100_000
const rounds = 7

/** Microseconds of one call, the best of some rounds: everything else on the machine only adds. */
function cost(calls: number, task: (index: number) => unknown): number {
  let best = Number.POSITIVE_INFINITY
  for (let round = 0; round < rounds; round++) {
    const began = performance.now()
    for (let index = 0; index < times; index++) task(index % calls)
    best = Math.min(best, (1_000 * (performance.now() - began)) / times)
  }
  return best
}

const session: Session = {
  id: '_0e0e6a5e-7f6c-4a53-9a43-0d8f3f3f8a11',
  identity: { kind: 'owner', via: 'pkam', enrollmentId: 'bench', namespaces: { '*': 'rw', __manage: 'rw' } },
  challenge: undefined,
  clientVersion: '3.0.57',
  remoteAddress: '127.0.0.1',
  certificate: undefined,
}

/** A hot record, so that a look-up is all gate. */
const record = { value: 'v'.repeat(200), metadata: { createdAt: 1, updatedAt: 1, version: 0 }, commitId: 1 }
const ports = { self, clock: systemClock, records: { get: () => record } } as unknown as Ports
const gate = createGate(
  ports,
  Object.assign(() => {}, { enabled: () => false }),
)
const context = { signal: new AbortController().signal, monitoring: false }
let asked = 0
// No line comes twice, so that each is parsed.
const whole = cost(1, () => {
  gate.answer(session, { kind: 'line', text: `llookup:reading${asked++}.bench${self}` }, context)
})

/** Parsing and permission of one line, as the gate does both. */
function judge(line: string): void {
  const found = findVerb(line)
  if (found === undefined) throw new Error(`no verb in ${line}`)
  const params = found.verb.grammar.parse(found.rest)
  for (const access of found.verb.access?.(params, session, self) ?? []) permits(session.identity, access)
}

const each = [...verbs.values()].map(({ name, examples }) => ({
  name,
  cost: cost(examples.length, (index) => judge(examples[index] as string)),
}))
const dearest = each.reduce((one, other) => (other.cost > one.cost ? other : one))
console.log(JSON.stringify({ whole, dearest }))
