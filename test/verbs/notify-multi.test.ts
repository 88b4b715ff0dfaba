import { beforeAll, describe, expect, test } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { asEnrolled, asOwner, asPeer, type Client, raw, startPair, type TestServer } from '../support/server.ts'

let alice: TestServer
let bob: TestServer
let owner: Client
beforeAll(async () => {
  ;({ alice, bob, owner } = await startPair({ app: { namespaces: { myapp: 'r' } } }))
})

async function idsOf(line: string): Promise<Record<string, string>> {
  const reply = await owner.ask(line)
  expect(reply).toMatch(/^data:\{.*\}\n@alice@$/)
  return JSON.parse(reply.slice('data:'.length, reply.indexOf('\n')))
}
const count = async (): Promise<string> => (/\\"total\\":\d+/.exec(await owner.ask('stats:11')) ?? [''])[0]

test('each recipient has an id, in the order in which they were named, once (page 07, E57)', async () => {
  const ids = await idsOf('notify:multi:isEncrypted:true:@bob,@BOB,@car.ol,@alice:msg.chat.myapp@alice:v: w')
  expect(Object.keys(ids)).toEqual(['@bob', '@carol', '@alice'])
  expect(new Set(Object.values(ids)).size).toBe(3)
  const carol = await owner.ask(`notify:fetch:${ids['@carol']}`)
  expect(carol).toContain('"notification":"@carol:msg.chat.myapp@alice"')
  expect(carol).toContain('"atValue":"v: w"')
  expect(await owner.ask(`notify:status:${ids['@alice']}`)).toBe('data:delivered\n@alice@')
})

test('each copy is delivered as a plain notify', async () => {
  const theirs = await asOwner(bob)
  theirs.write('monitor:strict plain\n')
  const ids = await idsOf('notify:multi:ttln:60000:@bob:plain.myapp@alice:v')
  const shown = JSON.parse((await theirs.line()).slice('notification: '.length))
  expect(shown).toMatchObject({ id: ids['@bob'], key: '@bob:plain.myapp@alice', value: 'v' })
  await expect.poll(() => owner.ask(`notify:status:${ids['@bob']}`)).toBe('data:delivered\n@alice@')
})

test('ephemeral ones are in memory only', async () => {
  const before = await owner.ask('stats:4')
  const ids = await idsOf('notify:multi:eph:@carol,@dave:x.myapp@alice:v')
  expect(await owner.ask(`notify:fetch:${ids['@dave']}`)).toContain('"ttl":"120000"')
  expect(await owner.ask('stats:4')).toBe(before)
})

test('an expiry in the past answers ids and stores nothing', async () => {
  const before = await count()
  const ids = await idsOf('notify:multi:eAtn:2020-01-01T00:00:00Z:@carol:x.myapp@alice:v')
  expect(await owner.ask(`notify:status:${ids['@carol']}`)).toBe('data:null\n@alice@')
  expect(await count()).toBe(before)
})

describe('what fits one recipient only is refused by name (page 07, 17.4)', () => {
  test.each([
    ...['ttr:60000', 'ccd:true', 'sharedKeyEnc:x', 'pubKeyCS:x', 'pubKeyHash:x', 'hashingAlgo:x', 'skeEncKeyName:x'],
    ...['skeEncAlgo:x', 'isBinary:true', 'encoding:base64', 'sharedKeyStatus:x', 'dataSignature:x'],
  ])('%s', async (tag) => {
    const before = await count()
    expect(await owner.ask(`notify:multi:${tag}:@bob,@sitaram:msg.chat.myapp@alice:v`)).toBe(
      `error:AT0003-Invalid syntax : notify:multi does not take ${tag.split(':')[0]}\n@alice@`,
    )
    expect(await count()).toBe(before)
  })
})

describe('a line that is refused stores nothing for anybody', () => {
  test.each([
    ['notify:multi', 'AT0003'],
    ['notify:multi:', 'AT0003'],
    ['notify:multi:@bob', 'AT0003'],
    ['notify:multi:@bob:', 'AT0003'],
    ['notify:multi:@bob,:x.myapp@alice:v', 'AT0003'],
    ['notify:multi:@bob,carol:x.myapp@alice:v', 'AT0003'],
    ['notify:multi:bob:x.myapp@alice:v', 'AT0003'],
    ['notify:multi:@bob:x.myapp:v', 'AT0003'],
    ['notify:multi:@bob:x.myapp@alice:', 'AT0003'],
    ['notify:multi:update:@bob:x.myapp@alice:v', 'AT0003'],
    ['notify:multi:delete:@bob:x.myapp@alice', 'AT0003'],
    ['notify:multi:bogus:1:@bob:x.myapp@alice:v', 'AT0003'],
    ['notify:multi:eph:true:@bob:x.myapp@alice:v', 'AT0003'],
    ['notify:multi:ttln:1:eAtn:2030-01-01T00:00:00Z:@bob:x.myapp@alice:v', 'AT0003'],
    [
      `notify:multi:${Array.from({ length: limits.recipients + 1 }, (_, n) => `@a${n}`).join(',')}:x.myapp@alice:v`,
      'AT0003',
    ],
    ['notify:multi:@bob,@c!:x.myapp@alice:v', 'AT0011'],
    ['notify:multi:@bob:a,b@alice:v', 'AT0016'],
    [`notify:multi:@bob:${'a'.repeat(240)}@alice:v`, 'AT0016'],
  ])('%s: %s', async (line, code) => {
    const before = await count()
    expect(await owner.ask(line)).toMatch(new RegExp(`^error:${code}-[^\n]*\n@alice@$`))
    expect(await count()).toBe(before)
  })

  test('nobody sends in another name', async () => {
    expect(await owner.ask('notify:multi:@bob:x.myapp@colin:v')).toBe(
      'error:AT0009-UnAuthorized client in request : @colin is not authorized to send notification as @alice\n@alice@',
    )
  })

  test('an enrollment needs write access to the key', async () => {
    expect(await (await asEnrolled(alice, 'app')).ask('notify:multi:@bob:msg.chat.myapp@alice:v')).toBe(
      'error:AT0009-UnAuthorized client in request : Connection with enrollment ID app is not authorized to notify ' +
        'key: msg.chat.myapp@alice\n@alice@',
    )
  })

  test('it is for the owner', async () => {
    for (const client of [await raw(alice), await asPeer(alice, bob)]) {
      expect(await client.ask('notify:multi:@alice:x.myapp@bob:v')).toMatch(/^error:AT0401-/)
    }
  })
})
