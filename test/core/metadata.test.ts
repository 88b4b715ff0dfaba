import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { latestTime } from '../../src/core/clock.ts'
import { isLive, type Metadata, type MetadataChange, mergeMetadata } from '../../src/core/metadata.ts'
import {
  formatMetadata,
  metadataAsChange,
  metadataTag,
  metadataTags,
  parseTagValue,
} from '../../src/core/metadata-tags.ts'
import { metadataView } from '../../src/core/metadata-view.ts'
import { metadata as metadataPart, seq } from '../../src/wire/grammar.ts'
import { refusal } from '../vectors/read.ts'

const grammar = seq(metadataPart)
const parse = (text: string): MetadataChange => grammar.parse(text).metadata
const base64 = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64')

const time = '2026-01-31T10:00:00.123000Z'
const timeMs = Date.UTC(2026, 0, 31, 10, 0, 0, 123)
const app = base64({ providerId: 'acme' })

/** Every tag with a value as written and as read, in the canonical order of page 06, section 2. */
const every: readonly (readonly [keyof MetadataChange, string, number | boolean | string])[] = [
  ['ttl', '60000', 60_000],
  ['ttb', '0', 0],
  ['ttr', '-1', -1],
  ['ccd', 'true', true],
  ['cAt', time, timeMs],
  ['uAt', time, timeMs],
  ['eAt', time, timeMs],
  ['aAt', time, timeMs],
  ['dataSignature', 'c2ln+/==', 'c2ln+/=='],
  ['sharedKeyStatus', 'SHARED', 'SHARED'],
  ['isBinary', 'false', false],
  ['isEncrypted', 'true', true],
  ['sharedKeyEnc', 'a2V5==', 'a2V5=='],
  ['pubKeyCS', '79054025', '79054025'],
  ['pubKeyHash', 'ab12', 'ab12'],
  ['hashingAlgo', 'sha512', 'sha512'],
  ['encoding', 'base64', 'base64'],
  ['encKeyName', 'shared_key.bob', 'shared_key.bob'],
  ['encAlgo', 'AES/SIC/PKCS7Padding', 'AES/SIC/PKCS7Padding'],
  ['ivNonce', 'bm9uY2U=', 'bm9uY2U='],
  ['skeEncKeyName', 'ske.1', 'ske.1'],
  ['skeEncAlgo', 'RSA', 'RSA'],
  ['immutable', 'true', true],
  ['appMetadata', app, app],
]
const asChange = Object.fromEntries(every.map(([name, , value]) => [name, value])) as MetadataChange
const asText = every.map(([name, text]) => `:${name}:${text}`).join('')

describe('metadata tags on the wire', () => {
  test('are these, in this order', () => {
    expect(metadataTags.map((tag) => tag.name)).toEqual(every.map(([name]) => name))
  })

  test('are all read and written together', () => {
    expect(parse(asText)).toEqual(asChange)
    expect(formatMetadata(asChange)).toBe(asText)
    expect(formatMetadata({})).toBe('')
  })

  test.each(every)('%s is read and written alone', (name, text, value) => {
    expect(parse(`:${name}:${text}`)).toEqual({ [name]: value })
    expect(formatMetadata({ [name]: value })).toBe(`:${name}:${text}`)
  })

  test.each(every)('%s is read in any letter case', (name, text, value) => {
    expect(parse(`:${name.toUpperCase()}:${text}`)).toEqual({ [name]: value })
    expect(parse(`:${name.toLowerCase()}:${text}`)).toEqual({ [name]: value })
  })

  test.each(every)('%s cannot be given twice', (name, text) => {
    expect(
      refusal(() =>
        parse(`:${name}:${text}:ttl:1:${name.toUpperCase()}:${text}`.replace(/^:ttl:60000:ttl:1/, ':ttl:1')),
      ),
    ).toEqual({
      code: 'AT0003',
      message: `${name} is given twice`,
    })
  })

  test('are read in any order and written in one', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...every]), (some) => {
        const text = some.map(([name, value]) => `:${name}:${value}`).join('')
        const names = new Set(some.map(([name]) => name))
        const canonical = every.filter(([name]) => names.has(name)).map(([name, value]) => `:${name}:${value}`)
        expect(formatMetadata(parse(text))).toBe(canonical.join(''))
      }),
    )
  })

  test('of at_c are read: hash and algo', () => {
    expect(parse(':hash:ab12:algo:sha256')).toEqual({ pubKeyHash: 'ab12', hashingAlgo: 'sha256' })
    expect(refusal(() => parse(':hash:ab12:pubKeyHash:cd')).message).toBe('pubKeyHash is given twice')
  })

  test.each(['TRUE', 'True', 'true'])('take %s for a boolean', (text) => {
    expect(parse(`:isBinary:${text}`)).toEqual({ isBinary: true })
  })

  test.each(['constructor', '__proto__', 'toString', 'hasOwnProperty', 'version', 'createdAt', 'ttls', ''])(
    'do not include %j',
    (word) => {
      expect(metadataTag(word)).toBeUndefined()
    },
  )
})

describe('a bad value names its tag', () => {
  const negative = (tag: string) => `Valid value for ${tag} should be greater than or equal to 0`
  test.each([
    ['ttl', '-1', negative('TTL')],
    ['ttb', '-1', negative('TTB')],
    ['ttr', '-2', 'Valid values for TTR are -1 and greater than or equal to 1'],
    ['ttl', '', 'ttl takes a whole number, not ""'],
    ['ttl', '1.5', 'ttl takes a whole number, not "1.5"'],
    ['ttl', '1e3', 'ttl takes a whole number, not "1e3"'],
    ['ttl', '0x10', 'ttl takes a whole number, not "0x10"'],
    ['ttl', '+5', 'ttl takes a whole number, not "+5"'],
    ['ttl', '-0', 'ttl takes a whole number, not "-0"'],
    ['ttl', 'Infinity', 'ttl takes a whole number, not "Infinity"'],
    ['ttl', 'null', 'ttl takes a whole number, not "null"'],
    ['ttl', '9'.repeat(16), 'ttl takes a whole number, not "9999999999999999"'],
    ['ttb', '٣', 'ttb takes a whole number, not "٣"'],
    ['ttr', 'x', 'ttr takes a whole number, not "x"'],
    ['ccd', 'yes', 'ccd takes true or false'],
    ['isBinary', '', 'isBinary takes true or false'],
    ['isEncrypted', '1', 'isEncrypted takes true or false'],
    ['immutable', 'null', 'immutable takes true or false'],
    ['cAt', '2026-01-31', 'cAt takes a UTC time such as 2026-01-31T10:00:00Z'],
    ['uAt', '2026-01-31T10:00:00', 'uAt takes a UTC time such as 2026-01-31T10:00:00Z'],
    ['eAt', '1790000000000', 'eAt takes a UTC time such as 2026-01-31T10:00:00Z'],
    ['aAt', 'Z', 'aAt takes a UTC time such as 2026-01-31T10:00:00Z'],
    ['ivNonce', '', 'ivNonce takes text without : @ or blanks'],
    ['encKeyName', 'a@b', 'encKeyName takes text without : @ or blanks'],
    ['appMetadata', '%%%not-base64%%%', 'invalid appMetadata: not standard base64'],
    ['appMetadata', 'e30', 'invalid appMetadata: not standard base64'],
    ['appMetadata', '', 'invalid appMetadata: not JSON'],
    ['appMetadata', base64('{'), 'invalid appMetadata: not JSON'],
    ['appMetadata', base64('[]'), 'invalid appMetadata: not a JSON object'],
    ['appMetadata', base64('null'), 'invalid appMetadata: not a JSON object'],
    ['appMetadata', base64('1'), 'invalid appMetadata: not a JSON object'],
  ])(':%s:%s', (name, text, message) => {
    expect(refusal(() => parse(`:${name}:${text}`))).toEqual({ code: 'AT0003', message })
  })

  test('deep documents could be read and never written again, so they are refused', () => {
    const nested = (levels: number) => `${'{"a":'.repeat(levels)}1${'}'.repeat(levels)}`
    expect(parse(`:appMetadata:${base64(nested(32))}`)).toHaveProperty('appMetadata')
    for (const levels of [34, 100_000]) {
      expect(refusal(() => parse(`:appMetadata:${base64(nested(levels))}`)).message).toBe(
        'invalid appMetadata: nested deeper than 32 levels',
      )
    }
  })

  test('a time that never ends is not searched for', () => {
    expect(refusal(() => parse(`:eAt:${'1'.repeat(1_000_000)}Z`)).message).toContain('eAt takes a UTC time')
  })

  test('every tag refuses an empty value', () => {
    for (const tag of metadataTags) {
      const { code, message } = refusal(() => parseTagValue(tag, ''))
      expect(code).toBe('AT0003')
      expect(message).toContain(tag.name)
    }
  })
})

const now = Date.UTC(2026, 5, 1)
const old = now - 1_000_000
const write = { by: '@alice', now, newValue: true } as const
const merge = (existing: Metadata | undefined, change: MetadataChange, newValue = true): Metadata =>
  mergeMetadata(existing, change, { ...write, newValue })

describe('a new record', () => {
  test('says who made it and when', () => {
    expect(merge(undefined, {})).toEqual({
      createdBy: '@alice',
      updatedBy: '@alice',
      createdAt: now,
      updatedAt: now,
      version: 0,
      isBinary: false,
      isEncrypted: false,
    })
  })

  test('lives its ttl after its birth', () => {
    expect(merge(undefined, { ttl: 500, ttb: 300 })).toMatchObject({
      availableAt: now + 300,
      expiresAt: now + 800,
      ttl: 500,
      ttb: 300,
    })
  })

  test('does not take the word null for a text', () => {
    const names = metadataTags.filter((tag) => tag.type === 'token').map((tag) => tag.name)
    const merged = merge(undefined, Object.fromEntries(names.map((name) => [name, 'null'])))
    expect(Object.values(merged)).not.toContain('null')
  })

  test('never stores sharedKeyStatus', () => {
    expect(merge(undefined, { sharedKeyStatus: 'SHARED' })).not.toHaveProperty('sharedKeyStatus')
  })
})

describe('times after a write (page 07, section 5)', () => {
  const stored: Metadata = {
    createdBy: '@alice',
    updatedBy: '@alice',
    createdAt: old,
    updatedAt: old,
    availableAt: old + 10,
    expiresAt: now + 9_000,
    ttl: 7_000,
    ttb: 10,
    version: 4,
    isBinary: false,
    isEncrypted: false,
  }
  const t = now + 86_400_000
  const kept = { createdAt: old, updatedAt: now, availableAt: old + 10, expiresAt: now + 9_000, ttl: 7_000, ttb: 10 }

  test.each<[string, MetadataChange, Metadata]>([
    ['nothing', {}, kept],
    ['ttl:n', { ttl: 60_000 }, { ...kept, expiresAt: now + 60_000, ttl: 60_000 }],
    ['ttl:0', { ttl: 0 }, { ...kept, expiresAt: undefined, ttl: 0 } as unknown as Metadata],
    ['ttb:n', { ttb: 500 }, { ...kept, availableAt: now + 500, ttb: 500 }],
    ['ttb:0', { ttb: 0 }, { ...kept, availableAt: now, ttb: 0 }],
    [
      'ttb:n with ttl:n',
      { ttb: 500, ttl: 60_000 },
      { ...kept, availableAt: now + 500, ttb: 500, expiresAt: now + 60_500, ttl: 60_000 },
    ],
    ['eAt:t without ttl', { eAt: t }, { ...kept, expiresAt: t, ttl: t - now }],
    [
      'eAt:t behind the write',
      { eAt: now - 5 },
      { ...kept, expiresAt: now - 5, ttl: undefined } as unknown as Metadata,
    ],
    ['eAt:t with ttl:n', { eAt: t, ttl: 60_000 }, { ...kept, expiresAt: t, ttl: 60_000 }],
    ['eAt:t with ttl:0', { eAt: t, ttl: 0 }, { ...kept, expiresAt: t, ttl: 0 }],
    [
      'eAt:t with aAt ahead',
      { eAt: t, aAt: t - 50 },
      { ...kept, expiresAt: t, ttl: 50, availableAt: t - 50, ttb: t - 50 - now },
    ],
    ['eAt:t with uAt', { eAt: t, uAt: now - 100 }, { ...kept, updatedAt: now - 100, expiresAt: t, ttl: t - now + 100 }],
    ['aAt:t without ttb', { aAt: t }, { ...kept, availableAt: t, ttb: t - now }],
    ['aAt:t in the past', { aAt: old }, { ...kept, availableAt: old, ttb: undefined } as unknown as Metadata],
    ['aAt:t with ttb:n', { aAt: t, ttb: 5 }, { ...kept, availableAt: t, ttb: 5 }],
    ['cAt:t', { cAt: 5 }, { ...kept, createdAt: 5 }],
    ['uAt:t', { uAt: 6 }, { ...kept, updatedAt: 6 }],
  ])('%s', (_, change, expected) => {
    const merged = merge(stored, change)
    const { createdAt, updatedAt, availableAt, expiresAt, ttl, ttb } = merged
    expect({ createdAt, updatedAt, availableAt, expiresAt, ttl, ttb }).toEqual(expected)
    for (const [name, value] of Object.entries(expected)) {
      if (value === undefined) expect(merged).not.toHaveProperty(name)
    }
  })

  test('E3 of page 07: eAt counts from the asserted update', () => {
    const merged = merge(undefined, { uAt: Date.UTC(2021, 1, 3, 4, 5, 6, 789), eAt: Date.UTC(2030, 0, 1) })
    expect(merged.ttl).toBe(281_130_893_211)
  })

  test('another writer is noted, the maker stays, the version grows', () => {
    const merged = mergeMetadata(stored, {}, { ...write, by: '@bob' })
    expect(merged).toMatchObject({ createdBy: '@alice', updatedBy: '@bob', version: 5 })
  })

  test('the stored metadata itself is never touched', () => {
    const frozen = Object.freeze({ ...stored })
    merge(frozen, { ttl: 0, ttb: 1, ttr: 5, ccd: true, cAt: 1, immutable: true, ivNonce: 'null' })
    expect(frozen).toEqual(stored)
  })

  test('the longest times can still be written', () => {
    const most = 999_999_999_999_999
    const merged = merge(undefined, { ttl: most, ttb: most, ttr: most })
    expect(merged).toMatchObject({ availableAt: latestTime, expiresAt: latestTime, refreshAt: latestTime, ttl: most })
    expect(metadataView(merged)).toMatchObject({ refreshAt: '9999-12-31 23:59:59.999Z' })
    expect(parse(formatMetadata(metadataAsChange(merged, true)))).toMatchObject({ eAt: latestTime, aAt: latestTime })
  })
})

describe('permission to cache (page 03, 2.2)', () => {
  const cached: Metadata = { ttr: 60, ccd: true, refreshAt: old }

  test.each<[string, Metadata | undefined, MetadataChange, object]>([
    ['new: ttr alone', undefined, { ttr: 10 }, { ttr: 10, ccd: false, refreshAt: now + 10_000 }],
    ['new: ttr and ccd', undefined, { ttr: 10, ccd: true }, { ttr: 10, ccd: true, refreshAt: now + 10_000 }],
    ['new: ccd alone is dropped', undefined, { ccd: true }, {}],
    ['new: ttr 0 counts as omitted', undefined, { ttr: 0, ccd: true }, {}],
    ['new: for ever', undefined, { ttr: -1 }, { ttr: -1, ccd: false }],
    ['existing: both', cached, { ttr: 5, ccd: false }, { ttr: 5, ccd: false, refreshAt: now + 5_000 }],
    ['existing: ccd alone', cached, { ccd: false }, { ttr: 60, ccd: false, refreshAt: now + 60_000 }],
    ['existing without ttr: ccd alone', {}, { ccd: true }, { ccd: true }],
    ['existing: ttr alone', cached, { ttr: 5 }, { ttr: 5, ccd: true, refreshAt: now + 5_000 }],
    ['existing without ccd: ttr alone', {}, { ttr: 5 }, { ttr: 5, ccd: false, refreshAt: now + 5_000 }],
    ['existing: ttr 0 keeps it', cached, { ttr: 0 }, { ttr: 60, ccd: true, refreshAt: now + 60_000 }],
    ['existing: neither', cached, {}, { ttr: 60, ccd: true, refreshAt: now + 60_000 }],
    ['existing: for ever from now on', cached, { ttr: -1 }, { ttr: -1, ccd: true }],
  ])('%s', (_, existing, change, expected) => {
    const merged = merge(existing, change)
    const got = Object.fromEntries(
      (['ttr', 'ccd', 'refreshAt'] as const).filter((name) => name in merged).map((name) => [name, merged[name]]),
    )
    expect(got).toEqual(expected)
  })
})

describe('texts after a write', () => {
  const bound = metadataTags.filter((tag) => tag.boundToValue).map((tag) => tag.name)
  const stored = merge(undefined, asChange)

  test('what describes the old ciphertext is dropped with it', () => {
    const merged = merge(stored, {})
    for (const name of bound) expect(merged).not.toHaveProperty(name)
    expect(merged).toMatchObject({ isEncrypted: true, immutable: true, appMetadata: app })
  })

  test('a change of metadata alone keeps it', () => {
    const merged = merge(stored, { ttl: 5 }, false)
    for (const name of bound) expect(merged).toHaveProperty(name)
  })

  test.each(bound)('%s: null clears it', (name) => {
    expect(merge(stored, { [name]: 'null' }, false)).not.toHaveProperty(name)
    expect(merge(stored, { [name]: 'null' }, true)).not.toHaveProperty(name)
  })

  test('a hash without its algorithm is ignored, and so is the other way round', () => {
    expect(merge(undefined, { pubKeyHash: 'ab' })).not.toHaveProperty('pubKeyHash')
    expect(merge(undefined, { hashingAlgo: 'sha256' })).not.toHaveProperty('hashingAlgo')
    const pair = { pubKeyHash: 'ab12', hashingAlgo: 'sha512' }
    expect(merge(stored, { pubKeyHash: 'ffff' }, false)).toMatchObject(pair)
    expect(merge(stored, { hashingAlgo: 'sha256' }, false)).toMatchObject(pair)
    expect(merge(stored, { pubKeyHash: 'ffff' }, true)).not.toHaveProperty('hashingAlgo')
    const other = { pubKeyHash: 'ffff', hashingAlgo: 'sha256' }
    expect(merge(stored, other, false)).toMatchObject(other)
  })

  test('booleans that are not mentioned stay', () => {
    expect(merge({ isBinary: true, isEncrypted: true }, {})).toMatchObject({ isBinary: true, isEncrypted: true })
    expect(merge({ isBinary: true }, { isBinary: false })).toMatchObject({ isBinary: false })
  })
})

describe('metadata in a reply', () => {
  test('has its members in the order of the reference, times as text, documents as objects', () => {
    const full = merge(undefined, { ...asChange, ttb: 5, ttr: 60, uAt: timeMs })
    const view = metadataView(full)
    expect(Object.keys(view)).toEqual([
      ...[
        'createdBy',
        'updatedBy',
        'createdAt',
        'updatedAt',
        'availableAt',
        'expiresAt',
        'refreshAt',
        'status',
        'version',
      ],
      ...[
        'ttl',
        'ttb',
        'ttr',
        'ccd',
        'isBinary',
        'isEncrypted',
        'dataSignature',
        'sharedKeyEnc',
        'pubKeyCS',
        'pubKeyHash',
      ],
      ...['encoding', 'encKeyName', 'encAlgo', 'ivNonce', 'skeEncKeyName', 'skeEncAlgo', 'immutable', 'appMetadata'],
    ])
    expect(view).toMatchObject({
      updatedAt: '2026-01-31 10:00:00.123Z',
      status: 'active',
      pubKeyHash: { hash: 'ab12', hashingAlgo: 'sha512' },
      appMetadata: { providerId: 'acme' },
    })
  })

  test('leaves out what was not set', () => {
    expect(metadataView(merge(undefined, {}))).toEqual({
      createdBy: '@alice',
      updatedBy: '@alice',
      createdAt: '2026-06-01 00:00:00.000Z',
      updatedAt: '2026-06-01 00:00:00.000Z',
      status: 'active',
      version: 0,
      isBinary: false,
      isEncrypted: false,
    })
    expect(metadataView({})).toEqual({ status: 'active' })
  })

  test('is never null, whatever was written', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([...every]), fc.shuffledSubarray([...every]), (first, second) => {
        const change = (some: typeof first) => Object.fromEntries(some.map(([name, , value]) => [name, value]))
        const merged = merge(merge(undefined, change(first)), change(second))
        for (const value of Object.values(metadataView(merged))) expect(value ?? 'nothing').not.toBe('nothing')
        expect(() => JSON.stringify(metadataView(merged))).not.toThrow()
      }),
    )
  })
})

test('stored metadata becomes tags again, with times when asked', () => {
  const stored = merge(undefined, { ttl: 5_000, ttr: 60, isEncrypted: true, ivNonce: 'abc', cAt: 1 })
  expect(formatMetadata(metadataAsChange(stored, false))).toBe(
    ':ttl:5000:ttr:60:ccd:false:isBinary:false:isEncrypted:true:ivNonce:abc',
  )
  expect(metadataAsChange(stored, true)).toMatchObject({ cAt: 1, uAt: now, eAt: now + 5_000 })
})

test('a record lives from its birth to its expiry, both included', () => {
  expect(isLive({}, now)).toBe(true)
  expect(isLive({ availableAt: now, expiresAt: now }, now)).toBe(true)
  expect(isLive({ availableAt: now + 1 }, now)).toBe(false)
  expect(isLive({ expiresAt: now - 1 }, now)).toBe(false)
})
