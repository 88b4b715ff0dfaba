import { describe, expect, test } from 'vitest'
import { exchangesOf, needsOf, parseTranscript, recast } from './parser.ts'

const parse = (...lines: string[]) => parseTranscript('a.transcript', lines.join('\n'))

describe('a transcript', () => {
  test('is scenes of steps, each with its line', () => {
    const [scene, ...others] = parse(
      '# about everything',
      '## page 03, 4: update',
      'alice> noop:0',
      'alice<',
      '',
      'alice-two<json data:{}',
      'alice: prompt @',
      'alice: no prompt',
      'alice: closes',
      'wait 50 ms',
      'alice>part noo',
      'alice: shows statistics',
      'alice: leaves',
    )
    expect(others).toEqual([])
    expect(scene).toMatchObject({ file: 'a.transcript', line: 2, title: 'page 03, 4: update', stage: 'any' })
    expect(scene?.steps.map(({ kind, line }) => [kind, line])).toEqual([
      ['send', 3],
      ['expect', 4],
      ['expect', 6],
      ['prompt', 7],
      ['prompt', 8],
      ['closes', 9],
      ['wait', 10],
      ['send', 11],
      ['statistics', 12],
      ['leaves', 13],
    ])
  })

  test('tells which connections it needs and how many replies it compares', () => {
    const scenes = parse('## page 03, 4: x', 'alice> noop:0', 'alice-two< a', 'bob: closes', 'wait 1 ms', 'bob<has {}')
    expect(scenes.map((scene) => [...needsOf(scene)])).toEqual([['alice', 'bob']])
    expect(exchangesOf(scenes)).toBe(2)
  })

  test('may ask for an atServer that nothing was written to, one of its own, or one with little room', () => {
    expect(parse('## page 03, 7: x [fresh]', '## page 03, 7: y [own]', '## page 03, 7: z [small]')).toMatchObject([
      { title: 'page 03, 7: x', stage: 'fresh' },
      { title: 'page 03, 7: y', stage: 'own' },
      { title: 'page 03, 7: z', stage: 'small' },
    ])
  })
})

describe('other atSigns', () => {
  const names = new Map([
    ['@alice', '@sensor7'],
    ['@bob', '@bob'],
  ])
  const recastOf = (...lines: string[]) => {
    const [scene] = parse('## page 03, 4: x', ...lines)
    return scene === undefined ? undefined : recast(scene, names)
  }

  test('take the places of @alice and @bob', () => {
    expect(recastOf('alice> update:@bob:x@alice v', 'alice: prompt @alice@', 'alice< @alice @alice{ns}')).toMatchObject(
      {
        steps: [
          { text: [{ text: 'update:@bob:x@sensor7 v' }] },
          { prompt: '@sensor7@' },
          { text: [{ text: '@sensor7 @sensor7' }, { name: 'ns' }] },
        ],
      },
    )
  })

  test('may change places', () => {
    const swapped = new Map([
      ['@alice', '@bob'],
      ['@bob', '@alice'],
    ])
    const [scene] = parse('## page 03, 4: x', 'alice> update:@bob:x@alice v')
    expect(scene === undefined ? scene : recast(scene, swapped)).toMatchObject({
      steps: [{ text: [{ text: 'update:@alice:x@bob v' }] }],
    })
  })

  test.each(['from:alice', 'from:@al.ice', 'from:@ALICE'])('cannot take the place in %s', (line) => {
    expect(recastOf(`anyone> ${line}`)).toBeUndefined()
  })
})

describe('an error names file and line', () => {
  test.each([
    ['a heading without page and section', ['', '## update'], 'a.transcript:2: a heading names page, section'],
    ['a heading without a section', ['## page 03: update'], 'a.transcript:1: a heading names page, section'],
    ['an exchange before the first heading', ['alice> noop:0'], 'a.transcript:1: an exchange stands before'],
    ['a line that is nothing', ['## page 03, 4: x', 'noop:0'], 'a.transcript:2: "noop:0" is none of'],
    ['a blank that an editor would lose', ['## page 03, 4: x', 'alice> x '], 'a.transcript:2: a blank at the end'],
    ['a sign that is none', ['## page 03, 4: x', 'alice<near x'], 'a.transcript:2: "alice<near x" is none of'],
  ])('%s', (_, lines, message) => {
    expect(() => parse(...lines)).toThrow(message)
  })
})
