import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { parseJsonPath, valueAt } from '../../src/bridge/json-path.ts'
import { checkRules, compileRules, map, type Rule } from '../../src/bridge/mapping.ts'
import { sanitise } from '../../src/bridge/rule.ts'
import { parseConfig } from '../../src/config/load.ts'
import { keyKind, parseAtKey } from '../../src/core/at-key.ts'

const at = Date.parse('2026-11-20T12:00:00.000Z')
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

const mapped = (rules: readonly Rule[], topic: string, payload: string | Uint8Array) =>
  map(compileRules(rules, 'sensors'), topic, typeof payload === 'string' ? bytes(payload) : payload, at)

function reading(rule: Rule, topic: string, payload: string | Uint8Array) {
  const { readings, problems } = mapped([rule], topic, payload)
  return readings[0] ?? problems[0]?.message
}

describe('a reading', () => {
  const rule = { topic: 'zigbee2mqtt/+device', key: 'temperature.{device}', value: '$.temperature', unit: '°C' }

  test('has key, value, unit and time', () => {
    expect(reading(rule, 'zigbee2mqtt/kitchen', '{"temperature":21.4}')).toMatchObject({
      key: 'temperature.kitchen.sensors',
      value: 21.4,
      text: '{"value":21.4,"unit":"°C","time":"2026-11-20T12:00:00.000Z"}',
      at,
      delivery: { recipients: ['self'], update: true, notify: false },
    })
  })

  test.each<[Rule, string, string, unknown, string]>([
    [{ topic: 'a', key: 'k', format: 'raw' }, 'a', '21.40', 21.4, '21.4'],
    [{ topic: 'a', key: 'k', format: 'raw' }, 'a', ' ON\n', 'ON', 'ON'],
    [{ topic: 'a', key: 'k', format: 'raw' }, 'a', '007', '007', '007'],
    [
      { topic: 'a', key: 'k', format: 'raw' },
      'a',
      '12345678901234567890',
      '12345678901234567890',
      '12345678901234567890',
    ],
    [{ topic: 'a', key: 'k', format: 'raw' }, 'a', '1e999', '1e999', '1e999'],
    [{ topic: 'a', key: 'k', format: 'raw', value: '$.s[1]["x y"]' }, 'a', '{"s":[0,{"x y":true}]}', true, 'true'],
    [
      { topic: 'a', key: 'k', value: '$' },
      'a',
      '"line\\nbreak"',
      'line\nbreak',
      '{"value":"line\\nbreak","time":"2026-11-20T12:00:00.000Z"}',
    ],
  ])('of %j from %s %j', (given, topic, payload, value, text) => {
    expect(reading(given, topic, payload)).toMatchObject({ value, text })
  })

  test('takes its name from the topic, in the alphabet of keys', () => {
    const keyOf = (topic: string) => {
      const result = reading({ topic: 'h/#rest', key: 'x.{rest}' }, topic, '1')
      return typeof result === 'object' ? result.key : result
    }
    expect(keyOf('h/Ground Floor/Küche/T.1')).toBe('x.ground_floor.kuche.t_1.sensors')
    expect(keyOf('h/客厅')).toBe('x.u5ba2u5385.sensors')
    expect(keyOf('h/a:b@c')).toBe('x.a_b_c.sensors')
    expect(keyOf('h')).toMatch(/the record name "x\." has an empty part$/)
    expect(keyOf(`h/${'a'.repeat(200)}`)).toMatch(/the record name is longer than 137 characters$/)
  })

  test('never takes the name of something reserved', () => {
    const problem = reading({ topic: '+x', key: '{x}' }, 'shared_key', '1')
    expect(problem).toBe('rule 1 (+x) cannot use a message of shared_key: shared_key.sensors is a reserved name')
  })

  test('of any topic and payload is a valid self key or a problem, and never an exception', () => {
    const compiled = compileRules(
      [
        { topic: '+a/#b', key: '{a}.{b}' },
        { ...rule, topic: '#', key: 'k' },
      ],
      'sensors',
    )
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), fc.oneof(fc.uint8Array(), fc.json().map(bytes)), (topic, payload) => {
        for (const { key } of map(compiled, topic, payload, at).readings) {
          expect(keyKind(parseAtKey(`${key}@device`))).toBe('self')
        }
      }),
    )
    fc.assert(fc.property(fc.string({ unit: 'binary' }), (text) => /^[a-z0-9_-]*$/.test(sanitise(text))))
  })
})

describe('a problem names rule, topic and reason', () => {
  const rule = { topic: 'a/+b', key: 'k', value: '$.x' }

  test.each<[string | Uint8Array, string]>([
    ['{', 'it is not JSON'],
    ['', 'it is not JSON'],
    [new Uint8Array([0xff]), 'it is not UTF-8'],
    [new Uint8Array(65_537), 'it is longer than 65536 bytes'],
    ['{"y":1}', 'it has no $.x'],
    ['{"x":null}', 'it has no $.x'],
    ['{"x":{}}', '$.x is an object, not a single value'],
    ['{"x":[1]}', '$.x is a list, not a single value'],
    ['{"x":1e999}', '$.x is too large for a number'],
    ['[1]', 'it has no $.x'],
  ])('%j', (payload, reason) => {
    expect(reading(rule, 'a/c', payload)).toBe(`rule 1 (a/+b) cannot use a message of a/c: ${reason}`)
  })

  test('also for a whole payload', () => {
    expect(reading({ topic: 'a', key: 'k' }, 'a', ' ')).toMatch(/it is empty$/)
    expect(reading({ topic: 'a', key: 'k', format: 'raw' }, 'a', 'a\nupdate:b')).toMatch(
      /control characters, which need format json$/,
    )
  })

  test('and leaves the readings of other rules alone', () => {
    const { readings, problems } = mapped([rule, { topic: '#', key: 'all' }], 'a/c', 'text')
    expect([readings.map(({ key }) => key), problems.length]).toEqual([['all.sensors'], 1])
  })
})

describe('a rule is refused', () => {
  test.each<[Partial<Rule>, string, string]>([
    [{ topic: 'a/#/b' }, 'topic', '# may only be the last level'],
    [{ key: '{b}' }, 'key', '{b} is not caught by the topic; write +b or #b there'],
    [{ key: 'a{b' }, 'key', 'has a brace without its partner'],
    [{ key: '@alice:x' }, 'key', 'expected a bare name; owner, namespace and recipients are added'],
    [{ key: 'a b' }, 'key', 'characters that a name may not have in key a b.sensors@owner'],
    [{ key: 'a..b' }, 'key', 'the record name "a..b" has an empty part'],
    [{ key: 'shared_key' }, 'key', 'shared_key.sensors is a reserved name'],
    [{ value: 'temperature' }, 'value', 'must start with $, as in $.temperature'],
    [{ update: false }, 'update', 'update and notify are both off'],
    [{ update: false, notify: true }, 'recipients', 'only an atSign can be notified; self and public need update'],
  ])('%j', (change, member, message) => {
    const rule = { topic: 'a', key: 'k', ...change }
    expect(checkRules([rule], 'sensors')).toEqual([{ path: [0, member], message }])
    expect(() => compileRules([rule], 'sensors')).toThrow(`rules[0].${member}: ${message}`)
  })

  test('and those of a configuration file fit without conversion', () => {
    const config = parseConfig("atSign: '@device'\nbridge: { rules: [{ topic: '+a', key: '{a}', ttl: 1h }] }", 'x.yaml')
    expect(compileRules(config.bridge.rules, config.bridge.namespace).rules[0]?.delivery.ttl).toBe(3_600_000)
  })
})

describe('a path into JSON', () => {
  test('reaches members and positions', () => {
    const value = { a: { b: [{ 'x y': 1, "it's": 2 }] }, 'b-c': 3 }
    const at = (path: string) => {
      const parsed = parseJsonPath(path)
      return typeof parsed === 'string' ? parsed : valueAt(value, parsed)
    }
    expect(at("$.a.b[0]['x y']")).toBe(1)
    expect(at(`$.a.b[0]["it's"]`)).toBe(2)
    expect(at('$.b-c')).toBe(3)
    expect(at('$')).toBe(value)
    for (const missing of ['$.a.b[1]', '$.a.b.length', '$.constructor', '$.__proto__', "$.a.b['0']", '$.a[0]']) {
      expect(at(missing)).toBeUndefined()
    }
  })

  test('is bounded and exact', () => {
    expect(parseJsonPath('$.a..b')).toBe('cannot be understood from "..b" on')
    expect(parseJsonPath('$[-1]')).toBe('cannot be understood from "[-1]" on')
    expect(parseJsonPath('$[*]')).toBe('cannot be understood from "[*]" on')
    expect(parseJsonPath(`$${'.a'.repeat(17)}`)).toBe('has more than 16 steps')
    expect(parseJsonPath(`$.${'a'.repeat(300)}`)).toBe('is longer than 256 characters')
    fc.assert(fc.property(fc.string(), (text) => parseJsonPath(`$${text}`) !== undefined))
  })
})
