import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { errorCodes, isErrorCode } from '../../src/core/errors.ts'
import { metadataTags } from '../../src/core/metadata-tags.ts'
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
/** Replies as they stand in the transcripts. */
const expectations = scenes
  .flatMap(({ steps }) => steps)
  .flatMap((step) => (step.kind === 'expect' ? [step.source] : []))

test('the transcripts hold at least 1,000 exchanges', () => {
  expect(exchangesOf(scenes)).toBeGreaterThanOrEqual(1_000)
})

test.each([...verbs.keys()])('%s is spoken in the transcripts, and README tells its state', async (name) => {
  expect(sent.some((line) => line === name || line.startsWith(`${name}:`) || line.startsWith(`${name} `))).toBe(true)
  expect((await tableRows()).filter(({ names }) => names.includes(name === 'sync' ? 'sync:from' : name))).toHaveLength(
    1,
  )
})

/** Rows of README's table of verbs: names, and options that are spelled as they are sent. */
async function tableRows(): Promise<{ names: string[]; options: string[] }[]> {
  const readme = await readFile(join(import.meta.dirname, '../../README.md'), 'utf8')
  const table = readme.slice(readme.indexOf('## Verbs'), readme.indexOf('## Limits'))
  const words = (cell = ''): string[] => [...cell.matchAll(/`([^`]+)`/g)].map(([, word = '']) => word)
  return table
    .split('\n')
    .filter((row) => row.startsWith('| `'))
    .map((row) => row.split('|'))
    .map(([, names, options, state]) => ({
      names: words(names),
      options: state?.includes('not yet') ? [] : words(options),
    }))
}

/** Whether a line of one of these verbs holds a word between its delimiters. */
const isSpoken = (names: readonly string[], word: string): boolean =>
  sent.some((line) => names.some((name) => line.startsWith(name)) && `${line}:`.includes(`:${word}:`))

test('every option that README names is spoken in the transcripts', async () => {
  const missing = (await tableRows()).flatMap(({ names, options }) =>
    options.filter((option) => !isSpoken(names, option)).map((option) => `${names.join(' ')}: ${option}`),
  )
  expect(missing).toEqual([])
})

test.each(['update', 'notify'])('every metadata tag is spoken with %s', (verb) => {
  const missing = metadataTags.filter(({ name }) => !isSpoken([`${verb}:`], name)).map(({ name }) => name)
  expect(missing).toEqual([])
})

test.each(Array.from({ length: 17 }, (_, index) => index + 1))('stats:%i is spoken and its name is expected', (id) => {
  expect(sent.some((line) => /^stats:[\d,]+/.exec(line)?.[0].slice('stats:'.length).split(',').includes(`${id}`))).toBe(
    true,
  )
  const shown = new RegExp(`"id":"${id}","name":"[A-Za-z]+","value":`)
  expect(expectations.some((text) => shown.test(text))).toBe(true)
})

/** Sentences in which released servers refuse something, and by which clients know them (pages 01 to 04 and 07). */
const refusals = [
  ...['Command cannot be executed without auth', 'invalid command', 'Inbound connection limit exceeded'],
  'noop:<durationInMillis> where the duration maximum is 5000 milliseconds',
  'InboundBuffer overflow: server received request which exceeded the buffer size limit. Terminating the connection.',
  'invalid @sign: must include one @ character and at least one character on the right',
  "invalid @sign: Cannot contain !*'`();:&=+$,/?#[]{} characters",
  ...['invalid @sign: must not include control characters', 'Unable to connect', 'testing mode disabled by default'],
  ...['Unable to find secondary address for atSign:', 'Authentication Failed', 'pkam authentication failed'],
  ...['privatekey:at_secret does not exist in keystore', 'is denied', 'is pending', 'is revoked'],
  ...['is expired or invalid', "You must execute a 'from:' command before you may run the pol command"],
  ...['Pol Authentication Failed', 'Unable to verify signature'],
  ...['Keys verb cannot be accessed without an enrollmentId', 'is not authorized to access key'],
  ...['privatekey:at_pkam_publickey may not be written.', 'Valid value for TTL should be greater than or equal to 0'],
  'Valid value for TTB should be greater than or equal to 0',
  'Valid values for TTR are -1 and greater than or equal to 1',
  ...[
    'KeyType.invalidKey',
    'KeyType.privateKey',
    'KeyType.localKey',
    'KeyType.cachedPublicKey',
    'KeyType.cachedSharedKey',
  ],
  'Invalid update command - sharedBy atsign @bob should be same as current atsign @alice',
  ...['is greater than max allowed 248 chars', 'is greater than 255 chars', 'Cannot delete protected key: '],
  ...['does not exist in keystore', 'Scan to another atSign cannot be performed without auth'],
  ...['is not authorized to update key: ', 'is not authorized to delete key: ', 'is not authorized to llookup key: '],
  ...['is not authorized to lookup key: ', 'is not authorized to notify key: '],
  ...[
    'invalid update:json document: ',
    'a key cannot be public and shared with @bob at once',
    'atKey.key not supplied',
  ],
  'invalid value: update:json requires a non-empty, single-line string, as the update grammar does',
  'must be UTC, as the update grammar requires',
  'Immutable records may not be updated',
  'Immutable records may not be deleted without the force flag',
  ...['invalid appMetadata', 'Invalid regex: ', 'No metric with ID 99', 'scan:cl requires an authenticated connection'],
  "scan:cl can only scan this atSign's own commit log",
  'is not hosted on this atServer',
  'For Strategy latest, notifier cannot be null',
  ...['ToDate cannot be less than FromDate', 'Invalid date format', 'eAtn and ttln cannot both be given'],
  ...['eph does not take delete', 'eph does not take ttr', 'eph does not take ccd'],
  ...['Notification from @carol is for @dave, not @alice', 'Notification from @carol is for no atSign, not @alice'],
  ...['Notification from @carol is of a key with no sharedBy', 'is not authorized to send notification as @carol'],
  ...['is not authorized to send notification as @alice', 'HTTP requests must negotiate ALPN http/1.1'],
] as const

test.each(refusals)('the refusal "%s" is expected in a transcript', (sentence) => {
  expect(expectations.some((text) => text.includes(sentence))).toBe(true)
})

/** Codes in replies that a transcript expects, in plain form and as JSON. */
const expected = new Set(
  expectations
    .flatMap((text) => [...text.matchAll(/error:(?:\{"errorCode":")?(AT\d{4})/g)])
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
