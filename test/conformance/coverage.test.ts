import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { verbs } from '../../src/verbs/table.ts'
import { exchangesOf } from './parser.ts'
import { readTranscripts } from './transcripts.ts'

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
