import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorCodes, isErrorCode } from '../../src/core/errors.ts'
import { verbs } from '../../src/verbs/table.ts'
import { exchangesOf } from './parser.ts'
import { readComments, readTranscripts } from './transcripts.ts'

const scenes = await readTranscripts()
const sent = scenes
  .flatMap(({ steps }) => steps)
  .flatMap((step) =>
    step.kind === 'send' ? [step.text.map((piece) => (piece.kind === 'literal' ? piece.text : '…'))] : [],
  )
  .map((pieces) => pieces.join(''))

test('the transcripts hold at least 1,000 exchanges', () => {
  expect(exchangesOf(scenes)).toBeGreaterThanOrEqual(1_000)
})

test.each([...verbs.keys()])('%s is spoken in the transcripts, and README tells its state', async (name) => {
  expect(sent.some((line) => line === name || line.startsWith(`${name}:`) || line.startsWith(`${name} `))).toBe(true)
  const readme = await readFile(join(import.meta.dirname, '../../README.md'), 'utf8')
  const table = readme.slice(readme.indexOf('## Verbs'), readme.indexOf('## Limits'))
  const named = table.split('\n').flatMap((row) => (row.startsWith('| `') ? [row.split('|')[1] ?? ''] : []))
  expect(named.filter((cell) => cell.includes(`\`${name}\``))).toHaveLength(1)
})

/** Codes in replies that a transcript expects, in plain form and as JSON. */
const expected = new Set(
  scenes
    .flatMap(({ steps }) => steps)
    .flatMap((step) =>
      step.kind === 'expect' ? [...step.source.matchAll(/error:(?:\{"errorCode":")?(AT\d{4})/g)] : [],
    )
    .map(([, code = '']) => code),
)

/** Codes that no exchange can show: comments like `# AT0001: page 01, 5.4: why`. */
const excused = (await readComments()).flatMap(
  (comment) => /^# (AT\d{4}): page 0\d, \d[^:]*: ./.exec(comment)?.[1] ?? [],
)

test.each(errorCodes)('%s is expected in a transcript, or a comment there says why it cannot be', (code) => {
  expect(expected.has(code)).not.toBe(excused.includes(code))
})

test('no transcript expects or excuses a code that the catalogue does not have', () => {
  expect([...expected, ...excused].filter((code) => !isErrorCode(code))).toEqual([])
  expect(new Set(excused).size).toBe(excused.length)
})
