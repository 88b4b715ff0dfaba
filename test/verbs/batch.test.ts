import { beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { asEnrolled, asOwner, type Client, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
let batches = 0
beforeAll(async () => {
  alice = await startServer({
    enrollments: { app: { namespaces: { wavi: 'rw' } } },
    seams: {
      aroundBatch: (write) => {
        batches++
        return write()
      },
    },
  })
  owner = await asOwner(alice)
})

const lineOf = (commands: readonly string[], option = ''): string =>
  `batch:${option}${JSON.stringify(commands.map((command, index) => ({ id: index + 1, command })))}`

async function answers(commands: readonly string[], option = '', client: Client = owner): Promise<unknown[]> {
  const reply = await client.ask(lineOf(commands, option))
  expect(reply).toMatch(/^data:\[.*\]\n@alice@$/)
  return JSON.parse(reply.slice('data:'.length, reply.indexOf('\n')))
}
const refusal = (code: string, message: string) => ({ error_code: code, error_message: message })
const syntax = refusal('AT0003', 'Invalid syntax')

test('every command has its entry, in order, byte for byte (page 01, 9.4)', async () => {
  const line = lineOf(['update:public:city@alice Paris', 'llookup:none.x@alice'])
  expect(await owner.ask(line)).toBe(
    'data:[{"id":1,"response":{"data":"1"}},{"id":2,"response":{"error_code":"AT0015","error_message":"key not found"}}]\n@alice@',
  )
})

test('what today’s clients send is taken, and reads see the writes before them', async () => {
  const commands = [
    ...['update:a.wavi@alice one', 'update:meta:a.wavi@alice:ttl:60000', 'llookup:a.wavi@alice', 'delete:a.wavi@alice'],
    ...['llookup:a.wavi@alice', 'update:a.wavi@alice two', 'lookup:@alice:none.wavi@alice', 'plookup:city@alice'],
    ...['notify:id:in-batch:@alice:n.wavi@alice:v', 'llookup:a.wavi@alice', ' UPDATE:nc:b.wavi@alice v '],
  ]
  const responses = (await answers(commands)).map((entry) => (entry as { response: unknown }).response)
  const id = Number((responses[0] as { data: string }).data)
  expect(responses).toEqual([
    ...[{ data: String(id) }, { data: String(id + 1) }, { data: 'one' }, { data: String(id + 2) }],
    ...[refusal('AT0015', 'key not found'), { data: String(id + 3) }, refusal('AT0015', 'key not found')],
    ...[{ data: 'Paris' }, { data: 'in-batch' }, { data: 'two' }, { data: '-1' }],
  ])
})

test('the document of an update:json is a text like any other', async () => {
  const document = JSON.stringify({
    ...{ atKey: 'doc.wavi', value: 'say "hi"', sharedBy: '@alice' },
    metadata: { isPublic: false, isBinary: false, isEncrypted: false },
  })
  const [, read] = await answers([`update:json:${document}`, 'llookup:doc.wavi@alice'])
  expect(read).toEqual({ id: 2, response: { data: 'say "hi"' } })
})

test('writes that follow each other share flash writes, and their ids follow their order', async () => {
  const before = batches
  const entries = await answers(Array.from({ length: 200 }, (_, index) => `update:many${index}.wavi@alice v`))
  const ids = entries.map((entry) => Number((entry as { response: { data: string } }).response.data))
  expect(ids).toEqual(ids.map((_, index) => (ids[0] ?? 0) + index))
  expect(batches - before).toBeLessThan(5)
})

test('a later write of the same key wins', async () => {
  await answers([
    'update:same.wavi@alice one',
    'update:same.wavi@alice two',
    'delete:same.wavi@alice',
    'update:same.wavi@alice three',
  ])
  expect(await owner.ask('llookup:same.wavi@alice')).toBe('data:three\n@alice@')
})

test('what changes the session or never answers is refused by entry', async () => {
  const refused = [
    ...['batch:[]', 'batch:[{"id":1,"command":"noop:0"}]', 'monitor', 'from:@alice', 'pkam:AAAA', 'cram:00', 'pol'],
    ...['@exit', 'noop:5000', 'scan', 'notify:list', 'bogus', '', 'update:a\nb@alice v', 'update:x@alice'],
  ]
  const entries = await answers([...refused, 'update:last.wavi@alice v'])
  expect(entries.slice(0, -1)).toEqual(refused.map((_, index) => ({ id: index + 1, response: syntax })))
  expect(entries.at(-1)).toEqual({ id: refused.length + 1, response: { data: expect.stringMatching(/^\d+$/) } })
  expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
})

test('each command needs the permission that it would need alone', async () => {
  const app = await asEnrolled(alice, 'app')
  await owner.ask('update:x.buzz@alice v')
  const denied = refusal('AT0009', 'UnAuthorized client in request')
  expect(await answers(['update:x.wavi@alice v', 'update:x.buzz@alice w', 'llookup:x.buzz@alice'], '', app)).toEqual([
    { id: 1, response: { data: expect.any(String) } },
    { id: 2, response: denied },
    { id: 3, response: denied },
  ])
})

test('ids are the client’s own, and need not be in order', async () => {
  expect(
    await owner.ask('batch:[{"id":9,"command":"plookup:city@alice"},{"command":"plookup:city@alice","id":9}]'),
  ).toBe('data:[{"id":9,"response":{"data":"Paris"}},{"id":9,"response":{"data":"Paris"}}]\n@alice@')
  expect(await owner.ask('batch:[]')).toBe('data:[]\n@alice@')
})

describe('abortOnFailure (draft of October 2026)', () => {
  const lock = 'update:ttl:30000:immutable:true:_lock.wavi@alice'

  test('a lock and what it guards go in one request, and nothing runs behind a failure', async () => {
    expect(await answers([`${lock} holder1`, 'update:guarded.wavi@alice one'], 'abortOnFailure:')).toEqual([
      { id: 1, response: { data: expect.any(String) } },
      { id: 2, response: { data: expect.any(String) } },
    ])
    const second = [`${lock} holder2`, 'update:guarded.wavi@alice two', 'delete:guarded.wavi@alice']
    expect(await owner.ask(lineOf(second, 'abortOnFailure:'))).toBe(
      'data:[{"id":1,"response":{"error_code":"AT0032","error_message":"Illegal state exception"}},' +
        '{"id":2,"skipped":true},{"id":3,"skipped":true}]\n@alice@',
    )
    expect(await owner.ask('llookup:guarded.wavi@alice')).toBe('data:one\n@alice@')
  })

  test('one command outside the set refuses the whole batch by name, and nothing was run', async () => {
    expect(await owner.ask(lineOf(['update:never.wavi@alice v', 'scan', 'monitor'], 'abortOnFailure:'))).toBe(
      'error:AT0003-Invalid syntax : a batch does not take "scan" (id 2); nothing was run\n@alice@',
    )
    expect(await owner.ask('llookup:never.wavi@alice')).toMatch(/^error:AT0015-/)
  })

  test('a command that cannot be read fails like any other', async () => {
    const entries = await answers(
      ['update:before.wavi@alice v', 'update:bad', 'update:after.wavi@alice v'],
      'abortonfailure:',
    )
    expect(entries).toEqual([
      { id: 1, response: { data: expect.any(String) } },
      { id: 2, response: syntax },
      { id: 3, skipped: true },
    ])
  })
})

describe('bounds', () => {
  test.each([
    ['10,000 arrays inside one another', `batch:${'['.repeat(10_000)}${']'.repeat(10_000)}`],
    ['10,000 objects without an end', `batch:${'{"a":'.repeat(10_000)}`],
    ['a deep member', `batch:[{"id":1,"command":"noop:0","x":${'['.repeat(9)}${']'.repeat(9)}}]`],
    ['too many commands', lineOf(Array.from({ length: limits.batchCommands + 1 }, () => 'x'))],
    ['no list', 'batch:{"id":1,"command":"noop:0"}'],
    ['no JSON', 'batch:[{'],
    ['nothing', 'batch:'],
    ['nothing at all', 'batch'],
    ['an id that is none', 'batch:[{"id":"1","command":"noop:0"}]'],
    ['no command', 'batch:[{"id":1}]'],
    ['null', 'batch:[null]'],
    ['a flag with a value', 'batch:abortOnFailure:true:[]'],
  ])('%s is AT0003, and the connection stays open', async (_, line) => {
    expect(await owner.ask(line)).toMatch(/^error:AT0003-[^\n]*\n@alice@$/)
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })

  test('brackets inside texts do not count', async () => {
    expect(await answers([`update:brackets.wavi@alice ${'['.repeat(50)}\\"{`])).toHaveLength(1)
  })

  test('as many commands as allowed are answered', async () => {
    const entries = await answers(Array.from({ length: limits.batchCommands }, () => 'llookup:none.wavi@alice'))
    expect(entries).toHaveLength(limits.batchCommands)
  })

  test('answers end where clients could not read them any more', async () => {
    await owner.ask(`update:large.wavi@alice ${'x'.repeat(3_000_000)}`)
    const entries = await answers([
      ...Array.from({ length: 5 }, () => 'llookup:large.wavi@alice'),
      'update:small.wavi@alice v',
    ])
    const full = refusal('AT0005', 'Buffer limit exceeded')
    expect(entries.slice(2)).toEqual([3, 4, 5, 6].map((id) => ({ id, response: full })))
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
  })
})
