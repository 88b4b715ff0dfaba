import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseUtc, wireTime } from '../../src/core/clock.ts'
import { invalidSyntax } from '../../src/core/errors.ts'
import { metadataTags } from '../../src/core/metadata-tags.ts'
import {
  anyOrder,
  atSign,
  bool,
  flag,
  type Grammar,
  integer,
  key,
  metadata,
  oneOf,
  opt,
  optionalAtSign,
  optionalTail,
  optionalWord,
  param,
  seq,
  tail,
  text,
  timeParam,
  token,
} from '../../src/wire/grammar.ts'
import { refusal, vectors } from '../vectors/read.ts'

const utc = {
  parse(value: string, name: string): number {
    const ms = parseUtc(value)
    if (ms === undefined) throw invalidSyntax(`${name} takes a UTC time`)
    return ms
  },
  format: wireTime,
}

const update = seq(flag('nc'), metadata, key('optional'), text('value'))
const scan = seq(param('showHidden', bool, ['showhidden']), optionalAtSign('atSign'), optionalWord('pattern'))
const llookup = seq(opt('view', 'meta', 'all'), key())
const remove = seq(timeParam('dAt', utc), flag('nc'), flag('force'), key())
const from = seq(atSign('atSign'), optionalTail('clientConfig'))
const pkam = seq(
  anyOrder(param('signingAlgo', oneOf('rsa2048', 'ecc')), param('id', token()), param('n', integer(1)), flag('eph')),
  tail('signature'),
)

const message = (grammar: Grammar<unknown>, line: string): string => {
  const refused = refusal(() => grammar.parse(line))
  expect(refused.code).toBe('AT0003')
  return refused.message
}

describe('a command is read and written back in its canonical form', () => {
  test.each<[Grammar<unknown>, string, string]>([
    [update, ':@bob:phone.wavi@alice +1 555', '='],
    [update, ':public:x@alice  two blanks', '='],
    [update, ':NC:TTL:5:isencrypted:TRUE:@Bob:Phone@Alice Value', ':nc:ttl:5:isEncrypted:true:@bob:phone@alice Value'],
    [update, ':isEncrypted:true:ttl:5:x@alice v', ':ttl:5:isEncrypted:true:x@alice v'],
    [update, ':eAt:2026-01-31T10:00:00Z:x@alice v', ':eAt:2026-01-31T10:00:00.000000Z:x@alice v'],
    [update, ':eAt:2026-01-31T10:00:00.1Z:ttl:1:x@alice Z', ':ttl:1:eAt:2026-01-31T10:00:00.100000Z:x@alice Z'],
    [update, ':privatekey:at_pkam_publickey MIIB', '='],
    [update, ':ttl.wavi@alice v', '='],
    [update, ':public@alice v', '='],
    [update, ':ttl@alice :ttl:5:', '='],
    [update, ':x@alice a:b@c', '='],
    [update, ':🦄@🦄 🦄', '='],
    [scan, '', '='],
    [scan, ':SHOWHIDDEN:True', ':showhidden:true'],
    [scan, ':showhidden:false:@bob ^public:', '='],
    [scan, '   .wavi ', ' .wavi'],
    [scan, ' ', ''],
    [llookup, ':x@alice', '='],
    [llookup, ':ALL:cached:public:x@bob', ':all:cached:public:x@bob'],
    [llookup, ':meta@alice', '='],
    [llookup, ':meta:all@alice', '='],
    [remove, ':dAt:2026-01-31T10:00:00.123456Z:nc:force:x@alice', ':dAt:2026-01-31T10:00:00.123000Z:nc:force:x@alice'],
    [remove, ':nc@alice', '='],
    [from, ':alice', ':@alice'],
    [
      from,
      ':@Al.ice:clientconfig:{"version":"3.0.57", "x":"a:b"}',
      ':@alice:clientConfig:{"version":"3.0.57", "x":"a:b"}',
    ],
    [pkam, ':c2ln+/==', '='],
    [pkam, ':id:e1:signingAlgo:RSA2048:sig', ':signingAlgo:rsa2048:id:e1:sig'],
    [pkam, ':eph:n:7:a:b c', ':n:7:eph:a:b c'],
  ])('%#: %s', (grammar, line, canonical) => {
    const written = grammar.format(grammar.parse(line))
    expect(written).toBe(canonical === '=' ? line : canonical)
    expect(grammar.format(grammar.parse(written))).toBe(written)
  })

  test.each(vectors('atkey_valid.txt'))('the key %s', (spelt, stored) => {
    const grammar = seq(key('optional'))
    expect(grammar.format(grammar.parse(`:${spelt}`))).toBe(`:${stored === '=' ? spelt : stored}`)
  })

  test.each(vectors('atkey_invalid.txt').filter(([spelt]) => spelt !== ''))('not the key %j', (spelt) => {
    expect(['AT0003', 'AT0011', 'AT0016']).toContain(refusal(() => seq(key('optional')).parse(`:${spelt}`)).code)
  })
})

describe('a refusal names the part that is wrong', () => {
  test.each<[Grammar<unknown>, string, string]>([
    [update, '', 'key is missing'],
    [update, ':', 'key is missing'],
    [update, ': v', 'key is missing'],
    [update, ' v', 'unexpected " v"'],
    [update, ':x@alice', 'value is missing'],
    [update, ':x@alice ', 'value is missing'],
    [update, ':tll:5:x@alice v', 'unknown parameter "tll"'],
    [update, ':constructor:5:x@alice v', 'unknown parameter "constructor"'],
    [update, ':__proto__:5:x@alice v', 'unknown parameter "__proto__"'],
    [update, ':ttl:x@alice v', 'ttl takes a whole number, not "x@alice"'],
    [update, ':ttl:5:ttl:6:x@alice v', 'ttl is given twice'],
    [update, ':eAt:tomorrow:x@alice v', 'eAt takes a UTC time such as 2026-01-31T10:00:00Z'],
    [update, ':eAt:x:@bob:Zoo@alice v', 'eAt takes a UTC time such as 2026-01-31T10:00:00Z'],
    [llookup, ':x', 'key "x" needs its owner, as in x@alice'],
    [llookup, ':all', 'key "all" needs its owner, as in all@alice'],
    [llookup, ':all:all:x@alice', 'unknown parameter "all"'],
    [llookup, ':x@alice y', 'unexpected " y"'],
    [llookup, ':x@alice:y', 'unexpected ":y"'],
    [scan, ':showhidden:perhaps', 'showHidden takes true, false, not "perhaps"'],
    [scan, ':shown:true', 'unexpected ":shown:true"'],
    [scan, ' a b', 'pattern takes one word'],
    [remove, ':dAt 2026-01-31T10:00:00Z:x@alice', 'key "dat" needs its owner, as in dat@alice'],
    [remove, ':dAt:soon:x@alice', 'dAt takes a UTC time'],
    [remove, ':force:nc:x@alice', 'unknown parameter "nc"'],
    [from, '', 'atSign is missing, as in :@alice'],
    [from, ':', 'atSign is missing, as in :@alice'],
    [from, ':alice@bob', '"alice@bob" is not an atSign'],
    [from, ':@a b', 'unexpected " b"'],
    [from, ':@alice:clientConfig', 'clientConfig is empty'],
    [from, ':@alice:clientConfig {}', 'clientConfig is empty'],
    [from, ':@alice:config:{}', 'unexpected ":config:{}"'],
    [pkam, '', 'signature is missing'],
    [pkam, ':id:e1', 'signature is missing'],
    [pkam, ':id:e1:id:e2:sig', 'id is given twice'],
    [pkam, ':signingAlgo:md5:sig', 'signingAlgo takes rsa2048, ecc, not "md5"'],
    [pkam, ':n:0:sig', 'n takes a whole number from 1, not "0"'],
    [pkam, ':n:-1:sig', 'n takes a whole number from 1, not "-1"'],
    [pkam, `:n:${'9'.repeat(16)}:sig`, 'n takes a whole number from 1, not "9999999999999999"'],
    [pkam, ':eph:eph:sig', 'eph is given twice'],
  ])('%#: %j: %s', (grammar, line, expected) => {
    expect(message(grammar, line)).toBe(expected)
  })

  test('of a time in any order that is given twice', () => {
    const grammar = seq(anyOrder(timeParam('eAtn', utc), opt('op', 'update', 'delete')), tail('rest'))
    const time = '2026-01-31T10:00:00.000000Z'
    expect(grammar.parse(`:update:eatn:${time}:x`)).toMatchObject({ op: 'update', rest: 'x' })
    expect(message(grammar, `:eAtn:${time}:eAtn:${time}:x`)).toBe('eAtn is given twice')
    expect(message(grammar, ':update:delete:x')).toBe('op is given twice')
  })

  test('an atSign inside is judged as an atSign', () => {
    expect(refusal(() => from.parse(':@a!b')).code).toBe('AT0011')
    expect(refusal(() => scan.parse(':@')).code).toBe('AT0011')
    expect(refusal(() => update.parse(':@a!b:x@alice v')).code).toBe('AT0011')
  })
})

describe('hostile lines', () => {
  test.each([':', ':eph', ':update', ':ttl:', '@', ' ', ':@', 'a', ':public:', ':id:e1', ':eAt:1', 'Z'])(
    'a megabyte of %j is refused or read, never stuck',
    (unit) => {
      const line = unit.repeat(1_000_000 / unit.length)
      for (const grammar of [update, scan, llookup, remove, from, pkam]) {
        for (const sent of [line, `:${line}`, `:x@alice ${line}`]) {
          try {
            grammar.parse(sent)
          } catch (error) {
            expect(['AT0003', 'AT0011', 'AT0016']).toContain((error as { code: string }).code)
          }
        }
      }
    },
  )

  test('any line is either refused or canonical after one writing', () => {
    const pieces = fc.constantFrom(
      ...[':', ' ', '@', '.', 'x', 'nc', 'ttl', '5', 'true', 'isBinary', 'public', 'cached', '@bob', 'x@alice', 'all'],
      ...['meta', 'force', 'dAt', '2026-01-31T10:00:00Z', 'showhidden', 'id', 'eph', '🦄', 'Z', '-', '__proto__'],
    )
    fc.assert(
      fc.property(fc.array(pieces, { maxLength: 14 }), (parts) => {
        const line = parts.join('')
        for (const grammar of [update, scan, llookup, remove, from, pkam] as Grammar<unknown>[]) {
          let written: string
          try {
            written = grammar.format(grammar.parse(line))
          } catch (error) {
            expect(['AT0003', 'AT0011', 'AT0016']).toContain((error as { code: string }).code)
            continue
          }
          expect(grammar.format(grammar.parse(written))).toBe(written)
        }
      }),
      { numRuns: 3_000 },
    )
  })
})

test('parameters of any value survive writing and reading', () => {
  const word = fc.string({ unit: fc.constantFrom(...'abcXYZ019+/=_-.🦄'), minLength: 1, maxLength: 20 })
  const count = fc.integer({ min: 0, max: 999_999_999_999_999 })
  const moment = fc.integer({ min: 0, max: 253_402_300_799_999 })
  const byType = {
    count,
    ttr: fc.integer({ min: -1, max: 999_999_999_999_999 }),
    bool: fc.boolean(),
    time: moment,
    token: word,
    appMetadata: fc.json().map((value) => Buffer.from(`{"a":${value}}`).toString('base64')),
  }
  const change = fc.record(Object.fromEntries(metadataTags.map((tag) => [tag.name, byType[tag.type]])), {
    requiredKeys: [],
  })
  const line = fc.string({ unit: 'binary', minLength: 1 })
  fc.assert(
    fc.property(
      fc.option(fc.constant(true as const), { nil: undefined }),
      change,
      line,
      moment,
      (nc, said, value, dAt) => {
        const written = update.format({
          ...(nc === undefined ? {} : { nc }),
          metadata: said,
          key: llookup.parse(':@bob:x.y@alice').key,
          value,
        })
        const read = update.parse(written)
        expect(read.value).toBe(value)
        expect(read.metadata).toEqual(said)
        expect(read.nc).toBe(nc)
        expect(remove.parse(remove.format({ dAt, key: read.key })).dAt).toBe(dAt)
      },
    ),
  )
})
