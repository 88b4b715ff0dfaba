import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { matchTopic, parseTopicFilter } from '../../src/bridge/topic.ts'

function match(filter: string, topic: string): Record<string, readonly string[]> | undefined {
  const parsed = parseTopicFilter(filter)
  if (typeof parsed === 'string') throw new Error(parsed)
  const captures = matchTopic(parsed, topic.split('/'))
  return captures === undefined ? undefined : Object.fromEntries(captures)
}

/** MQTT 3.1.1, 4.7 word for word, by recursion. */
function naive(filter: readonly string[], topic: readonly string[], first = true): boolean {
  const [f, ...fs] = filter
  const [t, ...ts] = topic
  if (f === undefined) return t === undefined
  if (first && t?.startsWith('$') && (f[0] === '+' || f[0] === '#')) return false
  if (f[0] === '#') return true
  if (t === undefined) return false
  return (f[0] === '+' || f === t) && naive(fs, ts, false)
}

describe('a topic filter', () => {
  test('matches as MQTT says', () => {
    const level = fc.constantFrom('a', 'b', '', '$SYS', 'long level')
    const filters = fc
      .tuple(fc.array(fc.oneof(level, fc.constantFrom('+', '+n')), { minLength: 1, maxLength: 5 }), fc.boolean())
      .map(([levels, tail]) => (tail ? [...levels, '#'] : levels))
      .filter((levels) => levels.filter((part) => part === '+n').length < 2 && levels.join('/') !== '')
    const topics = fc.array(level, { minLength: 1, maxLength: 6 })
    fc.assert(
      fc.property(filters, topics, (filter, topic) => {
        expect(match(filter.join('/'), topic.join('/')) !== undefined).toBe(naive(filter, topic))
      }),
      { numRuns: 2_000 },
    )
  })

  test('catches named levels', () => {
    expect(match('a/+b/+/#rest', 'a/1/2/3/4')).toEqual({ b: ['1'], rest: ['3', '4'] })
    expect(match('a/#rest', 'a')).toEqual({ rest: [] })
    expect(match('#', 'a/b')).toEqual({})
    expect(match('+a', 'x/y')).toBeUndefined()
    expect(match('#', '$SYS/x')).toBeUndefined()
    expect(match('$SYS/#', '$SYS/x')).toEqual({})
  })

  test.each([
    ['', 'expected 1 to 512 characters'],
    ['a/#/b', '# may only be the last level'],
    ['a/b+', '"b+" mixes text and wildcard; a wildcard takes a whole level'],
    ['+a/+a', 'the name a is used twice'],
    ['+a-b', '"+a-b" is not a wildcard with a name, such as +device'],
    ['+__proto__', '"+__proto__" is not a wildcard with a name, such as +device'],
  ])('%j is refused', (filter, reason) => {
    expect(parseTopicFilter(filter)).toBe(reason)
  })
})
