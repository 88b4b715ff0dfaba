import { expect, test } from 'vitest'
import type { Metadata } from '../../src/core/metadata.ts'
import { bytesOfRecord } from '../../src/store/holdings.ts'

const all: [what: string, metadata: Metadata][] = [
  ['nothing', {}],
  ['one member', { ttl: 0 }],
  ['numbers, words and times', { ttr: -1, ccd: false, createdAt: 1_795_294_763_278, version: 12, isEncrypted: true }],
  ['texts', { createdBy: '@alice', ivNonce: '8PHy8/T19vf4+fr7/P3+/w==', encKeyName: 'shared_key.bob' }],
  ['texts that JSON escapes', { encKeyName: 'a"b\\c', encAlgo: '\u0001\u007f\u0085', skeEncAlgo: '\ud83d 😀\u2028' }],
]

test.each(all)('the room of a record with metadata of %s is that of its JSON', (_what, metadata) => {
  const bytes = 200 + 'phone@alice'.length + 'value'.length + JSON.stringify(metadata).length
  expect(bytesOfRecord('phone@alice', { value: 'value', metadata })).toBe(bytes)
})

test('members that are not set take no room', () => {
  const unset = { ttl: 5, ttr: undefined } as unknown as Metadata
  expect(bytesOfRecord('k@alice', { value: null, metadata: unset })).toBe(200 + 'k@alice'.length + '{"ttl":5}'.length)
})
