import { expect, test } from 'vitest'
import { type Notification, notificationView } from '../../src/core/notification.ts'

const notification: Notification = {
  id: 'n1',
  from: '@alice',
  to: '@bob',
  key: '@bob:Phone.wavi@alice',
  value: 'v',
  operation: 'update',
  messageType: 'key',
  type: 'received',
  priority: 'low',
  strategy: 'all',
  latestN: 1,
  notifier: 'SYSTEM',
  at: 1_790_000_000_000,
  expiresAt: 1_790_000_900_000,
  status: 'delivered',
  isEncrypted: undefined,
  metadata: {},
}

test('a notification is written in the one form of page 07, 17.3', () => {
  expect(JSON.stringify(notificationView(notification))).toBe(
    '{"id":"n1","from":"@alice","to":"@bob","key":"@bob:Phone.wavi@alice","value":"v","operation":"update",' +
      '"epochMillis":1790000000000,"messageType":"MessageType.key","isEncrypted":false,"metadata":{"ttr":null,"ttl":null,' +
      '"ttb":null,"sharedKeyEnc":null,"pubKeyCS":null,"dataSignature":null,"encKeyName":null,"encAlgo":null,' +
      '"ivNonce":null,"skeEncKeyName":null,"skeEncAlgo":null,"availableAt":"null",' +
      '"expiresAt":"2026-09-21 14:28:20.000Z","pubKeyHash":null,"appMetadata":null}}',
  )
})

test('the expiry of its record is shown before its own, a hash as JSON in text, a document as an object', () => {
  const metadata = {
    ttl: 5,
    availableAt: 0,
    expiresAt: 1e18,
    pubKeyHash: 'ab',
    hashingAlgo: 'sha256',
    appMetadata: Buffer.from('{"a":1}').toString('base64'),
    isBinary: true,
    encoding: 'base64',
  }
  const view = notificationView({ ...notification, isEncrypted: true, value: null, metadata })
  expect(view).toMatchObject({ isEncrypted: true, value: null })
  expect(view['metadata']).toMatchObject({
    ttl: 5,
    availableAt: '1970-01-01 00:00:00.000Z',
    expiresAt: '9999-12-31 23:59:59.999Z',
    pubKeyHash: '{"hash":"ab","hashingAlgo":"sha256"}',
    appMetadata: { a: 1 },
  })
  expect(view['metadata']).not.toHaveProperty('isBinary')
  expect(view['metadata']).not.toHaveProperty('encoding')
})
