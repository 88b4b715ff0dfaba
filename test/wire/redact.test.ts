import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { redact } from '../../src/wire/redact.ts'

describe('a line in a log', () => {
  test.each([
    ['from:@alice', 'from:@alice'],
    ['pol', 'pol'],
    ['scan ^public:', 'scan ^public:'],
    ['lookup:all:phone.wavi@alice', 'lookup:all:phone.wavi@alice'],
    ['delete:privatekey:at_secret', 'delete:privatekey:at_secret'],
    ['notify:list wavi', 'notify:list wavi'],
    ['notify:status:n1', 'notify:status:n1'],
    ['monitor:1790000000000 .wavi', 'monitor:1790000000000 .wavi'],
    ['cram:0bba9c3e', 'cram:…'],
    ['CRAM 0bba9c3e', 'CRAM:…'],
    ['c ram:0bba9c3e', 'c:…'],
    ['cram\t0bba9c3e', 'cram:…'],
    ['pkam:enrollmentId:e1:c2ln', 'pkam:…'],
    ['otp:put:ABC123', 'otp:…'],
    ['enroll:request:{"otp":"ABC123"}', 'enroll:…'],
    ['keys:put:public:keyName:x secret', 'keys:…'],
    ['update:ttl:5:@bob:phone.wavi@alice +1 555 0100', 'update:ttl:5:@bob:phone.wavi@alice …'],
    ['update:x@alice mail:me@home:now', 'update:x@alice …'],
    [
      'update:dataSignature:c2ln:sharedKeyEnc:a2V5:@bob:x@alice v',
      'update:dataSignature:…:sharedKeyEnc:…:@bob:x@alice …',
    ],
    ['update:json:{"atKey":"x","value":"me@home"}', 'update:…'],
    ['update:nc:JSON:{"value":"me@home"}', 'update:…'],
    ['update:meta:x@alice:appMetadata:e30=', 'update:meta:x@alice …'],
    ['update:x@alice:value', 'update:x@alice …'],
    ['notify:messageType:text:@bob:hello', 'notify:messageType:text:@bob …'],
    ['notify:messageType:text:@bob:mail me@home: now', 'notify:messageType:text:@bob …'],
    ['notify:update:@bob:phone@alice:me@home', 'notify:update:@bob …'],
    ['notify:update:public:phone@alice:me@home', 'notify:update:public:phone@alice …'],
    ['notify:all:@bob,@carol:phone@alice:v', 'notify:all:@bob, …'],
    ['notify:update:hello', 'notify:…'],
    ['batch:[{"id":1,"command":"update:x@alice v"}]', 'batch:…'],
    ['crma:0bba9c3e', 'crma:…'],
    ['0bba9c3e'.repeat(16), '…'],
    ['', '…'],
    ['constructor:x', 'constructor:…'],
  ])('%s', (line, logged) => {
    expect(redact(line)).toBe(logged)
  })

  test('is never longer than a line of a log may be', () => {
    for (const verb of ['scan ', 'update:', 'notify:', 'update:@', 'x', 'notify:public:', ':']) {
      expect(redact(verb + 'a:@'.repeat(1_000_000)).length).toBeLessThan(210)
    }
  })
})

describe('no secret survives', () => {
  const secret = fc.string({ unit: fc.constantFrom(...'sEcr3t+/=:@ "{}[],.'), minLength: 8, maxLength: 40 })
  const word = fc.string({ unit: fc.constantFrom(...'sEcr3t+/='), minLength: 8, maxLength: 40 })
  const prefix = fc.constantFrom('', 'nc:', 'ttl:5:', 'ttl:5:isEncrypted:true:', 'ivNonce:abc=:')
  const key = fc.constantFrom('x.y@alice', '@bob:x.y@alice', 'public:x.y@alice', 'privatekey:at_secret')
  const notifyHead = fc.constantFrom('', 'update:', 'delete:', 'id:n-1:update:messageType:key:notifier:SYSTEM:ttln:5:')
  const cased = (verb: string) =>
    fc.constantFrom(verb, verb.toUpperCase(), verb.slice(0, 1).toUpperCase() + verb.slice(1))
  const json = (value: string) => JSON.stringify(value)

  const secretLines: readonly (readonly [string, fc.Arbitrary<readonly [line: string, secret: string]>])[] = [
    ['cram', fc.tuple(cased('cram'), fc.constantFrom(':', ' ', ': '), secret).map(([v, c, s]) => [`${v}${c}${s}`, s])],
    ['pkam', fc.tuple(cased('pkam'), word).map(([v, s]) => [`${v}:signingAlgo:rsa2048:enrollmentId:e1:${s}`, s])],
    ['otp', fc.tuple(cased('otp'), word).map(([v, s]) => [`${v}:put:${s}:ttl:5`, s])],
    [
      'enroll',
      fc.tuple(cased('enroll'), secret).map(([v, s]) => [`${v}:request:{"appName":"a@b","otp":${json(s)}}`, json(s)]),
    ],
    [
      'keys',
      fc.tuple(cased('keys'), word).map(([v, s]) => [`${v}:put:self:namespace:__global:keyName:x@alice ${s}`, s]),
    ],
    ['update', fc.tuple(cased('update'), prefix, key, secret).map(([v, p, k, s]) => [`${v}:${p}${k} ${s}`, ` ${s}`])],
    [
      'update:json',
      fc
        .tuple(cased('update'), fc.constantFrom(':json', ':nc:json', ':JSON'), secret)
        .map(([v, j, s]) => [`${v}${j}:{"value":${json(s)},"sharedBy":"@alice"}`, json(s)]),
    ],
    [
      'notify',
      fc
        .tuple(cased('notify'), notifyHead, fc.constantFrom('@bob:x@alice', 'public:x@alice'), secret)
        .map(([v, h, k, s]) => [`${v}:${h}${k}:${s}`, `:${s}`]),
    ],
    ['notify a text', fc.tuple(cased('notify'), secret).map(([v, s]) => [`${v}:messageType:text:@bob:${s}`, `:${s}`])],
    ['batch', secret.map((s) => [`batch:[{"id":1,"command":${json(`update:x@alice ${s}`)}}]`, s])],
  ]

  test.each(secretLines)('%s', (_, lines) => {
    fc.assert(
      fc.property(lines, ([line, hidden]) => {
        expect(redact(line)).not.toContain(hidden)
      }),
      { numRuns: 500 },
    )
  })
})
