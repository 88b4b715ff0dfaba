import { beforeEach, expect, test } from 'vitest'
import { rootIdentity } from '../../src/core/access.ts'
import { AtError } from '../../src/core/errors.ts'
import { silent } from '../../src/core/log.ts'
import type { Session } from '../../src/core/session.ts'
import type { Store } from '../../src/core/storage.ts'
import { createGate, type Gate } from '../../src/server/dispatch.ts'
import type { Ports } from '../../src/verbs/verb.ts'
import { opened, put, temporary } from '../store/fixtures.ts'

// The gate on a store that can be made to fail, and that counts what is read.

const session: Session = {
  ...{ id: '_1', identity: rootIdentity, challenge: undefined, clientVersion: undefined, certificate: undefined },
  remoteAddress: 'test',
}
const text = 'llookup:k.wavi@alice'

let store: Store
let gate: Gate
let reads: number
let harm: Error | undefined

beforeEach(async () => {
  store = await opened(await temporary())
  await store.write((tx) => put(tx, 'k.wavi@alice', '1'))
  reads = 0
  harm = undefined
  const get: Store['records']['get'] = (key) => {
    reads += 1
    if (harm !== undefined) throw harm
    return store.records.get(key)
  }
  const ports: Partial<Ports> = { self: '@alice', clock: store.clock, records: { ...store.records, get } }
  gate = createGate(ports as Ports, silent)
})

function ask(): string {
  const context = { signal: new AbortController().signal, monitoring: false }
  const answer = gate.answer(session, { kind: 'line', text }, context)
  if ('later' in answer) throw new Error('it should not have waited')
  return answer.text
}

const change = (): Promise<number> => store.write((tx) => put(tx, 'other.wavi@alice', 'x'))

test('a known answer whose record cannot be read any more is told as the error that it is', async () => {
  for (let time = 0; time < 3; time++) expect(ask()).toBe('data:1\n@alice@')
  expect(gate.recall(session, text)?.told).toBe('data:1\n@alice@')
  await change()
  harm = new AtError('AT0002', 'record k.wavi@alice is damaged', { closes: false })
  expect(gate.recall(session, text)).toBeUndefined()
  expect(ask()).toMatch(/^error:AT0002-.*record k\.wavi@alice is damaged\n@alice@$/)
  harm = undefined
  expect(gate.recall(session, text)?.told).toBe('data:1\n@alice@')
})

test('a record that is asked for once is read once', async () => {
  ask()
  expect(reads).toBe(1)
  for (let time = 0; time < 3; time++) ask()
  const before = reads
  for (let time = 0; time < 3; time++) expect(gate.recall(session, text)?.toldBytes).toBe(14)
  expect(reads).toBe(before)
})

test('an answer is right for the session that it was given to', () => {
  for (let time = 0; time < 3; time++) ask()
  expect(gate.recall({ ...session, id: '_2' }, text)?.told).toBe('data:1\n@alice@')
  expect(gate.recall({ ...session, identity: { ...rootIdentity } }, text)).toBeUndefined()
  expect(gate.recall({ ...session, identity: { kind: 'anyone' } }, text)).toBeUndefined()
})
