import { type Duplex, duplexPair } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import type { Log } from '../../src/core/log.ts'
import { keepRegistered } from '../../src/directory/registrant.ts'
import { manualClock } from '../support/clock.ts'

const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 20; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** A device that registers with two directories, which answer what the test says; undefined is one that is away. */
async function world(answers: Record<string, string | undefined>) {
  const clock = manualClock()
  const said: string[] = []
  const logs: string[] = []
  const log: Log = (level, message, members) => void logs.push(`${level} ${message}: ${members?.['reason'] ?? ''}`)
  const servers = Object.keys(answers).map((name) => ({
    name,
    async dial(): Promise<Duplex> {
      if (answers[name] === undefined) throw new AtError('AT0021', `Unable to connect to ${name}`)
      const [near, far] = duplexPair()
      far.on('data', (chunk) => {
        for (const line of String(chunk).split('\n')) if (line.startsWith('@register')) said.push(`${name} ${line}`)
        far.write(`${answers[name]}\r\n@`)
      })
      far.write('@')
      return near
    },
  }))
  const registrant = keepRegistered({
    ...{ atSign: '@device', address: 'device.lan:6464', servers, clock, log },
    random: () => 0.5,
  })
  await settle()
  const pass = async (ms: number): Promise<void> => {
    clock.advance(ms)
    await settle()
  }
  return { said, logs, registrant, pass }
}

const line = '@register:device:device.lan:6464'

describe('a device that keeps itself registered', () => {
  it('tells the first directory that answers, and again every ten minutes', async () => {
    const { said, logs, registrant, pass } = await world({ a: undefined, b: 'data:device.lan:6464' })
    expect(said).toEqual([`b ${line}`])
    expect(registrant.status()).toEqual({ address: 'device.lan:6464', with: 'b', at: '2026-01-31T10:00:00.000Z' })
    await pass(599_999)
    expect(said).toHaveLength(1)
    await pass(1)
    expect(said).toHaveLength(2)
    expect(logs).toEqual(['info registered with the directory: '])
  })

  it('says once why it was refused, and tries again with growing pauses', async () => {
    const answers = { a: 'error:AT0401-the certificate does not name device.lan' }
    const { said, logs, registrant, pass } = await world(answers)
    await pass(1_000)
    await pass(1_999)
    expect(said).toHaveLength(2)
    await pass(1)
    expect(said).toHaveLength(3)
    const problem = 'a refused the registration: the certificate does not name device.lan'
    expect(logs).toEqual([`warn not registered with the directory: ${problem}`])
    expect(registrant.status()).toEqual({ address: 'device.lan:6464', problem })
    answers.a = 'data:device.lan:6464'
    await pass(4_000)
    expect(registrant.status()).toMatchObject({ with: 'a' })
    expect(registrant.status()).not.toHaveProperty('problem')
  })

  it('knows a directory that takes no registrations by its null', async () => {
    const { registrant } = await world({ root: 'null' })
    expect(registrant.status()).toMatchObject({ problem: 'root takes no registrations' })
  })

  it('stops when it is closed', async () => {
    const { said, registrant, pass } = await world({ a: 'data:device.lan:6464' })
    registrant.close()
    await pass(3_600_000)
    expect(said).toHaveLength(1)
  })
})
