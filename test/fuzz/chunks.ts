import fc from 'fast-check'
import { verbs } from '../../src/verbs/table.ts'
import { commands } from './commands.ts'
import { isOf, mutated } from './lines.ts'

const generated = fc.oneof(...[...verbs.keys()].map((name) => commands[name] ?? fc.constant(name)))

/** A line as bytes, some of them turned over: no more UTF-8, or something else altogether. */
const bytes: fc.Arbitrary<Buffer> = fc
  .tuple(
    fc.oneof({ weight: 3, arbitrary: mutated }, { weight: 1, arbitrary: generated }),
    fc.oneof({ weight: 4, arbitrary: fc.constant([]) }, fc.array(fc.tuple(fc.nat(300), fc.nat(255)), { maxLength: 3 })),
  )
  .map(([line, flips]) => {
    const turned = Buffer.from(line)
    for (const [at, byte] of flips) if (at < turned.length && byte !== 10) turned[at] = byte
    return turned
  })

/** Not blank, answered by one reply, and without waiting: the clock of these servers stands still. */
const hasReply = (line: Buffer): boolean => {
  const text = line.toString('utf8')
  return text.replaceAll(/[\s\u0085]/g, '') !== '' && !isOf(text, 'monitor', '@exit', 'noop')
}

/** Lines that are sent together, and where their bytes are cut. */
export interface Chunk {
  readonly lines: readonly Buffer[]
  readonly cuts: readonly number[]
}

/** Fewer than a stranger may be refused in a row. */
const perChunk = 80

/** Lines in chunks, made as they are needed. */
export function* chunks(count: number, from: number, fits: (line: string) => boolean = () => true): Generator<Chunk> {
  for (let made = 0; made < count; made += perChunk) {
    const lines: Buffer[] = []
    for (let more = 0; lines.length < perChunk; more++) {
      const sample = fc.sample(bytes, { numRuns: perChunk, seed: from + made * 100 + more })
      lines.push(...sample.filter((line) => hasReply(line) && fits(line.toString('utf8'))))
    }
    const cuts = fc.sample(fc.array(fc.nat(20_000), { maxLength: 12 }), { numRuns: 1, seed: from + made })[0] ?? []
    yield { lines: lines.slice(0, perChunk), cuts }
  }
}

/** An error, or nothing any more behind one that closed. */
export const isRefused = (reply: string | undefined): boolean => reply?.startsWith('error:') !== false
