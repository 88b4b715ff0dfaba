import { setTimeout as pause } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startWorld, type World, wellBehaved } from './world.ts'

// Real machines, as far as one kernel can be several: real time, real packets that get lost. What the other suites decide
// by a clock in the hand is not decided again here.

const crowd = 200
let world: World

beforeAll(async () => {
  world = await startWorld({ members: ['@alice', '@bob', '@carol'], crowd })
  const { namespaces, netem } = world.abilities
  const where = namespaces ? 'network namespaces' : 'loopback, because this machine allows no network namespaces'
  const how = netem ? 'tc netem' : 'an impairing proxy, because this kernel has no netem'
  process.stdout.write(`atServers in ${where}; delay and loss by ${how}\n`)
})

afterAll(() => world.close())

async function until(condition: () => Promise<boolean>): Promise<void> {
  while (!(await condition())) await pause(50)
}

/** Waits until an atServer has shown these values, and looks that each came once. */
async function expectShown(atSign: '@bob' | '@carol', values: readonly string[]): Promise<void> {
  await until(async () => {
    const shown = new Set(await world.received(atSign))
    return values.every((value) => shown.has(value))
  })
  const shown = await world.received(atSign)
  expect(shown.filter((value) => values.includes(value))).toEqual(values)
}

/** The copy that @alice has of a public record. */
const levelOf = (atSign: '@bob' | '@carol'): Promise<string> =>
  world.ask('@alice', `llookup:cached:public:level.sensors${atSign}`)

const numbered = (name: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${name}${index}`)

describe('atServers on machines of their own', () => {
  it('find, prove and read each other; certificates are required and strict', async () => {
    await world.ask('@bob', 'update:ttr:3600:@alice:door.sensors@bob open')
    expect(await world.ask('@alice', 'lookup:door.sensors@bob')).toBe('data:open\n@alice@')
    expect(await world.ask('@alice', 'plookup:signing_publickey@carol')).toMatch(/^data:MII/)
    expect(await world.ask('@alice', 'lookup:door.sensors@carol')).toMatch(/^error:AT0015-/)
  })

  it('deliver everything once and in order over slow lines that lose packets', async () => {
    await world.impair('@bob', { delayMs: 60, lossShare: 0.03 })
    const values = numbered('slow', 40)
    for (const value of values) await world.ask('@alice', `notify:isEncrypted:false:@bob:n.sensors@alice:${value}`)
    await expectShown('@bob', values)
    await world.ask('@bob', 'update:@alice:window.sensors@bob shut')
    expect(await world.ask('@alice', 'lookup:window.sensors@bob')).toBe('data:shut\n@alice@')
    await world.impair('@bob', { delayMs: 0, lossShare: 0 })
  })

  it('serve everybody else while one is cut off, show its copies, and serve that one and refresh its copies once it is back; 10,000 connections that say nothing change nothing', async () => {
    const menu = (): Promise<string> => world.ask('@carol', 'llookup:cached:@carol:menu.sensors@alice')
    await world.ask('@alice', 'update:ttr:-1:ccd:true:@carol:menu.sensors@alice soup')
    await until(async () => (await menu()).startsWith('data:soup'))
    await world.ask('@carol', 'update:ttr:1:@alice:hours.sensors@carol 9 to 5')
    await world.ask('@alice', 'lookup:hours.sensors@carol')
    await world.ask('@carol', 'update:ttr:1:public:level.sensors@carol low')
    await world.ask('@alice', 'plookup:level.sensors@carol')
    await world.cut('@carol', true)
    await world.ask('@carol', 'update:ttr:1:public:level.sensors@carol high')
    const flood = world.flood('@bob', 10_000)
    const values = numbered('cut', 10)
    for (const value of values) {
      await world.ask('@alice', `notify:isEncrypted:false:@carol:n.sensors@alice:${value}`)
      await world.ask('@alice', `notify:isEncrypted:false:@bob:n.sensors@alice:${value}`)
    }
    await world.ask('@alice', 'delete:@carol:menu.sensors@alice')
    await expectShown('@bob', values)
    for (const told of [/^delivery waits.*@carol/, /^copies wait for their owners.*@carol/]) {
      await until(async () => (await world.logged('@alice')).some((line) => told.test(line)))
    }
    expect(await levelOf('@carol')).toBe('data:low\n@alice@')
    expect(await world.ask('@alice', 'lookup:all:hours.sensors@carol')).toMatch(
      /^data:\{"key":"cached:@alice:hours\.sensors@carol","data":"9 to 5"/,
    )
    expect((await world.received('@carol')).filter((value) => value.startsWith('cut'))).toEqual([])
    await world.cut('@carol', false)
    await expectShown('@carol', values)
    await until(async () => (await menu()).startsWith('error:AT0015'))
    await until(async () => (await levelOf('@carol')).startsWith('data:high'))
    await flood
    await world.ask('@bob', 'update:@carol:gate.sensors@bob closed')
    expect(await world.ask('@carol', 'lookup:gate.sensors@bob')).toBe('data:closed\n@carol@')
  })

  it('refresh their copies over slow lines that lose packets', async () => {
    await world.ask('@bob', 'update:ttr:1:public:level.sensors@bob low')
    expect(await world.ask('@alice', 'plookup:level.sensors@bob')).toBe('data:low\n@alice@')
    await world.impair('@bob', { delayMs: 60, lossShare: 0.03 })
    // Nobody is told of a public record: a copy that changes was asked for.
    await world.ask('@bob', 'update:ttr:1:public:level.sensors@bob high')
    await until(async () => (await levelOf('@bob')).startsWith('data:high'))
    await world.impair('@bob', { delayMs: 0, lossShare: 0 })
  })

  it('turn away who poses as another atSign, and say so once a minute', async () => {
    const answers = await world.pose('@alice', '@p1', 20)
    expect(answers.filter((answer) => /^error:AT0401-.*does not name/.test(answer))).toHaveLength(20)
    const lines = (await world.logged('@alice')).filter((line) => line.startsWith('a caller showed a certificate'))
    expect(lines).toEqual([expect.stringContaining('"peer":"@p1"')])
    await world.ask('@carol', 'update:@alice:bell.sensors@carol rings')
    expect(await world.ask('@alice', 'lookup:bell.sensors@carol')).toBe('data:rings\n@alice@')
  })

  it('meet those whose address they know while the directory is away', async () => {
    await world.directory(false)
    await world.ask('@bob', 'update:@alice:lamp.sensors@bob on')
    expect(await world.ask('@alice', 'lookup:lamp.sensors@bob')).toBe('data:on\n@alice@')
    await world.directory(true)
    expect(await world.ask('@alice', 'lookup:lamp.sensors@nobody')).toMatch(/^error:AT0007-/)
  })

  it('notify 200 peers, of which a third is away and some are hostile', async () => {
    const to = Array.from({ length: crowd }, (_, index) => `@p${index}`).join(',')
    await world.ask('@alice', `notify:multi:ttln:600000:isEncrypted:false:${to}:alarm.sensors@alice:fire`)
    const well = wellBehaved(crowd)
    await until(async () => {
      const counts = await world.counts()
      return well.every((index) => counts[index] === 1)
    })
    expect((await world.counts()).reduce((sum, count) => sum + count)).toBe(well.length)
    await world.ask('@alice', 'notify:isEncrypted:false:@bob:n.sensors@alice:after the crowd')
    await expectShown('@bob', ['after the crowd'])
    // One of them shows another's certificate: it was never told anything, and is named once however often it is tried.
    const posing = (await world.logged('@alice')).filter((line) => /^no session with a peer.*"@p9"/.test(line))
    expect(posing).toEqual([expect.stringContaining('certificate')])
  })
})
