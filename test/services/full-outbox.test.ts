import { expect, it } from 'vitest'
import { parseAtKey } from '../../src/core/at-key.ts'
import { AtError } from '../../src/core/errors.ts'
import type { Store, Transaction } from '../../src/core/storage.ts'
import { createDelivery } from '../../src/services/delivery.ts'
import type { EphemeralStore } from '../../src/services/ephemeral.ts'
import type { Peers } from '../../src/services/peers.ts'
import { manualClock } from '../support/clock.ts'

const notice = { operation: 'update', value: '21.5', metadata: {}, at: 0 } as const
const key = parseAtKey('@bob:temperature.sensors@alice')

function world(refusal: AtError) {
  const logged: unknown[] = []
  const delivery = createDelivery({
    self: '@alice',
    clock: manualClock(),
    log: (level, message, members) => void logged.push([level, message, members?.['recipient']]),
    store: {} as Store,
    peers: {} as Peers,
    ephemeral: {} as EphemeralStore,
    autoNotify: true,
    notificationMs: 900_000,
  })
  const tx = {
    record: () => undefined,
    enqueue: () => {
      throw refusal
    },
  } as unknown as Transaction
  return { logged, autoNotify: () => delivery.autoNotify(tx, key, notice) }
}

it('a full outbox leaves the record without a notice, told once', () => {
  const { logged, autoNotify } = world(new AtError('AT0006', 'the outbox of @bob is full'))
  autoNotify()
  autoNotify()
  expect(logged).toEqual([['warn', 'records are stored without a notice', '@bob']])
})

it('any other failure of the outbox fails the change', () => {
  const { autoNotify } = world(new AtError('AT0002', 'disk full'))
  expect(autoNotify).toThrow(expect.objectContaining({ code: 'AT0002' }))
})
