import { beforeAll, describe, expect, test } from 'vitest'
import { type AtKey, keyKind, parseAtKey } from '../../src/core/at-key.ts'
import { type AnyVerb, findVerb, verbs } from '../../src/verbs/table.ts'
import {
  asEnrolled,
  asOwner,
  asPeer,
  asPrimary,
  type Client,
  raw,
  startPair,
  type TestServer,
} from '../support/server.ts'
import { letters, listings, table } from './permissions.ts'

interface Cell {
  readonly line: string
  readonly who: string
  readonly expected: string
}

function cellsOf(text: string): Cell[] {
  const rows = text.split('\n').filter((row) => row.trim() !== '')
  const [, ...whos] = (rows[0] ?? '').trim().split(/\s{2,}/)
  return rows.slice(1).flatMap((row) => {
    const [line = '', ...expected] = row.trim().split(/\s{2,}/)
    return whos.map((who, column) => ({ line: line.replace('WHO', who), who, expected: expected[column] ?? '' }))
  })
}

const cells = cellsOf(table)
const listed = cellsOf(listings)
const columns = [...new Set(cells.map(({ who }) => who))]
const columnOf = (who: string, all: readonly Cell[]) =>
  all.filter((cell) => cell.who === who).map(({ line, expected }) => [line, expected] as const)

let alice: TestServer
let bob: TestServer
/** Logged in before the cells below delete the CRAM secret. */
let owner: Client

async function open(who: string): Promise<Client> {
  if (who === 'anyone') return raw(alice)
  if (who === 'cram') return asOwner(alice)
  if (who === 'primary') return asPrimary(alice)
  if (who === 'peer') return asPeer(alice, bob)
  if (who !== 'challenged') return asEnrolled(alice, who)
  const client = await raw(alice)
  await client.ask('from:@alice')
  return client
}

/** Writes every record anew, because cells before may have changed or removed them. */
async function seed(): Promise<void> {
  const expectOk = async (line: string): Promise<void> => expect(await owner.ask(line), line).toMatch(/^data:/)
  for (const key of [
    ...['public:phone.wavi', 'public:phone.buzz', 'phone.wavi', 'phone.buzz', 'nospace', '@bob:phone.wavi'],
    ...[
      '@alice:phone.wavi',
      '@alice:phone.buzz',
      '@bob:phone.buzz',
      '@carol:phone.wavi',
      '_hidden.wavi',
      '@bob:_hidden.wavi',
    ],
    ...['public:__hidden.wavi', 'public:publickey', '@bob:shared_key', 'shared_key.bob', 'my_shared_key.bob'],
    ...['private:blocklist', 'secret.__manage', 'event.__atserver'],
  ]) {
    await expectOk(`update:${key}@alice {}`)
  }
  for (const scope of ['', 'public:', '@bob:', '@alice:']) {
    await expectOk(`update:ttl:1:${scope}expired.wavi@alice v`)
    await expectOk(`update:ttb:3600000:${scope}unborn.wavi@alice v`)
  }
  alice.clock.advance(2)
  const peer = await asPeer(alice, bob)
  for (const name of ['wavi', 'buzz']) {
    expect(await peer.ask(`notify:id:in-${name}:ttr:-1:@alice:phone.${name}@bob:v`)).toMatch(/^data:success/)
    await expectOk(`notify:id:out-${name}:@bob:phone.${name}@alice:v`)
  }
  expect(await peer.ask('notify:id:in-text:messageType:text:@alice:Hello')).toMatch(/^data:success/)
  peer.leave()
  const theirs = await asOwner(bob)
  for (const key of ['@alice:phone.wavi', '@alice:phone.buzz', 'public:phone.wavi']) {
    await theirs.ask(`update:${key}@bob v`)
  }
  theirs.leave()
}

/** Lines after which the session is another one, so that each cell needs its own. */
const changes = /^(from|cram|pkam|pol|monitor|@exit)/

async function answerTo(client: Client, line: string): Promise<string> {
  const { length } = client.chunks
  client.write(`${line}\n${/^(monitor|@exit)/.test(line) ? 'noop:0\n' : ''}`)
  if (line === '@exit') return (await client.closed) === '' && client.chunks.length === length ? '-' : 'bytes'
  const text = await client.take(/^[^\n]*\n(@([^@:\s]+@)?)?/u)
  if (line === 'monitor' && text === 'data:ok\n') return '-'
  // Every command of a batch is judged by itself.
  const code = /^error:AT(\d{4})[-:]|^data:\[.*"error_code":"AT(\d{4})"/.exec(text)
  if (code !== null) return String(Number(code[1] ?? code[2]))
  return text.startsWith('data:') ? 'ok' : 'NaN'
}

/** The letters of the records in a listing. Strangers and peers see keys without the prefix that all of theirs have. */
function shown(reply: string, who: string): string {
  const code = /^error:AT(\d{4})[-:]/.exec(reply)?.[1]
  if (code !== undefined) return String(Number(code))
  const prefix = { anyone: 'public:', challenged: 'public:', peer: '@bob:' }[who] ?? ''
  const names = new Set([...reply.matchAll(/"([^"\\]*@[^"\\]*)\\?"/g)].map(([, name]) => `${prefix}${name}`))
  const found = Object.entries(letters).filter(([, key]) => names.has(key))
  return found.map(([letter]) => letter).join('') || '-'
}

beforeAll(async () => {
  ;({ alice, bob, owner } = await startPair({ r: { namespaces: { wavi: 'r' } }, rw: { namespaces: { wavi: 'rw' } } }))
})

describe.each(columns)('%s', (who) => {
  let client: Client
  beforeAll(async () => {
    await seed()
    client = await open(who)
  })

  test.each(columnOf(who, listed))('%s shows %s', async (line, expected) => {
    const own = await open(who)
    expect(shown(await own.ask(line), who)).toBe(expected)
    own.leave()
  })

  test.each(columnOf(who, cells))('%s: %s', async (line, expected) => {
    if (!changes.test(line)) {
      // A stranger who is refused a hundred times in a row is sent away.
      await client.ask('noop:0')
      expect(await answerTo(client, line)).toBe(expected)
      return
    }
    const own = await open(who)
    expect(await answerTo(own, line)).toBe(expected)
    own.leave()
  })
})

const isHidden = (key: AtKey): boolean => key.entity.startsWith('_')
const isSecret = (key: AtKey): boolean => key.scope === 'private' || key.scope === 'privatekey'
/** What each verb that takes a key has to say something about. */
const classes: Readonly<Record<string, (key: AtKey) => boolean>> = {
  public: (key) => keyKind(key) === 'public' && !isHidden(key),
  self: (key) => keyKind(key) === 'self' && !isHidden(key),
  'shared with the peer': (key) => key.sharedWith === '@bob' && keyKind(key) === 'shared',
  'shared with another': (key) => key.sharedWith === '@carol',
  hidden: isHidden,
  cached: (key) => key.cached,
  reserved: (key) => keyKind(key) === 'reserved' && !isSecret(key),
  private: isSecret,
}

/** The key of a line, judged without the recipient where no key may have both. */
function keyOf(line: string): AtKey | undefined {
  const text = /(?:(?:cached|public|private|privatekey|@\w+):)*[\w.]+@\w+|privatekey:\w+/.exec(line)?.[0]
  if (text === undefined) return undefined
  try {
    return parseAtKey(text)
  } catch {
    return parseAtKey(text.replace(/^@\w+:/, ''))
  }
}

/** Whether the parameters of a verb hold a key, by its own examples. */
const takesKey = ({ examples, grammar }: AnyVerb): boolean =>
  examples.some((example) =>
    Object.values(grammar.parse(findVerb(example)?.rest ?? '') as object).some(
      (member) => typeof member === 'object' && member !== null && 'owner' in member,
    ),
  )

describe('the table is complete', () => {
  const rowsOf = (name: string) => [...cells, ...listed].filter(({ line }) => findVerb(line)?.verb.name === name)

  test.each([...verbs.keys()])('%s has its rows', (name) => {
    expect(rowsOf(name).length).toBeGreaterThan(0)
  })

  test.each([...verbs.values()].filter(takesKey).map(({ name }) => name))(
    '%s has a row for every class of keys',
    (name) => {
      const keys = rowsOf(name).flatMap(({ line }) => keyOf(line.slice(name.length)) ?? [])
      expect(Object.keys(classes).filter((label) => !keys.some(classes[label] ?? isHidden))).toEqual([])
    },
  )

  test('for every kind of session that a verb may admit', () => {
    expect(columns).toEqual(['anyone', 'challenged', 'cram', 'primary', 'r', 'rw', 'peer'])
  })

  test('and every cell says something', () => {
    expect(cells.filter(({ expected }) => !/^(ok|-|\d{1,3})$/.test(expected))).toEqual([])
    expect(listed.filter(({ expected }) => !/^([a-zA-Z]+|-|\d{1,3})$/.test(expected))).toEqual([])
  })
})
