import { getHeapStatistics, setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { beforeAll, expect, test } from 'vitest'
import { asOwner, asPeer, connectServers, startServer } from '../support/server.ts'

// V8 lets a piece of a text share its memory: what is kept of a long line must not keep the line.

const padding = 500_000
const lines = 24
let collect: () => void

beforeAll(() => {
  setFlagsFromString('--expose-gc')
  collect = runInNewContext('gc') as () => void
})

const heapBytes = (): number => {
  collect()
  return getHeapStatistics().used_heap_size
}

test.each([
  [
    'a lookup that is remembered, with blanks around it',
    (n: number) => [`${' '.repeat(padding)}lookup:phone${n}.wavi@alice`],
  ],
  [
    'an ephemeral notification, with a signature that is dropped',
    (n: number) => [
      `notify:id:e${n}-of-many-others:dataSignature:${'s'.repeat(padding)}:eph:@alice:reading${n}.wavi@bob:v`,
    ],
  ],
  [
    'the copy of a record, with a signature that is dropped',
    (n: number) => [
      `notify:dataSignature:${'s'.repeat(padding)}:ttr:-1:ccd:true:@alice:reading${n}.wavi@bob:twenty-characters-at-least`,
    ],
  ],
])('%s keeps no line', async (_what, linesOf) => {
  const alice = await startServer()
  const bob = await startServer({ atSign: '@bob' })
  connectServers(alice, bob)
  const peer = await asPeer(alice, bob)
  const ask = async (from: number, to: number): Promise<void> => {
    for (let n = from; n < to; n++)
      for (const line of linesOf(n)) expect(await peer.ask(line)).toMatch(/^(data|error:AT0015)/)
  }
  await ask(0, 2)
  const before = heapBytes()
  await ask(2, lines)
  expect(heapBytes() - before).toBeLessThan((lines * padding) / 4)
})

test('what is told of the metadata of large records keeps none of them', async () => {
  const owner = await asOwner(await startServer())
  for (let n = 0; n < lines; n++) await owner.ask(`update:large${n}.wavi@alice ${'x'.repeat(padding)}`)
  const before = heapBytes()
  for (let time = 0; time < 3; time++) {
    for (let n = 0; n < lines; n++) expect(await owner.ask(`llookup:meta:large${n}.wavi@alice`)).toMatch(/^data:\{/)
  }
  expect(heapBytes() - before).toBeLessThan((lines * padding) / 4)
})

test('a change that is too large for the hot records is not held once it is answered', async () => {
  const owner = await asOwner(await startServer())
  await owner.ask('update:large.wavi@alice 1')
  const before = heapBytes()
  expect(await owner.ask(`update:large.wavi@alice ${'x'.repeat(8 * padding)}`)).toMatch(/^data:/)
  await new Promise(setImmediate)
  expect(heapBytes() - before).toBeLessThan(2 * padding)
})
