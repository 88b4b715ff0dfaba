import { duplexPair } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { clientOf } from '../support/client.ts'
import { parseTranscript } from './parser.ts'
import { missingFor, playScene, type World } from './runner.ts'

/** A world of one kind of connection, whose lines a function answers with bytes; undefined ends the connection. */
function worldOf(answer: (line: string) => string | undefined, patienceMs = 2_000): World {
  return {
    kinds: new Set(['alice']),
    async open() {
      const [near, far] = duplexPair()
      let unread = ''
      far.on('data', (chunk: Buffer) => {
        const lines = (unread + String(chunk)).split('\n')
        unread = lines.pop() ?? ''
        for (const line of lines) {
          const bytes = answer(line)
          if (bytes === undefined) far.end()
          else if (bytes !== '') far.write(bytes)
        }
      })
      far.on('end', () => far.end())
      return { ...clientOf(near), prompt: '@alice@' }
    },
    now: () => Date.UTC(2026, 0, 31),
    wait: async () => {},
    values: new Map([['city', 'Oslo']]),
    makers: new Map([['signed', (text: string) => `<${text}>`]]),
    patienceMs,
  }
}

const scene = (...lines: string[]) => {
  const [first] = parseTranscript('a.transcript', ['## page 03, 4: x', ...lines].join('\n'))
  if (first === undefined) throw new Error('no scene')
  return first
}
const play = (world: World, ...lines: string[]): Promise<void> => playScene(scene(...lines), world)

const echo = worldOf((line) => `data:${line}\n@alice@`)

describe('a scene passes when every reply is the expected one', () => {
  test.each([
    ['byte for byte', ['alice> {"a":1}', 'alice< data:{"a":1}']],
    ['with slots', ['alice> at 2026-01-31 10:00:00.000Z 17', 'alice< data:at {time} {number}']],
    ['with what was remembered', ['alice> 7', 'alice< data:{commit:c}', 'alice> {c+1}', 'alice< data:{c+1}']],
    ['with what the same line remembered', ['alice> ab ab', 'alice< data:{word:w} {w}']],
    ['with values of the world', ['alice> {city} {ns}', 'alice< data:Oslo {ns}']],
    [
      'with the time of the world',
      ['alice> {utc+1000} {millis}', 'alice< data:2026-01-31T00:00:01.000Z 1769817600000'],
    ],
    ['with what the world makes', ['alice> x', 'alice< data:{text:t}', 'alice> {signed:t}', 'alice< data:<x>']],
    ['repeated characters', ['alice> {x*5}', 'alice< data:xxxxx']],
    ['as JSON in any order', ['alice> {"a":1,"b":[2]}', 'alice<json data:{"b":[{number}],"a":1}']],
    ['as JSON with other members', ['alice> {"a":{"x":1,"y":2},"b":2}', 'alice<has data:{"a":{"y":2}}']],
    ['in pipelined order', ['alice> 1{LF}2', 'alice< data:1', 'alice< data:2']],
    ['in pieces', ['alice>part he', 'alice> llo', 'alice< data:hello']],
    ['byte by byte', ['alice> gr{0xC3}{0xBC}n', 'alice< data:grün']],
    ['up to an end that it makes itself', ['alice> bye', 'alice< data:bye', 'alice: leaves', 'alice: closes']],
  ])('%s', async (_, lines) => {
    await play(echo, ...lines)
  })
})

describe('a wrong expectation names file, line, what was expected and what came', () => {
  test.each([
    [
      'another text',
      ['alice> a', 'alice< data:b'],
      'a.transcript:3: (page 03, 4: x)\n  expected data:b\n  got      data:a',
    ],
    ['a slot of another type', ['alice> a', 'alice< data:{commit}'], 'expected data:{commit}\n  got      data:a'],
    ['more than was expected', ['alice> ab', 'alice< data:a'], 'expected data:a\n  got      data:ab'],
    ['another number', ['alice> 7', 'alice< data:{commit:c}', 'alice> 7', 'alice< data:{c+1}'], 'a.transcript:5:'],
    ['a member too many', ['alice> {"a":1,"b":2}', 'alice<json data:{"a":1}'], 'got      data:{"a":1,"b":2}'],
    ['a member too few', ['alice> {"a":1}', 'alice<has data:{"b":1}'], 'expected data:{"b":1}'],
    ['a number that is text', ['alice> {"a":"1"}', 'alice<json data:{"a":1}'], 'got      data:{"a":"1"}'],
    ['no JSON', ['alice> x', 'alice<json data:{}'], 'got      data:x'],
    ['another prompt', ['alice: prompt @', 'alice> a', 'alice< data:a'], 'expected the prompt @ behind "data:a"'],
    ['a reply that nobody expects', ['alice> a'], 'expected nothing more on alice\n  got      "data:a\\n@alice@"'],
    ['a name that nothing remembers', ['alice> {nobody}'], 'nothing is remembered as {nobody}'],
  ])('%s', async (_, lines, message) => {
    await expect(play(echo, ...lines)).rejects.toThrow(message)
  })

  test('a reply that does not come', async () => {
    const silent = worldOf(() => '', 20)
    await expect(play(silent, 'alice> a', 'alice< data:a')).rejects.toThrow('nothing more within 20 ms')
  })

  test('a connection that ends too early, or not at all', async () => {
    const rude = worldOf(() => undefined)
    await play(rude, 'alice> a', 'alice: closes')
    await expect(play(rude, 'alice> a', 'alice< data:a')).rejects.toThrow('closed before')
    await expect(
      play(
        worldOf(() => '', 20),
        'alice> a',
        'alice: closes',
      ),
    ).rejects.toThrow('the end of the connection')
  })
})

describe('a world', () => {
  test('passes over statistics that nobody asked for', async () => {
    const statistics = 'notification: {"id":"-1","from":"@alice","to":"@alice","key":"statsNotification.@alice"}\n'
    const chatty = worldOf((line) => `${statistics}data:${line}\n@alice@`)
    await play(chatty, 'alice> a', 'alice< data:a')
    const lines = ['alice: no prompt', 'alice> a', 'alice<has notification: {"key":"statsNotification.@alice"}']
    await expect(play(chatty, ...lines)).rejects.toThrow('nothing more on alice')
    const all = ['alice: shows statistics', 'alice> a', 'alice< data:a']
    await expect(play(chatty, ...all)).rejects.toThrow('got      notification: {"id":"-1"')
  })

  test('says what it lacks for a scene', () => {
    const wanting = scene('bob> {city} {ns} {nobody}', 'alice< {commit:c} {c+1}', 'alice> {cram:c}{signed:c}')
    expect(missingFor(wanting, echo)).toEqual(['bob', 'nobody', 'cram'])
  })
})
