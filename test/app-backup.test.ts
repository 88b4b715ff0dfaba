import { expect, test } from 'vitest'
import { streamStore } from '../src/app-backup.ts'
import { limits } from '../src/core/limits.ts'
import { manualClock } from './support/clock.ts'

const signal = new AbortController().signal

/** A store of three chunks that notes when nobody reads it any more. */
function threeChunks() {
  const state = { isClosed: false }
  async function* snapshot(): AsyncGenerator<Uint8Array> {
    try {
      for (const text of ['one', 'two', 'three']) yield Buffer.from(text)
    } finally {
      state.isClosed = true
    }
  }
  return { state, store: { snapshot, changes: () => 0, size: async () => 6 } }
}

test('a running device streams its store and tells how far it is, never beyond the whole', async () => {
  const { store } = threeChunks()
  const told: number[] = []
  const got: string[] = []
  const result = await streamStore(store, manualClock())(
    {},
    { signal, progress: ({ done }) => void told.push(done), data: async (bytes) => void got.push(`${bytes}`) },
  )
  expect({ result, got, told }).toEqual({ result: { bytes: 11 }, got: ['one', 'two', 'three'], told: [3, 6, 6] })
})

test('a reader that takes nothing more is given up, and the store is let go of', async () => {
  const { store, state } = threeChunks()
  const clock = manualClock()
  let begun = (): void => {}
  const reading = new Promise<void>((resolve) => {
    begun = resolve
  })
  const data = (): Promise<void> => {
    begun()
    return new Promise(() => {})
  }
  const streaming = streamStore(store, clock)({}, { signal, progress: () => {}, data })
  const outcome = expect(streaming).rejects.toThrow('nobody took anything of the backup for 10 minutes')
  await reading
  clock.advance(limits.backupStallMs)
  await outcome
  expect(state.isClosed).toBe(true)
})
