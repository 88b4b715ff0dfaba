import { beforeAll, expect, test } from 'vitest'
import { asEnrolled, asOwner, type Client, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
let owner: Client
beforeAll(async () => {
  alice = await startServer({ enrollments: { app: { namespaces: { wavi: 'r' } } } })
  owner = await asOwner(alice)
})

test('every value is text, in the reference’s order (page 04, E23)', async () => {
  await owner.ask('notify:id:n1:ttr:-1:ccd:true:@bob:City.me@alice:Copenhagen')
  expect(await owner.ask('notify:fetch:n1')).toBe(
    'data:{"id":"n1","fromAtSign":"@alice","notificationDateTime":"2026-01-31 10:00:00.000Z","toAtSign":"@bob",' +
      '"notification":"@bob:City.me@alice","type":"NotificationType.sent","opType":"OperationType.update",' +
      '"messageType":"MessageType.key","priority":"NotificationPriority.low",' +
      '"notificationStatus":"NotificationStatus.queued","retryCount":"1","strategy":"all","depth":"1",' +
      '"notifier":"SYSTEM","expiresAt":"2026-01-31 10:15:00.000Z","atValue":"Copenhagen",' +
      '"atMetadata":"{ttr: -1, ccd: true, isEncrypted: true}","ttl":"900000"}\n@alice@',
  )
})

test('one without a value has the text null', async () => {
  await owner.ask('notify:id:n2:delete:@alice:x.wavi@alice')
  expect(await owner.ask('notify:fetch:n2')).toContain('"opType":"OperationType.delete"')
  expect(await owner.ask('notify:fetch:n2')).toContain('"atValue":"null"')
})

test('one that is unknown or has expired is expired', async () => {
  const expired = (id: string) => `data:{"id":"${id}","notificationStatus":"NotificationStatus.expired"}\n@alice@`
  expect(await owner.ask('notify:fetch:124-abc')).toBe(expired('124-abc'))
  await owner.ask('notify:id:short:ttln:1000:@alice:x.wavi@alice:v')
  await owner.ask('notify:id:past:eAtn:2020-01-01T00:00:00Z:@bob:x.wavi@alice:v')
  alice.clock.advance(1_001)
  expect(await owner.ask('notify:fetch:short')).toBe(expired('short'))
  expect(await owner.ask('notify:fetch:past')).toBe(expired('past'))
})

test('an ephemeral one is there while it lives, and no longer than two minutes', async () => {
  await owner.ask('notify:id:eph:ttln:600000:eph:@alice:x.wavi@alice:v')
  expect(await owner.ask('notify:fetch:eph')).toContain('"atValue":"v"')
  expect(await owner.ask('notify:fetch:eph')).toContain('"ttl":"120000"')
  expect(await owner.ask('notify:status:eph')).toBe('data:delivered\n@alice@')
  alice.clock.advance(120_001)
  expect(await owner.ask('notify:fetch:eph')).toBe(
    'data:{"id":"eph","notificationStatus":"NotificationStatus.expired"}\n@alice@',
  )
  expect(await owner.ask('notify:status:eph')).toBe('data:null\n@alice@')
})

test('an enrollment needs to read the key (page 08, 7.2)', async () => {
  await owner.ask('notify:id:wavi:@alice:x.wavi@alice:v')
  await owner.ask('notify:id:buzz:@alice:x.buzz@alice:v')
  const app = await asEnrolled(alice, 'app')
  expect(await app.ask('notify:fetch:wavi')).toContain('"id":"wavi"')
  expect(await app.ask('notify:fetch:buzz')).toBe(
    'error:AT0009-UnAuthorized client in request : Connection with enrollment ID app is not authorized to ' +
      'fetch notify key: @alice:x.buzz@alice\n@alice@',
  )
})

test('nobody but the owner may ask, and an id is needed', async () => {
  expect(await (await raw(alice)).ask('notify:fetch:n1')).toMatch(/^error:AT0401-/)
  expect(await owner.ask('notify:fetch:')).toMatch(/^error:AT0003-/)
  expect(await owner.ask('notify:fetch')).toMatch(/^error:AT0003-/)
})
