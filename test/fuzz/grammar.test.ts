import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import { findVerb, verbs } from '../../src/verbs/table.ts'
import { lineSplitter } from '../../src/wire/framing.ts'
import { commands } from './commands.ts'
import { mutated } from './lines.ts'
import { effort, seed } from './seed.ts'

const all = [...verbs.values()]

test('every verb has generated commands', () => {
  expect(Object.keys(commands).sort()).toEqual([...verbs.keys()].sort())
})

describe.each(all)('$name', ({ name, grammar }) => {
  test('format(parse(x)) is x for generated commands', () => {
    fc.assert(
      fc.property(commands[name] ?? fc.constant(name), (command) => {
        const found = findVerb(command)
        expect(found?.verb.name).toBe(name)
        expect(`${name}${grammar.format(grammar.parse(found?.rest ?? ''))}`).toBe(command)
      }),
      { numRuns: effort(2_000), seed },
    )
  })
})

test('what a mutated line is read as is written in one way and read again as the same', () => {
  fc.assert(
    fc.property(mutated, (mutant) => {
      const found = findVerb(mutant)
      if (found === undefined) return
      const { name, grammar } = found.verb
      let params: unknown
      try {
        params = grammar.parse(found.rest)
      } catch (error) {
        expect(error).toBeInstanceOf(AtError)
        return
      }
      const written = grammar.format(params)
      const again = findVerb(`${name}${written}`)
      expect(again?.verb.name).toBe(name)
      expect(grammar.parse(again?.rest ?? '')).toEqual(params)
      expect(grammar.format(params)).toBe(written)
    }),
    { numRuns: effort(40_000), seed },
  )
})

test('lines are the same however their bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(mutated, { maxLength: 6 }), fc.array(fc.nat(400), { maxLength: 8 }), (lines, cuts) => {
      const bytes = Buffer.from(lines.map((mutant) => `${mutant}\n`).join(''))
      const whole = lineSplitter(1_000).push(bytes)
      const splitter = lineSplitter(1_000)
      const places = [0, ...cuts.map((cut) => Math.min(cut, bytes.length)), bytes.length].sort(
        (one, other) => one - other,
      )
      const pieces = places.slice(1).flatMap((to, index) => splitter.push(bytes.subarray(places[index], to)))
      expect(pieces).toEqual(whole)
    }),
    { numRuns: effort(5_000), seed },
  )
})
