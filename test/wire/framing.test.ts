import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Frame, type LineSplitter, lineSplitter } from '../../src/wire/framing.ts'
import { createLineBudget } from '../../src/wire/line-budget.ts'

const line = (text: string): Frame => ({ kind: 'line', text })
/** The same, and deals with those that count until somebody did. */
const dealtWith = (frames: readonly Frame[]): Frame[] =>
  frames.map((frame) => {
    if (frame.kind !== 'line') return frame
    frame.release?.()
    return line(frame.text)
  })
const tooLong: Frame = { kind: 'tooLong' }
const noRoom: Frame = { kind: 'tooLong', noRoom: true }
const notUtf8: Frame = { kind: 'notUtf8' }

/** Frames of an input that arrives in pieces cut at these places. */
function framesOf(input: Uint8Array, cuts: readonly number[], limit = 1_000): Frame[] {
  const splitter = lineSplitter(limit)
  const frames: Frame[] = []
  let from = 0
  for (const cut of [...cuts, input.length]) {
    frames.push(...splitter.push(input.subarray(from, cut)))
    from = cut
  }
  return frames
}

const session = Buffer.from('from:@🦄\nscan\r\n\nupdate:public:x@🦄 été  \t\r\n\r\n\u0085info\u0085\nhalf')
const sessionFrames = [line('from:@🦄'), line('scan'), line(''), line('update:public:x@🦄 été'), line(''), line('info')]

describe('bytes become the same lines', () => {
  test('in one piece', () => {
    expect(framesOf(session, [])).toEqual(sessionFrames)
  })

  test('cut anywhere in two', () => {
    for (let cut = 0; cut <= session.length; cut++) expect(framesOf(session, [cut])).toEqual(sessionFrames)
  })

  test('cut anywhere in three', () => {
    for (let first = 0; first <= session.length; first++) {
      for (let second = first; second <= session.length; second++) {
        expect(framesOf(session, [first, second])).toEqual(sessionFrames)
      }
    }
  })

  test('one byte at a time', () => {
    expect(framesOf(session, [...session.keys()])).toEqual(sessionFrames)
  })

  test('whatever the bytes, the cuts and the limit are', () => {
    const byte = fc.oneof({ weight: 4, arbitrary: fc.constantFrom(10, 13, 32, 97, 0xc3, 0xa9) }, fc.nat(255))
    fc.assert(
      fc.property(
        fc.array(byte, { maxLength: 60 }),
        fc.array(fc.nat(60), { maxLength: 8 }),
        fc.integer({ min: 1, max: 20 }),
        (bytes, places, limit) => {
          const input = Uint8Array.from(bytes)
          const cuts = places.filter((place) => place <= input.length).sort((a, b) => a - b)
          expect(framesOf(input, cuts, limit)).toEqual(framesOf(input, [], limit))
        },
      ),
      { numRuns: 2_000 },
    )
  })

  test('when the caller uses its buffer again', () => {
    const splitter = lineSplitter(100)
    const buffer = Buffer.from('abc')
    expect(splitter.push(buffer)).toEqual([])
    buffer.write('X\n?')
    expect(splitter.push(buffer.subarray(0, 2))).toEqual([line('abcX')])
  })

  test('when pieces are views into something larger', () => {
    const large = new Uint8Array(100).fill(63)
    large.set(Buffer.from('scan\n'), 40)
    expect(lineSplitter(100).push(large.subarray(40, 45))).toEqual([line('scan')])
  })
})

describe('the edges of a line', () => {
  test.each([
    ['scan\r', 'scan'],
    ['  \t scan \r\r', 'scan'],
    ['\u0085\u00a0scan\ufeff\u3000', 'scan'],
    ['scan\rx', 'scan\rx'],
    ['a  b', 'a  b'],
    ['\u0000scan', '\u0000scan'],
    ['🦄', '🦄'],
    ['\r', ''],
    [' ', ''],
    ['', ''],
  ])('%j is the line %j', (sent, text) => {
    expect(lineSplitter(1_000).push(Buffer.from(`${sent}\n`))).toEqual([line(text)])
  })

  test('millions of blanks inside a line cost no time', () => {
    const text = `a${' '.repeat(5_000_000)}é`
    expect(lineSplitter(10_000_000).push(Buffer.from(`${text}\r\n`))).toEqual([line(text)])
    expect(lineSplitter(10_000_000).push(Buffer.from(`${' '.repeat(5_000_000)}\n`))).toEqual([line('')])
  })
})

describe('a line over the limit', () => {
  test('is counted with its LF', () => {
    expect(framesOf(Buffer.from('123456789\n'), [], 10)).toEqual([line('123456789')])
    expect(framesOf(Buffer.from('1234567890\n'), [], 10)).toEqual([tooLong])
  })

  test('is told at once, and once, and the next line is read', () => {
    const splitter = lineSplitter(10)
    expect(splitter.push(Buffer.from('123456789'))).toEqual([])
    expect(splitter.push(Buffer.from('0'))).toEqual([tooLong])
    expect(splitter.push(Buffer.from('more and more'))).toEqual([])
    expect(splitter.push(Buffer.from('the end\nscan\n'))).toEqual([line('scan')])
  })

  test('does not hide the lines around it', () => {
    expect(framesOf(Buffer.from(`scan\n${'x'.repeat(50)}\ninfo\n`), [], 10)).toEqual([
      line('scan'),
      tooLong,
      line('info'),
    ])
  })

  test('gives way when many lines together take too much memory: the longest goes, the others are read', () => {
    const budget = createLineBudget(1_000_000)
    const [long, short, none] = [1, 2, 3].map(() => lineSplitter(10_000_000, budget)) as [
      LineSplitter,
      LineSplitter,
      LineSplitter,
    ]
    expect(none.push(Buffer.alloc(60_000, 'n'))).toEqual([])
    expect(long.push(Buffer.alloc(600_000, 'l'))).toEqual([])
    expect(short.push(Buffer.alloc(500_000, 's'))).toEqual([])
    expect(long.push(Buffer.from('more'))).toEqual([noRoom])
    expect(long.push(Buffer.from('and more\nscan\n'))).toEqual([line('scan')])
    expect(dealtWith(short.push(Buffer.from('\n')))).toEqual([line('s'.repeat(500_000))])
    expect(none.push(Buffer.from('\n'))).toEqual([line('n'.repeat(60_000))])
    expect(long.push(Buffer.alloc(1_100_000, 'l'))).toEqual([noRoom])
    expect(short.push(Buffer.alloc(900_000, 's'))).toEqual([])
    short.release()
    expect(long.push(Buffer.from('\n'))).toEqual([])
    expect(long.push(Buffer.alloc(900_000, 'l'))).toEqual([])
    expect(dealtWith(long.push(Buffer.from('\ninfo\n')))).toEqual([line('l'.repeat(900_000)), line('info')])
  })

  test('that is complete counts until it was dealt with: longer ones under way give way, then there is no room', () => {
    const budget = createLineBudget(1_000_000)
    const [first, second, third] = [1, 2, 3].map(() => lineSplitter(10_000_000, budget)) as [
      LineSplitter,
      LineSplitter,
      LineSplitter,
    ]
    const sent = (bytes: number): Buffer => Buffer.from(`${'v'.repeat(bytes)}\n`)
    const [waiting] = first.push(sent(400_000))
    expect(budget.held()).toBe(400_000)
    expect(second.push(Buffer.alloc(550_000, 'u'))).toEqual([])
    const [other] = third.push(sent(300_000))
    expect(other?.kind).toBe('line')
    expect(second.push(Buffer.from('u'))).toEqual([noRoom])
    expect(budget.held()).toBe(700_000)
    expect(first.push(sent(300_001))).toEqual([noRoom])
    for (const frame of [waiting, other, other]) dealtWith(frame === undefined ? [] : [frame])
    expect(budget.held()).toBe(0)
    expect(first.push(Buffer.from(`${'é'.repeat(100_000)}\n`))[0]?.kind).toBe('line')
    expect(budget.held()).toBe(200_000)
    expect(first.push(Buffer.from(`${' '.repeat(300_000)}\n${'s'.repeat(60_000)}\n`))).toHaveLength(2)
    expect(budget.held()).toBe(200_000)
  })

  test('follows a limit that changes', () => {
    const splitter = lineSplitter(10)
    splitter.setLimit(20)
    expect(splitter.push(Buffer.from('123456789012345\n'))).toEqual([line('123456789012345')])
    expect(splitter.push(Buffer.from('12345678'))).toEqual([])
    splitter.setLimit(5)
    expect(splitter.push(Buffer.from('9\nscan\n'))).toEqual([tooLong, line('scan')])
  })

  test('never fills the memory', () => {
    const splitter = lineSplitter(1_000_000)
    const garbage = Buffer.alloc(1_000_000, 0xff)
    const frames: Frame[] = []
    const before = process.memoryUsage().arrayBuffers
    for (let i = 0; i < 500; i++) frames.push(...splitter.push(garbage))
    expect(frames).toEqual([tooLong])
    expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20_000_000)
  })

  test('arriving byte by byte costs its bytes, not an object for each', () => {
    const splitter = lineSplitter(2_000_000)
    for (let i = 0; i < 1_000_000; i++) splitter.push(Buffer.of(97))
    const [frame] = splitter.push(Buffer.of(10))
    expect(frame?.kind === 'line' && frame.text.length).toBe(1_000_000)
  })
})

describe('bytes that are not UTF-8', () => {
  test.each([
    ['a lone continuation byte', [0x80]],
    ['half a character', [0xc3]],
    ['an overlong slash', [0xc0, 0xaf]],
    ['half a surrogate pair', [0xed, 0xa0, 0x80]],
    ['beyond Unicode', [0xf4, 0x90, 0x80, 0x80]],
    ['Latin-1', [0x61, 0xe9, 0x62]],
  ])('%s spoil their own line alone', (_, bytes) => {
    const input = Buffer.concat([Buffer.from('scan\n'), Buffer.from(bytes), Buffer.from('\ninfo\n')])
    expect(framesOf(input, [])).toEqual([line('scan'), notUtf8, line('info')])
    expect(framesOf(input, [...input.keys()])).toEqual([line('scan'), notUtf8, line('info')])
  })
})

test('any text without line ends or edges of blanks comes out as it went in', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary' })), fc.nat(200), (texts, cut) => {
      const lines = texts.map((text) => `<${text.replaceAll('\n', '').toWellFormed()}>`)
      const input = Buffer.from(lines.map((text) => `${text}\n`).join(''))
      expect(framesOf(input, [Math.min(cut, input.length)])).toEqual(lines.map(line))
    }),
  )
})
