import { describe, expect, it } from 'vitest'
import { type Log, oncePerMinute } from '../../src/core/log.ts'
import { manualClock } from '../support/clock.ts'

function world() {
  const clock = manualClock()
  const lines: unknown[] = []
  const log: Log = (_level, message, members) => void lines.push([message, members])
  return { clock, lines, warn: oncePerMinute(log, clock) }
}

describe('warnings that strangers can cause', () => {
  it('are written at once and then counted, a line a minute for each peer', () => {
    const { clock, lines, warn } = world()
    for (let time = 0; time < 3; time++) for (const peer of ['@bob', '@carol']) warn('refused', { peer, time })
    expect(lines.splice(0)).toEqual([
      ['refused', { peer: '@bob', time: 0 }],
      ['refused', { peer: '@carol', time: 0 }],
    ])
    clock.advance(60_000)
    expect(lines.splice(0)).toEqual([
      ['refused', { peer: '@bob', time: 2, count: 2 }],
      ['refused', { peer: '@carol', time: 2, count: 2 }],
    ])
    clock.advance(120_000)
    warn('refused', { peer: '@bob', time: 9 })
    expect(lines).toEqual([['refused', { peer: '@bob', time: 9 }]])
  })

  it('name so many peers at most, however many names strangers make up', () => {
    const { clock, lines, warn } = world()
    for (let name = 0; name < 1_000; name++) warn('refused', { peer: `@p${name}` })
    expect(lines).toHaveLength(17)
    clock.advance(60_000)
    expect(lines.slice(17)).toEqual([['refused', { peer: '@p999', count: 983 }]])
  })
})
