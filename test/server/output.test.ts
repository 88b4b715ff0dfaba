import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { systemClock } from '../../src/core/clock.ts'
import { limits } from '../../src/core/limits.ts'
import { createOutput } from '../../src/server/output.ts'
import { createTurn } from '../../src/server/turn.ts'
import { recorder } from '../support/recorder.ts'
import { asOwner, startServer } from '../support/server.ts'

const record = limits.tlsRecordBytes
const reply = (bytes: number, prompt: string): string => `${'x'.repeat(bytes - 1 - prompt.length)}\n${prompt}`

/** Where a LF is parted from the prompt behind it: by the end of a write, or of a TLS record inside one. */
function partings(writes: readonly Buffer[], prompt: string): string[] {
  const found: string[] = []
  for (const [index, bytes] of writes.entries()) {
    for (let lf = bytes.indexOf(10); lf !== -1; lf = bytes.indexOf(10, lf + 1)) {
      const end = lf + prompt.length
      if (end >= bytes.length) found.push(`write ${index} ends after its LF`)
      else if (Math.floor(lf / record) !== Math.floor(end / record))
        found.push(`record of write ${index} ends at ${lf}`)
    }
  }
  return found
}

async function written(messages: readonly string[]): Promise<Buffer[]> {
  const { stream, writes } = recorder()
  const output = createOutput(stream, createTurn(systemClock), () => {})
  for (const message of messages) output.push(message)
  await new Promise<void>((resolve) => output.whenFlushed(resolve))
  return writes
}

describe('LF and prompt leave in one TLS record (page 01, section 4)', () => {
  const around = (size: number): number[] => Array.from({ length: 21 }, (_, i) => size - 4 + i)

  test.each([record, 2 * record, 3 * record])('for each size around %d bytes', async (size) => {
    for (const prompt of ['@', '@alice@']) {
      for (const bytes of around(size)) {
        const writes = await written([reply(bytes, prompt)])
        expect(Buffer.concat(writes).toString()).toBe(reply(bytes, prompt))
        expect([bytes, partings(writes, prompt)]).toEqual([bytes, []])
      }
    }
  })

  test('for any row of replies, whenever the writes complete', async () => {
    const edge = fc.tuple(fc.constantFrom(1, 2, 3), fc.integer({ min: -1, max: 2 })).map(([n, off]) => n * record + off)
    const size = fc.oneof(fc.integer({ min: 2, max: 300 }), fc.integer({ min: 2, max: 3 * record }), edge)
    await fc.assert(
      fc.asyncProperty(
        fc.array(size, { minLength: 1, maxLength: 30 }),
        fc.infiniteStream(fc.boolean()),
        async (sizes, pauses) => {
          const { stream, writes } = recorder((done) => (pauses.next().value === true ? setImmediate(done) : done()))
          const output = createOutput(stream, createTurn(systemClock), () => {})
          for (const bytes of sizes) {
            output.push(reply(bytes, '@'))
            if (pauses.next().value === true) await new Promise(setImmediate)
          }
          await new Promise<void>((resolve) => output.whenFlushed(resolve))
          expect(Buffer.concat(writes).toString()).toBe(sizes.map((bytes) => reply(bytes, '@')).join(''))
          expect(partings(writes, '@')).toEqual([])
        },
      ),
      { numRuns: 60 },
    )
  })

  test('for values of an atServer whose replies have each of these sizes', async () => {
    const alice = await startServer()
    const owner = await asOwner(alice)
    const sizes = [...around(record), ...around(2 * record)]
    const textOf = (bytes: number): string => 'é'.repeat(Math.floor((bytes - 13) / 2)) + 'x'.repeat((bytes - 13) % 2)
    for (const bytes of sizes) {
      const value = textOf(bytes)
      await owner.ask(`update:size.wavi@alice ${value}`)
      const first = owner.chunks.length
      expect(await owner.ask('llookup:size.wavi@alice')).toBe(`data:${value}\n@alice@`)
      expect(owner.chunks.slice(first).at(-1)).toMatch(/\n@alice@$/)
    }
  })
})

test('replies of one turn leave together, as far as a record holds them', async () => {
  const { stream, writes } = recorder()
  const output = createOutput(stream, createTurn(systemClock), () => {})
  for (let i = 0; i < 100; i++) output.push(reply(1_000, '@'))
  await new Promise<void>((resolve) => output.whenFlushed(resolve))
  expect(writes.map((bytes) => bytes.length)).toEqual([...Array.from({ length: 6 }, () => 16_000), 4_000])
})

const turnIsOver = (): Promise<unknown> => new Promise(setImmediate)

test('it knows how many bytes wait, and tells when none does', async () => {
  const pending: (() => void)[] = []
  const { stream } = recorder((done) => pending.push(done))
  let drained = 0
  const output = createOutput(stream, createTurn(systemClock), () => drained++)
  let flushed = false
  output.push('é\n@')
  output.whenFlushed(() => {})
  await turnIsOver()
  output.push('x\n@')
  output.flush()
  output.whenFlushed(() => {
    flushed = true
  })
  expect([output.waiting(), flushed, drained]).toEqual([7, false, 0])
  pending.shift()?.()
  await turnIsOver()
  expect([output.waiting(), flushed, drained]).toEqual([3, false, 0])
  pending.shift()?.()
  await turnIsOver()
  expect([output.waiting(), flushed, drained]).toEqual([0, true, 1])
})

test('nothing to write is not told of: whoever then looks for more would look in every turn', async () => {
  const { stream } = recorder()
  let drained = 0
  const output = createOutput(stream, createTurn(systemClock), () => drained++)
  output.flush()
  await turnIsOver()
  output.push('data:1\n@')
  output.flush()
  await turnIsOver()
  output.flush()
  await turnIsOver()
  expect(drained).toBe(0)
})

test('a short answer counts until it has left', async () => {
  const pending: (() => void)[] = []
  const { stream, writes } = recorder((done) => pending.push(done))
  const output = createOutput(stream, createTurn(systemClock), () => {})
  output.push('data:1\n@')
  output.flush()
  expect([writes.length, output.waiting()]).toEqual([0, 8])
  await turnIsOver()
  expect([writes.length, output.waiting()]).toEqual([1, 8])
  pending.shift()?.()
  await turnIsOver()
  expect(output.waiting()).toBe(0)
})

test('a short end of a long row of answers is heard of as well', async () => {
  const { stream } = recorder()
  const drained = new Promise<void>((resolve) => {
    const output = createOutput(stream, createTurn(systemClock), resolve)
    output.push(reply(3 * record, '@'))
    output.push(reply(record, '@'))
    output.push(reply(100, '@'))
    output.flush()
  })
  await drained
  expect(stream.writableLength).toBe(0)
})

test('answers of several connections leave together at the end of the turn', async () => {
  const turn = createTurn(systemClock)
  const ends = [recorder(), recorder()]
  for (const { stream } of ends) {
    const output = createOutput(stream, turn, () => {})
    output.push('data:1\n@')
    output.flush()
    output.push('data:2\n@')
    output.flush()
  }
  expect(ends.map(({ writes }) => writes.length)).toEqual([0, 0])
  await turnIsOver()
  expect(ends.map(({ writes }) => String(writes))).toEqual(['data:1\n@data:2\n@', 'data:1\n@data:2\n@'])
})

test('a stream that is gone takes nothing more and breaks nothing', async () => {
  const { stream, writes } = recorder()
  const output = createOutput(stream, createTurn(systemClock), () => {})
  stream.on('error', () => {})
  output.push('a\n@')
  output.flush()
  await new Promise(setImmediate)
  stream.destroy(new Error('reset'))
  output.push('b\n@')
  output.flush()
  await new Promise(setImmediate)
  expect(Buffer.concat(writes).toString()).toBe('a\n@')
})
