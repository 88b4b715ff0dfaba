import { beforeEach, describe, expect, test } from 'vitest'
import {
  asEnrolled,
  asOwner,
  asPeer,
  asPrimary,
  type Client,
  raw,
  startPair,
  startServer,
  type TestServer,
  visit,
} from '../support/server.ts'

let alice: TestServer
let bob: TestServer
let owner: Client
beforeEach(async () => {
  ;({ alice, bob, owner } = await startPair({
    root: { namespaces: { '*': 'rw', __manage: 'rw' } },
    wide: { namespaces: { '*': 'rw' } },
    app: { namespaces: { wavi: 'rw' } },
  }))
})
const ok = 'data:success\n@alice@'

describe('the block list (page 01, 9.5)', () => {
  test('is empty, filled, shown, and emptied', async () => {
    expect(await owner.ask('config:block:show')).toBe('data:null\n@alice@')
    expect(await owner.ask('config:block:remove:@bob')).toBe('data:null\n@alice@')
    expect(await owner.ask('config:block:add:@bob @carol')).toBe(ok)
    expect(await owner.ask('config:block:add:@dave @bob')).toBe(ok)
    expect(await owner.ask('config:block:show')).toBe('data:["@bob","@carol","@dave"]\n@alice@')
    expect(await owner.ask('config:block:remove:@carol @nobody')).toBe(ok)
    expect(await owner.ask('config:block:show')).toBe('data:["@bob","@dave"]\n@alice@')
    await owner.ask('config:block:remove:@bob @dave')
    expect(await owner.ask('config:block:show')).toBe('data:null\n@alice@')
  })

  const escaped = String.raw`{"atKey":"private\u003ablocklist@alice","value":"{\"blockList\":[\"@bob\"]}","metadata":{"isPublic":false,"isBinary":false,"isEncrypted":false}}`
  test.each(
    ['private:blocklist@alice {"blockList":["@bob"]}', `json:${escaped}`, `nc:json:${escaped}`].flatMap((change) => [
      [change, ''],
      [change, 'eph:'],
    ]),
  )('holds for a command that comes in one write with its change: update:%s, notify:%s', async (change, option) => {
    owner.write(`update:${change}\nnotify:${option}@bob:x.wavi@alice:v\n`)
    expect(await owner.reply()).toBe('data:-1\n@alice@')
    expect(await owner.reply()).toMatch(/^error:AT0009-.*@bob is on the block list of @alice\n/)
    expect(await owner.ask('config:block:remove:@bob')).toBe(ok)
  })

  test('holds normalised atSigns, and never one’s own', async () => {
    expect(await owner.ask('config:block:add:@Bo.B @alice @BOB')).toBe(ok)
    expect(await owner.ask('config:block:show')).toBe('data:["@bob"]\n@alice@')
    expect(await owner.ask('config:block:remove:@B.ob')).toBe(ok)
    expect(await owner.ask('config:block:add:@ALICE')).toBe(ok)
    expect(await owner.ask('config:block:show')).toBe('data:null\n@alice@')
  })

  test('is a record, and reads what others stored as they typed it', async () => {
    await owner.ask('config:block:add:@bob')
    expect(await owner.ask('llookup:private:blocklist@alice')).toBe('data:{"blockList":["@bob"]}\n@alice@')
    await owner.ask('update:private:blocklist@alice {"blockList":["@Ca.rol","@bad!",7]}')
    expect(await owner.ask('config:block:show')).toBe('data:["@carol"]\n@alice@')
    for (const value of ['{}', 'nonsense', 'null', '[]']) {
      await owner.ask(`update:private:blocklist@alice ${value}`)
      expect(await (await raw(alice)).ask('from:@bob')).toMatch(/^data:proof:/)
    }
  })

  test('makes no commit entry', async () => {
    await owner.ask('config:block:add:@bob')
    expect(await owner.ask('scan:cl blocklist')).toBe('data:[]\n@alice@')
  })

  test('is limited', async () => {
    const many = Array.from({ length: 1_001 }, (_, index) => `@a${index}`).join(' ')
    expect(await owner.ask(`config:block:add:${many}`)).toMatch(/^error:AT0022-/)
    expect(await owner.ask('config:block:show')).toBe('data:null\n@alice@')
  })

  test('is for the owner by CRAM and for root enrollments (page 08, 7.2)', async () => {
    expect(await (await asPrimary(alice)).ask('config:block:add:@carol')).toBe(ok)
    expect(await (await asEnrolled(alice, 'root')).ask('config:block:show')).toBe('data:["@carol"]\n@alice@')
    for (const id of ['wide', 'app']) {
      const client = await asEnrolled(alice, id)
      for (const line of ['config:block:add:@dave', 'config:block:remove:@carol', 'config:block:show']) {
        expect(await client.ask(line)).toMatch(/^error:AT0009-/)
      }
    }
    expect(await (await raw(alice)).ask('config:block:show')).toMatch(/^error:AT0401-/)
  })
})

describe('a blocked atSign', () => {
  test('is turned away at from, in any spelling, and its open sessions end', async () => {
    const peer = await asPeer(alice, bob)
    const claiming = await raw(alice)
    await claiming.ask('from:@bob')
    await owner.ask('config:block:add:@bob')
    expect(await peer.closed).toBe('')
    expect(await claiming.closed).toBe('')
    const again = await raw(alice)
    again.write('from:@B.ob\n')
    expect(await again.closed).toBe('error:AT0013-Exception: Unable to connect\n@')
    await owner.ask('config:block:remove:@bob')
    expect(await (await raw(alice)).ask('from:@bob')).toMatch(/^data:proof:/)
  })

  test('cannot prove itself once it is blocked, however that came about', async () => {
    const claiming = await raw(alice)
    await claiming.ask('from:@bob')
    await owner.ask('update:private:blocklist@alice {"blockList":["@bob"]}')
    claiming.write('pol\n')
    expect(await claiming.closed).toBe('error:AT0013-Exception: Unable to connect\n@')
  })

  test('others are not disturbed', async () => {
    const peer = await asPeer(alice, bob)
    await owner.ask('config:block:add:@carol')
    expect(await peer.ask('noop:0')).toBe('data:ok\n@bob@')
  })

  test('gets no notification, and its recipients’ list is left untouched', async () => {
    await owner.ask('config:block:add:@bob')
    const refused = 'error:AT0009-UnAuthorized client in request : @bob is on the block list of @alice\n@alice@'
    for (const line of [
      ...['notify:@bob:x.wavi@alice:v', 'notify:messageType:text:@bob:Hello', 'notify:eph:@bob:x.wavi@alice:v'],
      ...['notify:multi:@carol,@bob:x.wavi@alice:v', 'notify:all:@bob,@carol:x.wavi@alice:v'],
    ]) {
      expect(await owner.ask(line)).toBe(refused)
    }
    expect(await owner.ask('stats:11')).toContain('\\"total\\":0')
  })

  test('is not told of records that are shared with it, which are stored all the same', async () => {
    await owner.ask('config:block:add:@bob')
    expect(await owner.ask('update:@bob:x.wavi@alice v')).toMatch(/^data:\d+\n/)
    expect(await owner.ask('delete:@bob:x.wavi@alice')).toMatch(/^data:\d+\n/)
    expect(await owner.ask('stats:11')).toContain('\\"total\\":0')
  })
})

describe('settings', () => {
  test.each(['config:set:inboundMaxLimit=2', 'config:reset:autoNotify', 'config:print:timeFrameInMillis'])(
    '%s: testing mode is off (page 01, 9.5)',
    async (line) => {
      expect(await owner.ask(line)).toBe('data:testing mode disabled by default\n@alice@')
    },
  )

  test.each([
    ['config:set:inbound_max_limit=2', 'config does not know "inbound_max_limit"'],
    ['config:print:constructor', 'config does not know "constructor"'],
    ['config:set:autoNotify', 'config:set takes <name>=<value>, not "autoNotify"'],
  ])('%s names what is unknown', async (line, reason) => {
    expect(await owner.ask(line)).toBe(`error:AT0022-Illegal arguments : ${reason}\n@alice@`)
  })
})

test.each([
  ...[
    'config',
    'config:',
    'config:block',
    'config:block:add',
    'config:block:add:',
    'config:block:list',
    'config:block:add:@@x',
  ],
  ...[
    'config:block:add:bob',
    'config:block:add:@bob,@carol',
    'config:block:add:@bob  @carol',
    'config:block:show:@bob',
  ],
  ...['config:print', 'config:print:', 'config:block:remove:@'],
])('%s is a syntax error', async (line) => {
  expect(await owner.ask(line)).toMatch(/^error:AT0003-[^\n]*\n@alice@$/)
})

describe('in testing mode (page 01, 9.5)', () => {
  beforeEach(async () => {
    alice = await startServer({ testingMode: true, enrollments: { app: { namespaces: { wavi: 'rw' } } } })
    owner = await asPrimary(alice)
  })

  test('settings are set, shown and reset, and count at once', async () => {
    expect(await owner.ask('config:print:inboundMaxLimit')).toBe('data:200\n@alice@')
    expect(await owner.ask('config:set:inboundMaxLimit=1')).toBe('data:ok\n@alice@')
    expect(await owner.ask('config:print:inboundMaxLimit')).toBe('data:1\n@alice@')
    await asOwner(alice, '192.0.2.1')
    expect(await visit(alice, '192.0.2.2').closed).toBe('error:AT0012-Inbound connection limit exceeded\n')
    expect(await owner.ask('config:reset:inboundMaxLimit')).toBe('data:ok\n@alice@')
    expect(await (await raw(alice, '192.0.2.2')).ask('noop:0')).toBe('data:ok\n@')
    expect(await owner.ask('config:print:maxNotificationRetries')).toBe('data:null\n@alice@')
  })

  test('a change of a shared record is announced or not', async () => {
    const total = async (): Promise<string> => /total\\":\d+/.exec(await owner.ask('stats:11'))?.[0] ?? ''
    expect(await owner.ask('config:set:autoNotify=false')).toBe('data:ok\n@alice@')
    await owner.ask('update:@bob:phone.wavi@alice v')
    expect(await total()).toBe('total\\":0')
    expect(await owner.ask('config:reset:autoNotify')).toBe('data:ok\n@alice@')
    await owner.ask('update:@bob:phone.wavi@alice v')
    expect(await total()).toBe('total\\":1')
  })

  test('what is no value, no setting, or not for this session is refused', async () => {
    expect(await owner.ask('config:set:inboundMaxLimit=many')).toMatch(/^error:AT0022-.*inboundMaxLimit takes/)
    expect(await owner.ask('config:set:nosuch=1')).toMatch(/^error:AT0022-/)
    const app = await asEnrolled(alice, 'app')
    expect(await app.ask('config:set:autoNotify=false')).toMatch(/^error:AT0009-/)
    expect(await app.ask('config:print:autoNotify')).toMatch(/^error:AT0009-/)
    expect(await owner.ask('config:print:autoNotify')).toBe('data:true\n@alice@')
  })
})
