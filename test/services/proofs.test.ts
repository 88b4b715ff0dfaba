import { expect, it } from 'vitest'
import { limits } from '../../src/core/limits.ts'
import { createProofs } from '../../src/services/proofs.ts'
import { manualClock } from '../support/clock.ts'

it('a published signature is found for a minute', () => {
  const clock = manualClock()
  const proofs = createProofs(clock)
  proofs.publish('_a@alice', 's')
  clock.advance(limits.challengeMs - 1)
  expect(proofs.find('_a@alice')).toBe('s')
  clock.advance(1)
  expect(proofs.find('_a@alice')).toBeUndefined()
})

it('only so many are kept; the oldest give way, one that was published again is new', () => {
  const proofs = createProofs(manualClock())
  for (let index = 0; index < limits.proofs; index++) proofs.publish(`_${index}@alice`, 's')
  proofs.publish('_0@alice', 'again')
  proofs.publish('_more@alice', 's')
  expect(proofs.find('_0@alice')).toBe('again')
  expect(proofs.find('_1@alice')).toBeUndefined()
  expect(proofs.find('_2@alice')).toBe('s')
})
