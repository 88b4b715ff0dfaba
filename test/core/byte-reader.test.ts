import fc from 'fast-check'
import { expect, test } from 'vitest'
import { createByteReader } from '../../src/core/byte-reader.ts'

async function* pieces(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

test('bytes come out as they went in, however the stream is cut', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uint8Array({ maxLength: 200 }),
      fc.integer({ min: 1, max: 50 }),
      fc.array(fc.nat(40), { maxLength: 10 }),
      async (bytes, size, wishes) => {
        const reader = createByteReader(pieces(bytes, size))
        const taken: Buffer[] = []
        for (const wish of wishes) {
          const seen = Buffer.from(await reader.peek(wish))
          const got = await reader.take(wish)
          expect(got.equals(seen)).toBe(true)
          taken.push(Buffer.from(got))
        }
        for await (const chunk of reader.rest()) taken.push(Buffer.from(chunk))
        expect(Buffer.concat(taken).equals(Buffer.from(bytes))).toBe(true)
        expect(await reader.isAtEnd()).toBe(true)
      },
    ),
  )
})

test.each([1, 2, 3, 100])('a line ends at its LF, at the end and at the limit, in chunks of %d', async (size) => {
  const reader = createByteReader(pieces(Buffer.from('one\n\ntwo\nendless'), size))
  expect(`${await reader.takeLine(10)}`).toBe('one\n')
  expect(`${await reader.takeLine(10)}`).toBe('\n')
  expect(`${await reader.takeLine(3)}`).toBe('two')
  expect(`${await reader.takeLine(3)}`).toBe('\n')
  expect(`${await reader.takeLine(4)}`).toBe('endl')
  expect(`${await reader.takeLine(10)}`).toBe('ess')
  expect(`${await reader.takeLine(10)}`).toBe('')
})
