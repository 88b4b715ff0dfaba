import fc from 'fast-check'
import { beforeEach, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { findVerb, verbs } from '../../src/verbs/table.ts'
import { isOf, mayChangeSession, monsters, mutated } from '../fuzz/lines.ts'
import { asOwner, asPeer, type Client, connectServers, raw, startServer } from '../support/server.ts'

const all = [...verbs.values()]
const examples = all.flatMap((verb) => verb.examples.map((example) => [verb.name, example] as const))

describe('every verb', () => {
  test.each(all.map((verb) => [verb.name, verb] as const))(
    '%s says what it is for and shows how it is used',
    (_, verb) => {
      expect(verb.summary).toMatch(/^[A-Z][^\n]{10,110}\.$/)
      expect(verb.examples.length).toBeGreaterThan(0)
      expect(verb.admits.length).toBeGreaterThan(0)
    },
  )

  test.each(examples)('%s: %s is found, read, and written again with the same meaning', (name, example) => {
    const found = findVerb(example)
    expect(found?.verb.name).toBe(name)
    if (found === undefined) return
    const { grammar } = found.verb
    const params = grammar.parse(found.rest)
    const written = grammar.format(params)
    expect(findVerb(`${name}${written}`)?.verb.name).toBe(name)
    expect(grammar.parse(written)).toEqual(params)
    expect(grammar.format(grammar.parse(written))).toBe(written)
  })
})

describe('a verb is found', () => {
  test.each([
    ['UPDATE:x@alice v', 'update', ':x@alice v'],
    ['Update:Meta:x@alice', 'update:meta', ':x@alice'],
    ['update:metadata@alice v', 'update', ':metadata@alice v'],
    ['update:nc:x@alice v', 'update', ':nc:x@alice v'],
    ['notify:STATUS:id', 'notify:status', ':id'],
    ['notify:@bob:x@alice', 'notify', ':@bob:x@alice'],
    ['scan ^public:', 'scan', ' ^public:'],
    ['monitor a:b', 'monitor', ' a:b'],
    ['up date:x@alice v', 'update', ':x@alice v'],
    ['update :x@alice v', 'update', ' :x@alice v'],
    ['pol', 'pol', ''],
    ['@exit', '@exit', ''],
  ])('%s is %s (page 01, section 7)', (line, name, rest) => {
    const found = findVerb(line)
    expect([found?.verb.name, found?.rest]).toEqual([name, rest])
  })

  test.each([
    '',
    ':',
    '::',
    ' ',
    '@',
    '@EXIT',
    '@exit:',
    'constructor',
    '__proto__:x',
    'toString:',
    'scanxscan',
    'updat:x',
    'streams',
    'cm a:b:c',
  ])('%j is none', (line) => {
    expect(findVerb(line)).toBeUndefined()
  })
})

const mark = 'data:ok\n'
/** The one refusal here that closes: a `from` by an atSign that an earlier line has put on the block list. */
const blocked = 'error:AT0013-'

/** Every stored key, its last change, and how many notifications there are. */
async function dump(client: Client): Promise<string> {
  const notifications = /\\"total\\":\d+/.exec(await client.ask('stats:11'))
  return `${await client.ask('scan:showhidden:true')}${await client.ask('scan:cl:showhidden:true')}${notifications}`
}

// `npm run test:fuzz` sends a hundred thousand of them.
describe('hostile lines', () => {
  // A monitor and an @exit have no reply of their own, and the clock of these servers stands still.
  const samples = (count: number, start: number): string[] =>
    fc.sample(mutated, { numRuns: count, seed: start }).filter((line) => !isOf(line, 'monitor', '@exit', 'noop'))
  const seed = Math.floor(1e9 * Math.random())
  let last = ''
  beforeEach(({ onTestFailed }) => {
    onTestFailed(() => console.error(`seed ${seed}; the last line sent: ${JSON.stringify(last.slice(0, 500))}`))
  })

  /**
   * Sends a line and a heartbeat behind its answer.
   * @returns the answer, when it is one whole reply and the heartbeat has one of its own
   */
  async function exchange(client: Client, line: string): Promise<string> {
    last = line
    const reply = await client.ask(line)
    expect(reply).toMatch(/^(data:|error:AT\d{4}[-:])[^\n]*\n@([^@:\s]+@)?$/u)
    if (!reply.startsWith(blocked)) expect((await client.ask('noop:0')).slice(0, mark.length)).toBe(mark)
    return reply
  }

  test('of the owner are answered one by one, and a refused one changes nothing', async () => {
    const alice = await startServer()
    const observer = await asOwner(alice)
    let owner = await asOwner(alice)
    let before = ''
    for (const [index, line] of [...monsters, ...samples(300, seed)].entries()) {
      if (index % 20 === 0) before = await dump(observer)
      const reply = await exchange(owner, line)
      if (reply.startsWith('data:')) before = ''
      if (index % 20 === 19 && before !== '') expect(await dump(observer)).toBe(before)
      if (reply.endsWith('\n@alice@') && !reply.startsWith(blocked)) continue
      // Only a line that asks for it takes the login away.
      expect([line, mayChangeSession(line)]).toEqual([line, true])
      owner.leave()
      owner = await asOwner(alice)
    }
    expect(await observer.ask('llookup:public:signing_publickey@alice')).toMatch(/^data:MII.*\n@alice@$/)
  })

  test('that are refused change nothing, each looked at alone', async () => {
    const alice = await startServer()
    const owner = await asOwner(alice)
    await owner.ask('update:public:a.wavi@alice v')
    for (const line of samples(60, seed + 1).filter((sample) => !mayChangeSession(sample))) {
      const before = await dump(owner)
      if ((await exchange(owner, line)).startsWith('error:')) expect([line, await dump(owner)]).toEqual([line, before])
    }
  })

  test('of a stranger change nothing and log nobody in', async () => {
    const alice = await startServer()
    const owner = await asOwner(alice)
    const before = await dump(owner)
    const short = monsters.filter((line) => line.length < limits.openLineBytes)
    let client = await raw(alice)
    for (const line of [...short, ...samples(200, seed + 2)]) {
      expect(await exchange(client, line)).toMatch(/\n@$/)
      if (!mayChangeSession(line)) continue
      client.leave()
      client = await raw(alice)
    }
    expect(await dump(owner)).toBe(before)
  })

  test('of a peer end in its prompt, or in that of an error', async () => {
    const alice = await startServer()
    const bob = await startServer({ atSign: '@bob' })
    connectServers(alice, bob)
    const peer = await asPeer(alice, bob)
    for (const line of [...monsters, ...samples(100, seed + 3)].filter((sample) => !mayChangeSession(sample))) {
      const reply = await exchange(peer, line)
      expect([line, reply.endsWith(reply.startsWith('data:') ? '\n@bob@' : '\n@')]).toEqual([line, true])
    }
  })

  test('that are too long for a stranger are told so, and the connection closes', async () => {
    const alice = await startServer()
    for (const line of monsters.filter((monster) => monster.length > limits.openLineBytes)) {
      const client = await raw(alice)
      client.write(`${line}\n`)
      expect(await client.closed).toMatch(/^error:AT0005-[^\n]*\n@$/)
    }
  })
})
