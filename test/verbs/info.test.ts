import { beforeAll, expect, test } from 'vitest'
import { uptimeWords } from '../../src/verbs/info.ts'
import { asOwner, raw, startServer, type TestServer } from '../support/server.ts'

let alice: TestServer
beforeAll(async () => {
  alice = await startServer()
  alice.clock.advance(5_729_000)
})

const ask = async (line: string): Promise<Record<string, unknown>> => {
  const reply = await (await raw(alice)).ask(line)
  expect(reply).toMatch(/^data:\{"version":"1\.2\.3"/)
  return JSON.parse(reply.slice('data:'.length, reply.indexOf('\n')))
}

test.each<[string, Record<string, unknown>]>([
  ['info', { uptimeAsWords: '1 hours 35 minutes 29 seconds' }],
  ['INFO', { uptimeAsWords: '1 hours 35 minutes 29 seconds' }],
  ['info:brief', { uptimeAsMillis: 5_729_000 }],
  // Without certificate files the members are absent (page 07, section 12).
  ['info:mtls', {}],
  ['info:mtlsBrief', {}],
])('%s', async (line, members) => {
  const { version, features, ...rest } = await ask(line)
  expect([version, rest]).toEqual(['1.2.3', members])
  const listed = (features as { name: string; status: string }[]).map((feature) => `${feature.name} ${feature.status}`)
  expect(listed).toEqual([
    ...['notify.eph GA', 'notify.eAtn GA', 'notify.multi GA', 'batch.abortOnFailure GA', 'notify.all Deprecated'],
  ])
})

test('the owner is told whether the time can be believed', async () => {
  const server = await startServer()
  const owner = await asOwner(server)
  const clock = async () => {
    const reply = await owner.ask('info')
    return JSON.parse(reply.slice('data:'.length, reply.indexOf('\n'))).clock
  }
  expect(await clock()).toEqual({ trusted: true, source: 'plausible', floor: '2026-01-31T10:00:00.000Z' })
  server.clock.jump(-10 * 365 * 86_400_000)
  expect(await clock()).toEqual({ trusted: false, source: 'none', floor: '2026-01-31T10:00:00.000Z' })
})

test.each([
  [0, '0 seconds'],
  [59_999, '59 seconds'],
  [60_000, '1 minutes 0 seconds'],
  [3_600_000, '1 hours 0 minutes 0 seconds'],
  [90_061_000, '1 days 1 hours 1 minutes 1 seconds'],
])('%d ms are %s (page 01, 9.3)', (ms, words) => {
  expect(uptimeWords(ms)).toBe(words)
})

test.each(['info:', 'info:x', 'info:brief:', 'info:brief:x', 'info brief', 'info:mtls:mtls'])(
  '%s is a syntax error (page 07, section 12)',
  async (line) => {
    expect(await (await raw(alice)).ask(line)).toMatch(/^error:AT0003-/)
  },
)
