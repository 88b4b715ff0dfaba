import { beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { manualClock } from '../support/clock.ts'
import { asEnrolled, asOwner, type Client, provenPair, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let bob: TestServer
const clients: Record<string, Client> = {}

beforeAll(async () => {
  const { owner, peer, ...pair } = await provenPair({
    all: { namespaces: { '*': 'r' } },
    wavi: { namespaces: { wavi: 'r' } },
    contact: { namespaces: { 'at_contact.buzz': 'r' } },
    none: {},
  })
  alice = pair.alice
  bob = pair.bob
  for (const key of [
    'public:location.wavi@alice',
    'public:_one@alice',
    'public:__two@alice',
    '_mobile.wavi@alice',
    'selfkey.atmosphere@alice',
    '@alice:mobile.wavi@alice',
    '@bob:phone.buzz@alice',
    '@bob:_hidden.wavi@alice',
    '@carol:phone.wavi@alice',
    'x.at_contact.buzz@alice',
    'noname@alice',
    '@bob:shared_key@alice',
    'secret.__manage@alice',
    'private:blocklist@alice',
  ]) {
    expect(await owner.ask(`update:${key} {}`)).toMatch(/^data:/)
  }
  await owner.ask('update:ttl:1:public:expired@alice v')
  await owner.ask('update:ttb:1000:public:unborn@alice v')
  alice.clock.advance(2)
  expect(await peer.ask('notify:ttr:-1:@alice:copy.wavi@bob:v')).toMatch(/^data:success/)
  clients['cram'] = owner
  clients['peer'] = peer
  clients['anyone'] = await raw(alice)
  for (const id of ['all', 'wavi', 'contact', 'none']) clients[id] = await asEnrolled(alice, id)
})

async function ask(who: string, line: string): Promise<string> {
  return (await clients[who]?.ask(line)) ?? ''
}

async function listOf(who: string, line: string): Promise<unknown> {
  const reply = await ask(who, line)
  expect(reply).toMatch(/^data:\[/)
  return JSON.parse(reply.slice('data:'.length, reply.indexOf('\n')))
}

const everything = [
  '@alice:mobile.wavi@alice',
  '@bob:_hidden.wavi@alice',
  '@bob:phone.buzz@alice',
  '@bob:shared_key@alice',
  '@carol:phone.wavi@alice',
  'cached:@alice:copy.wavi@bob',
  'noname@alice',
  'public:location.wavi@alice',
  'public:signing_publickey@alice',
  'secret.__manage@alice',
  'selfkey.atmosphere@alice',
  'x.at_contact.buzz@alice',
]

describe('who sees which keys, in which spelling (page 03, section 11; page 07, section 9)', () => {
  test.each<[string, string, string[]]>([
    ['cram', 'scan', everything],
    ['cram', 'scan:showhidden:true', [...everything, '_mobile.wavi@alice', 'public:__two@alice'].sort()],
    ['cram', 'scan:showhidden:false', everything],
    // A `*` grant does not cover __manage (page 08, 7.2).
    ['all', 'scan', everything.filter((key) => key !== 'secret.__manage@alice')],
    [
      'wavi',
      'scan',
      [
        ...['@alice:mobile.wavi@alice', '@bob:_hidden.wavi@alice', '@bob:shared_key@alice', '@carol:phone.wavi@alice'],
        ...['cached:@alice:copy.wavi@bob', 'public:location.wavi@alice', 'public:signing_publickey@alice'],
      ],
    ],
    // A dotted namespace covers by suffix (page 08, 7.1); the reference of 2024 compared the last part alone.
    [
      'contact',
      'scan',
      [
        ...['@bob:shared_key@alice', 'public:location.wavi@alice', 'public:signing_publickey@alice'],
        'x.at_contact.buzz@alice',
      ],
    ],
    ['none', 'scan', ['@bob:shared_key@alice', 'public:location.wavi@alice', 'public:signing_publickey@alice']],
    ['peer', 'scan', ['_hidden.wavi@alice', 'phone.buzz@alice', 'shared_key@alice']],
    ['anyone', 'scan', ['location.wavi@alice', 'signing_publickey@alice']],
    ['anyone', 'scan:showhidden:true', ['location.wavi@alice', 'signing_publickey@alice']],
    ['anyone', 'scan:@alice', ['location.wavi@alice', 'signing_publickey@alice']],
    ['cram', 'scan:@alice', everything],
    ['cram', 'scan:page:1', everything],
  ])('%s, %s', async (who, line, keys) => {
    expect(await listOf(who, line)).toEqual(keys)
  })
})

describe('a pattern is searched in the whole stored key (page 03, section 11)', () => {
  test.each<[string, string, string[]]>([
    ['cram', 'scan wavi', everything.filter((key) => key.includes('wavi'))],
    ['cram', 'scan Wavi', []],
    ['cram', 'scan ^public:', ['public:location.wavi@alice', 'public:signing_publickey@alice']],
    ['cram', 'SCAN ^public:.*WAVI', []],
    ['cram', 'scan:showhidden:false ^public:loc', ['public:location.wavi@alice']],
    ['cram', 'scan:page:1:showHidden:TRUE ^_', ['_mobile.wavi@alice']],
    ['cram', 'scan nomatch', []],
    ['cram', 'scan .*', everything],
    ['peer', 'scan ^@bob:phone', ['phone.buzz@alice']],
    ['anyone', 'scan ^public:loc', ['location.wavi@alice']],
    ['anyone', 'scan ^loc', []],
  ])('%s, %s', async (who, line, keys) => {
    expect(await listOf(who, line)).toEqual(keys)
  })

  test('that would take for ever is run in linear time', async () => {
    const owner = await asOwner(alice)
    await owner.ask(`update:public:${'a'.repeat(200)}@alice v`)
    expect(await ask('anyone', 'scan (a+)+$')).toBe('data:[]\n@')
    await owner.ask(`delete:nc:public:${'a'.repeat(200)}@alice`)
  })

  test.each(['scan [', 'scan (?=x)', 'scan (a)\\1', `scan ${'a'.repeat(600)}.`, 'scan two words'])(
    'that cannot be used is AT0003: %s',
    async (line) => {
      expect(await ask('anyone', line)).toMatch(/^error:AT0003-Exception: .*\n@$/)
    },
  )
})

describe('scan:cl (page 07, section 9)', () => {
  test('lists the latest change of each key by id, removed ones included', async () => {
    const server = await startServer()
    const owner = await asOwner(server)
    await owner.ask('update:sc1.wavi@alice v')
    await owner.ask('delete:sc2.wavi@alice')
    await owner.ask('update:_sc3.wavi@alice v')
    const time = '"opTime":"2026-01-31T10:00:00.000000Z"'
    expect(await owner.ask('scan:cl sc')).toBe(
      `data:[{"atKey":"sc1.wavi@alice","operation":"*","commitId":1,${time}},` +
        `{"atKey":"sc2.wavi@alice","operation":"-","commitId":2,${time}}]\n@alice@`,
    )
    expect(await owner.ask('scan:cl:showhidden:true ^_sc')).toContain('"commitId":3')
    expect(await owner.ask('scan:cl:@alice none')).toBe('data:[]\n@alice@')
  })

  test('shows an enrollment what scan would show it', async () => {
    const entries = (await listOf('wavi', 'scan:cl @')) as { atKey: string }[]
    const asleep = ['public:expired@alice', 'public:unborn@alice']
    const awake = entries.map(({ atKey }) => atKey).filter((key) => !asleep.includes(key))
    expect(awake.sort()).toEqual(await listOf('wavi', 'scan'))
  })

  test('is for the owner alone, and for this atSign alone', async () => {
    for (const [who, prompt] of [
      ['anyone', '@'],
      ['peer', '@'],
    ] as const) {
      expect(await ask(who, 'scan:cl')).toBe(
        `error:AT0401-Exception: scan:cl requires an authenticated connection\n${prompt}`,
      )
    }
    // The reference answers AT0011 and closes (page 07, E15).
    expect(await ask('cram', 'scan:cl:@bob')).toBe(
      "error:AT0003-Invalid syntax : scan:cl can only scan this atSign's own commit log\n@alice@",
    )
  })
})

describe('scan:@bob', () => {
  test('asks the atServer of that atSign as this one', async () => {
    const theirs = await asOwner(bob)
    await theirs.ask('update:@alice:phone.wavi@bob 1')
    await theirs.ask('update:@alice:city.buzz@bob 1')
    await theirs.ask('update:@carol:phone.wavi@bob 1')
    expect(await ask('cram', 'scan:@bob')).toBe('data:["city.buzz@bob","phone.wavi@bob"]\n@alice@')
    expect(await ask('cram', 'scan:@bob wavi')).toBe('data:["phone.wavi@bob"]\n@alice@')
  })

  test('is for the owner alone', async () => {
    const refused = 'error:AT0401-Exception: Scan to another atSign cannot be performed without auth\n@'
    expect(await ask('anyone', 'scan:@bob')).toBe(refused)
    expect(await ask('peer', 'scan:@carol')).toBe(refused)
  })

  test('of an atSign that nobody knows is AT0007', async () => {
    expect(await ask('cram', 'scan:@nosuch')).toMatch(/^error:AT0007-/)
  })
})

test.each([
  'scan:',
  'scan@',
  'scanxscan',
  'scan:showhidden:maybe',
  'scan:page:x',
  'scan:bogus:1',
  'scan:cl:cl',
  'scan:@b:@c',
])('%s is a syntax error', async (line) => {
  expect(await ask('cram', line)).toMatch(/^error:AT0003-/)
})

test('pages count from 1 and have a size of their own; without a page the whole list comes', async () => {
  const server = await startServer()
  const owner = await asOwner(server)
  const count = 2 * limits.scanPageKeys + 5
  for (let from = 0; from < count; from += limits.batchCommands) {
    const commands = Array.from({ length: Math.min(limits.batchCommands, count - from) }, (_, index) => ({
      id: index,
      command: `update:k${String(from + index).padStart(5, '0')}.page@alice v`,
    }))
    await owner.ask(`batch:${JSON.stringify(commands)}`)
  }
  const lengthOf = async (line: string): Promise<number> => {
    const reply = await owner.ask(line)
    return (JSON.parse(reply.slice('data:'.length, reply.indexOf('\n'))) as unknown[]).length
  }
  const pages = ['', ':page:0', ':page:1', ':page:2', ':page:3', ':page:4', ':page:999999999999999']
  const keys: number[] = []
  for (const page of pages) keys.push(await lengthOf(`scan${page} ^k`))
  expect(keys).toEqual([count, limits.scanPageKeys, limits.scanPageKeys, limits.scanPageKeys, 5, 0, 0])
  for (const [index, page] of pages.entries()) expect(await lengthOf(`scan:cl${page} ^k`)).toBe(keys[index])
  expect(await owner.ask('scan:page:2 ^k')).toMatch(/^data:\["k01000\.page@alice",/)

  // Who walks through the pages misses nothing when a key of an earlier one goes away.
  await owner.ask('scan:page:1 ^k')
  await owner.ask('delete:k00007.page@alice')
  expect(await owner.ask('scan:page:2 ^k')).toMatch(/^data:\["k01000\.page@alice",/)
  // Another connection counts for itself.
  expect(await (await asOwner(server)).ask('scan:page:2 ^k')).toMatch(/^data:\["k01001\.page@alice",/)
})

test('what is longer than clients read is refused, with a word about pages', async () => {
  const server = await startServer()
  const owner = await asOwner(server)
  // Three bytes a character, and of each key once.
  const long = '☀'.repeat(230)
  const count = Math.ceil(limits.replyBytes / (3 * long.length))
  for (let from = 0; from < count; from += limits.batchCommands) {
    const commands = Array.from({ length: limits.batchCommands }, (_, id) => ({
      id,
      command: `update:${from + id}${long}@alice v`,
    }))
    await owner.ask(`batch:${JSON.stringify(commands)}`)
  }
  for (const line of ['scan', 'scan:cl', 'scan:showhidden:true ☀']) {
    expect(await owner.ask(line)).toMatch(/^error:AT0022-Illegal arguments : [^\n]* scan:page:1, [^\n]*\n@alice@$/)
  }
  expect(await owner.ask('scan:page:1')).toMatch(/^data:\[/)
  expect(await owner.ask('scan ^7☀')).toBe(`data:["7${long}@alice"]\n@alice@`)
  for (const line of ['stats', 'stats:15', 'stats:1,15']) {
    expect(await owner.ask(line)).toMatch(/^error:AT0022-Illegal arguments : [^\n]* stats:15:\.wavi\n@alice@$/)
  }
  expect(await owner.ask('stats:15:^7☀')).toContain(`\\"7${long}@alice\\":`)
  expect(await owner.ask('stats:1,2')).toMatch(/^data: \[/)
})

describe('a scan that takes long', () => {
  const rows = 1_000
  const enough = 30

  /** A server on which every look at the clock takes a millisecond from the moment on at which `watch` is called. */
  async function busyServer() {
    const clock = manualClock()
    let looks: number | undefined
    let onRow = (): void => {}
    const monotonic = (): number => {
      if (looks !== undefined && ++looks === enough) onRow()
      return (clock.monotonic?.() ?? 0) + (looks ?? 0)
    }
    const server = await startServer({ clock: { ...clock, monotonic } })
    const owner = await asOwner(server)
    const commands = Array.from({ length: rows }, (_, id) => ({ id, command: `update:public:k${id}@alice v` }))
    await owner.ask(`batch:${JSON.stringify(commands)}`)
    const watch = (task: () => void): void => {
      looks = 0
      onRow = task
    }
    return { server, watch, looks: () => looks ?? 0 }
  }

  test('lets another connection be answered in between', async () => {
    const { server, watch, looks } = await busyServer()
    const [slow, other] = [await raw(server), await raw(server)]
    watch(() => other.write('noop:0\n'))
    slow.write('scan ^public:(k|x)+\n')
    const order: string[] = []
    await Promise.all([
      slow.reply().then(() => order.push('scan')),
      other.reply().then(() => order.push(looks() < rows / 2 ? 'noop within the first half' : 'noop')),
    ])
    expect(order).toEqual(['noop within the first half', 'scan'])
  })

  test('ends when its client has left', async () => {
    const { server, watch, looks } = await busyServer()
    const slow = await raw(server)
    const left = new Promise<void>((resolve) => {
      watch(() => {
        slow.stream.destroy()
        resolve()
      })
    })
    slow.write('scan ^public:(k|x)+\n')
    await left
    for (let turn = 0; turn < rows; turn++) await new Promise(setImmediate)
    expect(looks()).toBeLessThan(rows)
  })
})
