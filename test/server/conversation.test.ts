import fc from 'fast-check'
import { expect, test } from 'vitest'
import { asEnrolled, asOwner, type Client, startServer } from '../support/server.ts'

// Lines whose answers are known, lines that are not and changes, in one conversation that is cut anywhere, by clients that
// stop reading. Every reply is compared with what a map of keys and values would answer.

type Model = Map<string, string>

/** A line as bytes without its LF, and the beginning of what it is answered. */
interface Said {
  readonly bytes: Buffer
  answer(model: Model): string
}

const said = (line: string | Buffer, answer: Said['answer']): Said => ({ bytes: Buffer.from(line), answer })
const big = `${'é'.repeat(12_000)}x`

const lookUp = (key: string, how: (line: string) => string = (line) => line): Said =>
  said(how(`llookup:${key}.wavi@alice`), (model) => {
    const value = model.get(key)
    return value === undefined ? 'error:AT0015-' : `data:${value}\n@alice@`
  })
const update = (key: string, value: string): Said =>
  said(`update:${key}.wavi@alice ${value}`, (model) => {
    model.set(key, value)
    return 'data:'
  })
const remove = (key: string): Said =>
  said(`delete:${key}.wavi@alice`, (model) => {
    model.delete(key)
    return 'data:'
  })
const refused = (line: string | Buffer, text: string): Said => said(line, () => `error:AT0003-${text}`)

const key = fc.constantFrom('a', 'b', 'k🦄')
const line: fc.Arbitrary<Said> = fc.oneof(
  { weight: 12, arbitrary: key.map((name) => lookUp(name)) },
  { weight: 1, arbitrary: key.map((name) => lookUp(name, (text) => ` ${text} \r`)) },
  { weight: 1, arbitrary: fc.constant(lookUp('none')) },
  { weight: 2, arbitrary: fc.constant(lookUp('big')) },
  { weight: 3, arbitrary: fc.tuple(key, fc.nat(9)).map(([name, value]) => update(name, `v${value}`)) },
  { weight: 1, arbitrary: key.map(remove) },
  { weight: 1, arbitrary: fc.constant(said('noop:0', () => 'data:ok\n@alice@')) },
  { weight: 1, arbitrary: fc.constant(refused('bogus', 'Invalid syntax : invalid command')) },
  { weight: 1, arbitrary: fc.constant(refused('llookup:\0a.wavi@alice', '')) },
  {
    weight: 1,
    arbitrary: fc.constant(
      refused(
        Buffer.concat([Buffer.from('llookup:k'), Buffer.from([0xff]), Buffer.from('.wavi@alice')]),
        'Invalid syntax : the line is not',
      ),
    ),
  },
)

const speech = fc.record({
  lines: fc.array(line, { minLength: 1, maxLength: 12 }),
  cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 4 }),
  turns: fc.infiniteStream(fc.nat(2)),
  isApp: fc.boolean(),
  isAsleep: fc.boolean(),
})

const turn = (): Promise<unknown> => new Promise(setImmediate)

/** Bytes in pieces, cut at these parts of them. */
function pieces(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const ends = [...cuts.map((cut) => Math.floor(cut * bytes.length)), bytes.length].sort((a, b) => a - b)
  return ends.map((end, index) => bytes.subarray(ends[index - 1] ?? 0, end)).filter((piece) => piece.length > 0)
}

interface Speech {
  readonly lines: readonly Said[]
  readonly cuts: readonly number[]
  /** Turns of the event loop behind each piece. */
  readonly turns: Iterator<number>
  readonly isAsleep: boolean
}

async function speak(client: Client, { lines, cuts, turns, isAsleep }: Speech): Promise<void> {
  if (isAsleep) client.stream.pause()
  for (const piece of pieces(Buffer.concat(lines.flatMap(({ bytes }) => [bytes, Buffer.from('\n')])), cuts)) {
    client.write(piece)
    for (let left = turns.next().value ?? 0; left > 0; left--) await turn()
  }
  if (isAsleep) client.stream.resume()
}

async function hear(client: Client, lines: readonly Said[], model: Model): Promise<void> {
  for (const { answer, bytes } of lines) {
    const wanted = answer(model)
    const reply = await client.reply()
    expect([String(bytes), reply.slice(0, wanted.length)]).toEqual([String(bytes), wanted])
    expect(reply).toMatch(/\n@alice@$/)
  }
}

test('each line is answered in its place with what is true then, however the bytes come and the client reads', async () => {
  const alice = await startServer({ enrollments: { app: { namespaces: { wavi: 'rw' } } } })
  const model: Model = new Map([['big', big]])
  await (await asOwner(alice)).ask(`update:big.wavi@alice ${big}`)
  await fc.assert(
    fc.asyncProperty(fc.array(speech, { minLength: 1, maxLength: 8 }), async (speeches) => {
      const [owner, app] = [await asOwner(alice), await asEnrolled(alice, 'app')]
      for (const said of speeches) {
        const client = said.isApp ? app : owner
        await speak(client, said)
        await hear(client, said.lines, model)
      }
      for (const client of [owner, app]) {
        client.leave()
        expect(await client.closed).toBe('')
      }
    }),
    // What the server and the model remember of a run that failed would mislead the search for a smaller one.
    { numRuns: 40, endOnFailure: true },
  )
})
