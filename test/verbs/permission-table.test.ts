import { beforeAll, describe, expect, test } from 'vitest'
import { findVerb, verbs } from '../../src/verbs/table.ts'
import {
  asEnrolled,
  asOwner,
  asPeer,
  asPrimary,
  type Client,
  connectServers,
  raw,
  startServer,
  type TestServer,
} from '../support/server.ts'

/**
 * Who may send what: `ok`, the digits of the refusing code, or `-` for no answer at all. `cram` and `primary` are the
 * owner by CRAM and by the legacy credential, `r` and `rw` enrollments of the namespace `wavi` alone, `peer` is the
 * atServer of @bob. Pages 01 (section 7), 03 (sections 3 to 11), 07 (9, 15, 16.3) and 08 (section 7).
 *
 * Deviations from the reference, on purpose:
 *  a  A scope in front of the key is understood by `lookup`; the reference doubles the prefix and finds nothing.
 *  b  What a stranger or a peer may not see does not exist for it: AT0015, never AT0009.
 *  c  Expired and unborn records are AT0015, where the reference answers `data:null` (page 06, section 5).
 *  d  `private:` and `privatekey:` names are read by no enrollment; the reference judges some by namespace match.
 *  e  The signing keys are refused to everyone for writing; the reference refuses their removal alone.
 *  f  A reserved name counts when it is the whole name: `my_shared_key.bob` is not a shared key.
 *  g  A peer is told AT0009 for a public notification; a client is told AT0003 instead of a broken delivery.
 *  h  `notify` of a text needs what a key without namespace needs, so that no narrow enrollment speaks for its owner.
 *  i  `plookup` of a key that is shared or cached finds nothing; the reference doubles the prefix.
 */
const table = `
line                                              anyone  challenged  cram  primary  r     rw    peer

from:@alice                                       ok      ok          ok    ok       ok    ok    ok
from:@carol                                       ok      ok          ok    ok       ok    ok    ok
to:@alice                                         ok      ok          ok    ok       ok    ok    ok
to:@bob                                           7       7           7     7        7     7     7
cram:00                                           15      401         15    15       15    15    15
pkam:AAAA                                         401     401         401   401      401   401   401
pol                                               11      11          11    11       11    11    11
info                                              ok      ok          ok    ok       ok    ok    ok
noop:0                                            ok      ok          ok    ok       ok    ok    ok
stats                                             401     401         ok    ok       ok    ok    401
monitor                                           401     401         -     -        -     -     401
@exit                                             -       -           -     -        -     -     -
notify:status:none                                401     401         ok    ok       ok    ok    401

notify:list                                       401     401         ok    ok       ok    ok    ok
notify:fetch:none                                 401     401         ok    ok       ok    ok    401
notify:remove:none                                401     401         ok    ok       ok    ok    401
sync:from:-1                                      401     401         ok    ok       ok    ok    401
batch:[]                                          401     401         ok    ok       ok    ok    401
config:block:show                                 401     401         ok    ok       9     9     401
keys:get:self                                     401     401         11    ok       ok    ok    401
stream:init@bob namespace:wavi 1 file 2           3       3           3     3        3     3     3

scan                                              ok      ok          ok    ok       ok    ok    ok
scan:cl                                           401     401         ok    ok       ok    ok    401
scan:@alice                                       ok      ok          ok    ok       ok    ok    ok
scan:@bob                                         401     401         ok    ok       ok    ok    401

llookup:public:phone.wavi@alice                   401     401         ok    ok       ok    ok    401
llookup:public:phone.buzz@alice                   401     401         ok    ok       ok    ok    401
llookup:phone.wavi@alice                          401     401         ok    ok       ok    ok    401
llookup:phone.buzz@alice                          401     401         ok    ok       9     9     401
llookup:nospace@alice                             401     401         ok    ok       9     9     401
llookup:@bob:phone.wavi@alice                     401     401         ok    ok       ok    ok    401
llookup:@bob:phone.buzz@alice                     401     401         ok    ok       9     9     401
llookup:@carol:phone.wavi@alice                   401     401         ok    ok       ok    ok    401
llookup:_hidden.wavi@alice                        401     401         ok    ok       ok    ok    401
llookup:public:__hidden.wavi@alice                401     401         ok    ok       ok    ok    401
llookup:cached:@alice:phone.wavi@bob              401     401         ok    ok       ok    ok    401
llookup:cached:@alice:phone.buzz@bob              401     401         ok    ok       9     9     401
llookup:public:publickey@alice                    401     401         ok    ok       ok    ok    401
llookup:@bob:shared_key@alice                     401     401         ok    ok       ok    ok    401
llookup:shared_key.bob@alice                      401     401         ok    ok       ok    ok    401
llookup:my_shared_key.bob@alice                   401     401         ok    ok       9     9     401    f
llookup:private:blocklist@alice                   401     401         ok    9        9     9     401    d
llookup:privatekey:at_secret                      401     401         15    9        9     9     401    d
llookup:secret.__manage@alice                     401     401         ok    9        9     9     401
llookup:missing.wavi@alice                        401     401         15    15       15    15    401
llookup:missing.buzz@alice                        401     401         15    15       9     9     401
llookup:expired.wavi@alice                        401     401         15    15       15    15    401    c
llookup:unborn.wavi@alice                         401     401         15    15       15    15    401    c

lookup:phone.wavi@alice                           ok      ok          ok    ok       ok    ok    ok
lookup:phone.buzz@alice                           ok      ok          ok    ok       9     9     ok
lookup:nospace@alice                              15      15          15    15       9     9     15
lookup:public:phone.wavi@alice                    ok      ok          ok    ok       ok    ok    15     a b
lookup:@bob:phone.wavi@alice                      15      15          ok    ok       ok    ok    ok     a b
lookup:@bob:phone.buzz@alice                      15      15          ok    ok       9     9     ok     a b
lookup:@carol:phone.wavi@alice                    15      15          ok    ok       ok    ok    15     a b
lookup:_hidden.wavi@alice                         15      15          15    15       15    15    15
lookup:__hidden.wavi@alice                        ok      ok          15    15       15    15    15
lookup:cached:@alice:phone.wavi@bob               15      15          15    15       15    15    15     b
lookup:publickey@alice                            ok      ok          15    15       9     9     15
lookup:shared_key@alice                           15      15          15    15       15    15    ok
lookup:private:blocklist@alice                    15      15          ok    9        9     9     15     b d
lookup:expired.wavi@alice                         15      15          15    15       15    15    15     c
lookup:phone.wavi@bob                             15      15          ok    ok       ok    ok    15     b
lookup:phone.buzz@bob                             15      15          ok    ok       9     9     15     b

plookup:phone.wavi@alice                          401     401         ok    ok       ok    ok    401
plookup:phone.buzz@alice                          401     401         ok    ok       ok    ok    401
plookup:publickey@alice                           401     401         ok    ok       ok    ok    401
plookup:@bob:phone.wavi@alice                     401     401         15    15       15    15    401    i
plookup:private:blocklist@alice                   401     401         15    15       15    15    401    i
plookup:expired.wavi@alice                        401     401         15    15       15    15    401    c
plookup:phone.wavi@bob                            401     401         ok    ok       ok    ok    401

notify:@bob:phone.wavi@alice:v                    401     401         ok    ok       9     ok    9
notify:@bob:phone.buzz@alice:v                    401     401         ok    ok       9     9     9
notify:@alice:phone.wavi@alice:v                  401     401         ok    ok       9     ok    9
notify:@alice:phone.wavi@bob:v                    401     401         9     9        9     9     ok
notify:@carol:phone.wavi@bob:v                    401     401         9     9        9     9     9
notify:public:phone.wavi@alice:v                  401     401         3     3        9     3     9      g
notify:all:@bob:phone.wavi@alice:v                401     401         ok    ok       9     ok    401
notify:all:@bob:phone.buzz@alice:v                401     401         ok    ok       9     9     401
notify:multi:@bob:phone.wavi@alice:v              401     401         ok    ok       9     ok    401
notify:multi:@bob:phone.buzz@alice:v              401     401         ok    ok       9     9     401
notify:messageType:text:@alice:Hello              401     401         ok    ok       9     9     ok     h

update:public:phone.wavi@alice v                  401     401         ok    ok       9     ok    401
update:public:phone.buzz@alice v                  401     401         ok    ok       9     9     401
update:phone.wavi@alice v                         401     401         ok    ok       9     ok    401
update:phone.buzz@alice v                         401     401         ok    ok       9     9     401
update:nospace@alice v                            401     401         ok    ok       9     9     401
update:@bob:phone.wavi@alice v                    401     401         ok    ok       9     ok    401
update:@carol:phone.wavi@alice v                  401     401         ok    ok       9     ok    401
update:_hidden.wavi@alice v                       401     401         ok    ok       9     ok    401
update:public:__hidden.wavi@alice v               401     401         ok    ok       9     ok    401
update:cached:@alice:phone.wavi@bob v             401     401         16    16       9     16    401
update:phone.wavi@bob v                           401     401         16    16       9     16    401
update:public:publickey@alice v                   401     401         ok    ok       9     9     401
update:public:signing_publickey@alice v           401     401         9     9        9     9     401    e
update:@bob:shared_key@alice v                    401     401         ok    ok       9     ok    401
update:shared_key.bob@alice v                     401     401         ok    ok       9     ok    401
update:my_shared_key.bob@alice v                  401     401         ok    ok       9     9     401    f
update:private:blocklist@alice {}                 401     401         ok    ok       9     9     401
update:private:other.wavi@alice v                 401     401         16    16       9     9     401
update:privatekey:at_secret v                     401     401         16    16       9     9     401
update:privatekey:at_pkam_publickey v             401     401         22    9        9     9     401
update:secret.__manage@alice v                    401     401         ok    9        9     9     401

update:meta:phone.wavi@alice:ttl:0                401     401         ok    ok       9     ok    401
update:meta:phone.buzz@alice:ttl:0                401     401         ok    ok       9     9     401
update:meta:@bob:phone.wavi@alice:ttl:0           401     401         ok    ok       9     ok    401
update:meta:cached:@alice:phone.wavi@bob:ttl:0    401     401         16    16       9     16    401
update:meta:public:signing_publickey@alice        401     401         9     9        9     9     401    e

delete:public:phone.wavi@alice                    401     401         ok    ok       9     ok    401
delete:public:phone.buzz@alice                    401     401         ok    ok       9     9     401
delete:phone.wavi@alice                           401     401         ok    ok       9     ok    401
delete:phone.buzz@alice                           401     401         ok    ok       9     9     401
delete:nospace@alice                              401     401         ok    ok       9     9     401
delete:@bob:phone.wavi@alice                      401     401         ok    ok       9     ok    401
delete:@carol:phone.wavi@alice                    401     401         ok    ok       9     ok    401
delete:_hidden.wavi@alice                         401     401         ok    ok       9     ok    401
delete:cached:@alice:phone.wavi@bob               401     401         ok    ok       9     ok    401
delete:cached:@alice:phone.buzz@bob               401     401         ok    ok       9     9     401
delete:phone.wavi@bob                             401     401         16    16       9     16    401
delete:public:publickey@alice                     401     401         9     9        9     9     401
delete:@bob:shared_key@alice                      401     401         ok    ok       9     ok    401
delete:private:blocklist@alice                    401     401         ok    ok       9     9     401
delete:privatekey:at_pkam_publickey               401     401         3     9        9     9     401
delete:privatekey:at_secret                       401     401         ok    ok       9     9     401
delete:secret.__manage@alice                      401     401         ok    9        9     9     401
`

const rows = table
  .trim()
  .split('\n')
  .filter((row) => row.trim() !== '')
const columns = (rows[0] ?? '')
  .trim()
  .split(/\s{2,}/)
  .slice(1)

interface Cell {
  readonly line: string
  readonly who: string
  readonly expected: string
}
const cells: Cell[] = rows.slice(1).flatMap((row) => {
  const [line = '', ...codes] = row.trim().split(/\s{2,}/)
  return columns.map((who, column) => ({ line, who, expected: codes[column] ?? '' }))
})

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
    ...['@alice:phone.wavi', '@alice:phone.buzz', '@bob:phone.buzz', '@carol:phone.wavi', '_hidden.wavi'],
    ...['public:__hidden.wavi', 'public:publickey', '@bob:shared_key', 'shared_key.bob', 'my_shared_key.bob'],
    ...['private:blocklist', 'secret.__manage'],
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
    expect(await peer.ask(`notify:ttr:-1:@alice:phone.${name}@bob:v`)).toMatch(/^data:success/)
  }
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
  if (text.startsWith('data:')) return 'ok'
  return String(Number(/^error:AT(\d{4})[-:]/.exec(text)?.[1]))
}

beforeAll(async () => {
  alice = await startServer({ enrollments: { r: { namespaces: { wavi: 'r' } }, rw: { namespaces: { wavi: 'rw' } } } })
  bob = await startServer({ atSign: '@bob' })
  connectServers(alice, bob)
  owner = await asOwner(alice)
})

describe.each(columns)('%s', (who) => {
  let client: Client
  beforeAll(async () => {
    await seed()
    client = await open(who)
  })

  test.each(cells.filter((cell) => cell.who === who))('$line: $expected', async ({ line, expected }) => {
    if (!changes.test(line)) {
      expect(await answerTo(client, line)).toBe(expected)
      return
    }
    const own = await open(who)
    expect(await answerTo(own, line)).toBe(expected)
    own.leave()
  })
})

test('every verb has its rows', () => {
  const seen = new Set(cells.map(({ line }) => findVerb(line)?.verb.name))
  expect([...verbs.keys()].filter((name) => !seen.has(name))).toEqual([])
})

test('every cell says something, and every column is that long', () => {
  expect(cells.filter(({ expected }) => !/^(ok|-|\d{1,3})$/.test(expected))).toEqual([])
})
