import { beforeAll, expect, test } from 'vitest'
import { asEnrolled, asOwner, type Client, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({
    enrollments: {
      reader: { namespaces: { wavi: 'r' } },
      writer: { namespaces: { wavi: 'rw' } },
      all: { namespaces: { '*': 'rw' } },
    },
  })
  owner = await asOwner(alice)
})
const ok = 'data:success\n@alice@'

test('a notification is forgotten, and one that never was is no error (page 04, E25)', async () => {
  await owner.ask('notify:id:n1:@alice:x.wavi@alice:v')
  expect(await owner.ask('notify:remove:n1')).toBe(ok)
  expect(await owner.ask('notify:status:n1')).toBe('data:null\n@alice@')
  expect(await owner.ask('notify:list')).toBe('data:[]\n@alice@')
  expect(await owner.ask('notify:remove:n1')).toBe(ok)
})

test('one in memory is forgotten too', async () => {
  await owner.ask('notify:id:eph:eph:@alice:x.wavi@alice:v')
  expect(await owner.ask('notify:remove:eph')).toBe(ok)
  expect(await owner.ask('notify:list')).toBe('data:[]\n@alice@')
})

test('one that waits for its recipient waits no more', async () => {
  await owner.ask('notify:id:waiting:@nobody:x.wavi@alice:v')
  expect(await owner.ask('notify:remove:waiting')).toBe(ok)
  expect(await owner.ask('stats:11')).toContain('\\"total\\":0')
})

test('an enrollment needs rw (page 08, 7.2)', async () => {
  await owner.ask('notify:id:mine:@alice:x.wavi@alice:v')
  await owner.ask('notify:id:text:messageType:text:@alice:Hello')
  expect(await (await asEnrolled(alice, 'reader')).ask('notify:remove:mine')).toBe(
    'error:AT0009-UnAuthorized client in request : Connection with enrollment ID reader is not authorized to ' +
      'remove notify key: @alice:x.wavi@alice\n@alice@',
  )
  const writer = await asEnrolled(alice, 'writer')
  expect(await writer.ask('notify:remove:mine')).toBe(ok)
  expect(await writer.ask('notify:remove:text')).toMatch(/^error:AT0009-/)
  expect(await (await asEnrolled(alice, 'all')).ask('notify:remove:text')).toBe(ok)
})

test('nobody but the owner may, and an id is needed', async () => {
  expect(await (await raw(alice)).ask('notify:remove:n1')).toMatch(/^error:AT0401-/)
  expect(await owner.ask('notify:remove:')).toMatch(/^error:AT0003-/)
})
