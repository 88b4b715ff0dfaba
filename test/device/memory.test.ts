import { expect, test } from 'vitest'
import { giveBackMemory, processSeams } from '../../src/device/memory.ts'
import { manualClock } from '../support/clock.ts'

const mebibyte = 1_048_576

/** A process whose heap and work the test decides; a collection leaves `live`. */
function pretended() {
  const state = { heap: 40 * mebibyte, live: 20 * mebibyte, worked: 0, collections: 0 }
  const clock = manualClock()
  const stop = giveBackMemory(clock, () => {}, {
    heapBytes: () => state.heap,
    processorMs: () => state.worked,
    collect() {
      state.collections++
      state.heap = state.live
    },
  })
  return { state, clock, stop }
}

test('what the start needed is given back once the device is idle', () => {
  const { state, clock } = pretended()
  state.worked += 1_500
  clock.advance(2_000)
  expect(state.collections).toBe(0)
  clock.advance(2_000)
  expect(state.heap).toBe(state.live)
})

test('the second collection comes more than five seconds after the first, when there is nothing else to do', () => {
  const { state, clock } = pretended()
  clock.advance(2_000)
  expect(state.collections).toBe(1)
  clock.advance(4_000)
  expect(state.collections).toBe(1)
  state.worked += 1_500
  clock.advance(2_000)
  expect(state.collections).toBe(1)
  clock.advance(2_000)
  expect(state.collections).toBe(2)
})

test('a burst is collected after it, twice and no more', () => {
  const { state, clock } = pretended()
  clock.advance(8_000)
  expect(state.collections).toBe(2)
  state.heap = 100 * mebibyte
  state.worked += 1_500
  clock.advance(2_000)
  expect(state.collections).toBe(2)
  clock.advance(60_000)
  expect(state.collections).toBe(4)
})

test('a little growth is collected when there is nothing else to do, and not beside other work', () => {
  const { state, clock } = pretended()
  clock.advance(8_000)
  state.heap = 22 * mebibyte
  state.worked += 100
  clock.advance(2_000)
  expect(state.collections).toBe(2)
  clock.advance(60_000)
  expect(state.collections).toBe(4)
})

test('a heap that is needed is not collected again and again', () => {
  const { state, clock } = pretended()
  clock.advance(8_000)
  state.live = state.heap = 90 * mebibyte
  clock.advance(600_000)
  expect(state.collections).toBe(4)
})

test('it ends', () => {
  const { state, clock, stop } = pretended()
  stop()
  clock.advance(60_000)
  expect(state.collections).toBe(0)
})

test('the collector of this process gives back what nobody needs any more', async () => {
  const seams = await processSeams()
  let kept: unknown[] | undefined = Array.from({ length: 500_000 }, (_, i) => ({ i }))
  const before = seams.heapBytes()
  expect(kept.length).toBe(500_000)
  kept = undefined
  seams.collect()
  expect(seams.heapBytes()).toBeLessThan(before)
})
