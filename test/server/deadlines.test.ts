import { expect, test } from 'vitest'
import { createDeadlines } from '../../src/server/deadlines.ts'
import { manualClock } from '../support/clock.ts'

test('everything has its own time, and hears once that it is over', () => {
  const clock = manualClock()
  const deadlines = createDeadlines(clock, 1_000)
  const over: string[] = []
  const start = (name: string): (() => boolean) => deadlines.add(() => over.push(name))
  const first = start('first')
  clock.advance(400)
  const second = start('second')
  start('third')
  clock.advance(599)
  expect(over).toEqual([])
  clock.advance(1)
  expect(over).toEqual(['first'])
  expect(first()).toBe(false)
  expect(second()).toBe(true)
  clock.advance(400)
  expect(over).toEqual(['first', 'third'])
  start('later')
  clock.advance(999)
  expect(over).toEqual(['first', 'third'])
  clock.advance(1)
  expect(over).toEqual(['first', 'third', 'later'])
})

test('a limit that is set when another one ends has its own time', () => {
  const clock = manualClock()
  const deadlines = createDeadlines(clock, 1_000)
  const over: string[] = []
  deadlines.add(() => deadlines.add(() => over.push('second')))
  clock.advance(1_000)
  clock.advance(999)
  expect(over).toEqual([])
  clock.advance(1)
  expect(over).toEqual(['second'])
})

test('a clock that is set does not end anything', () => {
  const clock = manualClock()
  const deadlines = createDeadlines(clock, 1_000)
  const over: string[] = []
  deadlines.add(() => over.push('first'))
  clock.jump(3_600_000)
  clock.advance(999)
  expect(over).toEqual([])
  clock.advance(1)
  expect(over).toEqual(['first'])
})

test('a place that was left serves another, whose time cannot be taken back by the one before', () => {
  const clock = manualClock()
  const deadlines = createDeadlines(clock, 1_000)
  const over: string[] = []
  const first = deadlines.add(() => over.push('first'))
  expect(first()).toBe(true)
  deadlines.add(() => over.push('second'))
  expect(first()).toBe(false)
  clock.advance(1_000)
  expect(over).toEqual(['second'])
})

test('what begins when another is over has its whole time', () => {
  const clock = manualClock()
  const deadlines = createDeadlines(clock, 1_000)
  const over: string[] = []
  deadlines.add(() => {
    over.push('first')
    deadlines.add(() => over.push('its successor'))
  })
  clock.advance(500)
  deadlines.add(() => over.push('second'))
  clock.advance(500)
  expect(over).toEqual(['first'])
  clock.advance(500)
  expect(over).toEqual(['first', 'second'])
  clock.advance(500)
  expect(over).toEqual(['first', 'second', 'its successor'])
})
