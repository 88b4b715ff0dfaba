import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Duplex } from 'node:stream'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { createAtServer } from '../../src/app.ts'
import { listenFor } from '../../src/app-listen.ts'
import { cramLogin, openSession } from '../../src/client/login.ts'
import type { AtSign } from '../../src/core/at-sign.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { silent as log } from '../../src/core/log.ts'
import { createResolver } from '../../src/directory/resolver.ts'
import { dialTls } from '../../src/net/dial.ts'
import type { Link } from '../../src/wire/link.ts'
import type { DeviceProcess } from '../support/device-process.ts'
import { closeLater, freePort, temporaryDirectory, testCertificate, until } from '../support/network.ts'

const script = fileURLToPath(new URL('../support/device-process.ts', import.meta.url))

interface Place extends DeviceProcess {
  readonly file: string
}

async function newPlace(): Promise<Place> {
  const folder = await temporaryDirectory()
  const ports = { directory: await freePort(), device: await freePort(), alice: await freePort() }
  const place = { folder, ports, ...(await testCertificate()), file: join(folder, 'place.json') }
  await writeFile(place.file, JSON.stringify(place))
  return place
}

/** A device that runs in a process of its own. */
interface RunningDevice {
  readonly secret: string
  /** Ends it without a last word. */
  kill(): Promise<void>
}

async function runDevice({ file }: Place): Promise<RunningDevice> {
  const child: ChildProcess = spawn(process.execPath, ['--import', 'tsx', script, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const gone = once(child, 'exit')
  const kill = async (): Promise<void> => {
    child.kill('SIGKILL')
    await gone
  }
  closeLater(kill)
  if (child.stdout === null) throw new Error('the device has no output')
  const [secret] = (await once(createInterface(child.stdout), 'line')) as [string]
  return { secret, kill }
}

const dialTo =
  ({ ca, chain, key }: Place) =>
  (port: number): Promise<Duplex> =>
    dialTls({ host: 'localhost', port, ca: [ca], cert: chain, key, clock })

async function login(place: Place, port: number, atSign: AtSign, secret: string, seen?: (line: string) => void) {
  const connect = (): Promise<Duplex> => dialTo(place)(port)
  const told = seen === undefined ? {} : { onNotification: seen }
  const link = await openSession(connect, (session) => cramLogin(session, atSign, secret), { clock, ...told })
  closeLater(async () => link.close())
  return link
}

interface Alice {
  readonly owner: Link
  /** Values in the order in which the monitor showed them. */
  readonly values: string[]
}

/** @alice's atServer, in this process. */
async function startAlice(place: Place): Promise<Alice> {
  const { folder, ports, chain, key, ca } = place
  const dial = (address: { host: string; port: number }): Promise<Duplex> => dialTo(place)(address.port)
  const resolver = createResolver({ clock, dial: () => dialTo(place)(ports.directory) })
  const server = await createAtServer({
    ...{ atSign: '@alice', directory: join(folder, 'alice'), resolver, dial, clock, log, version: 'test' },
  })
  closeLater((await listenFor(server, { host: '127.0.0.1', port: ports.alice, cert: chain, key, ca, log })).close)
  const secret = (await server.cramSecret()) ?? ''
  const values: string[] = []
  const monitor = await login(place, ports.alice, '@alice', secret, (line) => {
    const { id, value } = JSON.parse(line.slice('notification:'.length)) as { id: string; value: string }
    if (id !== '-1') values.push(value)
  })
  monitor.send('monitor')
  await monitor.request('noop:0')
  return { owner: await login(place, ports.alice, '@alice', secret), values }
}

const tell = async (place: Place, device: RunningDevice, value: string): Promise<void> => {
  const owner = await login(place, place.ports.device, '@device', device.secret)
  expect(await owner.request(`update:@alice:temperature.kitchen.sensors@device ${value}`)).toMatch(/^data:\d+$/)
}

describe('a device that loses power', () => {
  it('between the acknowledgement of a reading and its delivery delivers it once, three times over', async () => {
    const place = await newPlace()
    let device = await runDevice(place)
    const sent = ['21.1', '21.2', '21.3']
    // The recipient is not there yet: what is acknowledged is only on flash.
    for (const value of sent) {
      await tell(place, device, value)
      await device.kill()
      device = await runDevice(place)
    }
    await device.kill()
    const { owner, values } = await startAlice(place)
    device = await runDevice(place)
    await until(() => values.length >= sent.length)
    expect(await owner.request('lookup:temperature.kitchen.sensors@device')).toBe('data:21.3')
    await tell(place, device, 'end')
    await until(() => values.includes('end'))
    expect(values).toEqual([...sent, 'end'])
  })

  it('the moment its notification arrives does not show it twice', async () => {
    const place = await newPlace()
    const { values } = await startAlice(place)
    let device = await runDevice(place)
    const sent = ['1', '2']
    for (const [index, value] of sent.entries()) {
      await tell(place, device, value)
      await until(() => values.length > index)
      await device.kill()
      device = await runDevice(place)
    }
    await tell(place, device, 'end')
    await until(() => values.includes('end'))
    expect(values).toEqual([...sent, 'end'])
  })
})

/** Ids that a monitor of the device from the beginning of time shows, in order. */
async function shownAtDevice(place: Place, device: RunningDevice): Promise<string[]> {
  const shown: string[] = []
  const monitor = await login(place, place.ports.device, '@device', device.secret, (line) => {
    const { id } = JSON.parse(line.slice('notification:'.length)) as { id: string }
    if (id !== '-1') shown.push(id)
  })
  monitor.send('monitor:0')
  await monitor.request('noop:0')
  await until(() => shown.includes('end'))
  return shown
}

describe('a recipient that loses power', () => {
  it('again and again while notifications arrive gets each of them once, in the order of each key', async () => {
    const place = await newPlace()
    let device = await runDevice(place)
    const { owner } = await startAlice(place)
    const ids = Array.from({ length: 300 }, (_, index) => `n${index}`)
    const send = (id: string, key: string) =>
      owner
        .request(`notify:id:${id}:@device:${key}.commands@alice:${id}`)
        .then((reply) => expect(reply).toBe(`data:${id}`))
    const delivered = (id: string) =>
      until(async () => (await owner.request(`notify:status:${id}`)) === 'data:delivered')
    const sending = Promise.all(ids.map((id, index) => send(id, `lamp${index % 30}`)))
    for (const id of ['n40', 'n170']) {
      await delivered(id)
      await device.kill()
      device = await runDevice(place)
    }
    await sending
    await Promise.all(ids.map(delivered))
    await send('end', 'end')
    const shown = (await shownAtDevice(place, device)).filter((id) => id !== 'end')
    expect([...shown].sort()).toEqual([...ids].sort())
    for (let lamp = 0; lamp < 30; lamp++) {
      const ofLamp = (list: readonly string[]) => list.filter((id) => Number(id.slice(1)) % 30 === lamp)
      expect(ofLamp(shown)).toEqual(ofLamp(ids))
    }
  })
})
