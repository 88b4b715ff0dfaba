import { join } from 'node:path'
import { expect, it } from 'vitest'
import { createAtServer } from '../../src/app.ts'
import { listenFor } from '../../src/app-listen.ts'
import { startNetwork } from '../../src/app-network.ts'
import { silent as log } from '../../src/core/log.ts'
import { staticResolver } from '../../src/directory/resolver.ts'
import { listenTls } from '../../src/net/listen.ts'
import { manualClock } from '../support/clock.ts'
import { closeLater, freePort, startTestNetwork, temporaryDirectory, testCertificate } from '../support/network.ts'

it('an atServer whose port is taken says so and leaves its store to the next attempt', async () => {
  const network = await startTestNetwork(['@alice'])
  const directory = await temporaryDirectory()
  const { chain, key, ca } = await testCertificate()
  const dial = () => Promise.reject(new Error('nobody is dialled'))
  const create = () =>
    createAtServer({
      ...{ atSign: '@bob' as const, directory, resolver: staticResolver([]), dial, clock: network.clock, log },
      version: 'test',
    })
  const taken = network.member('@alice').port
  const at = { host: '127.0.0.1', cert: chain, key, ca, log }
  await expect(listenFor(await create(), { ...at, port: taken })).rejects.toThrow(
    `Cannot listen on port ${taken} of 127.0.0.1: another program uses it already`,
  )
  const { close } = await listenFor(await create(), { ...at, port: await freePort() })
  await close()
})

/** A free port for a directory; the one behind it, for the first atServer, is taken. */
async function blockedPort(): Promise<{ portBase: number; release: () => Promise<void> }> {
  const { chain, key } = await testCertificate()
  for (;;) {
    const portBase = await freePort()
    const at = { host: '127.0.0.1', port: portBase + 1, cert: chain, key, handshakeMs: 1_000, log }
    const listener = await listenTls({ ...at, onConnection: () => {} }).catch(() => undefined)
    if (listener !== undefined) return { portBase, release: () => listener.close() }
  }
}

it('a private network that cannot start completely stops what it has started', async () => {
  const directory = await temporaryDirectory()
  const { portBase, release } = await blockedPort()
  const steps: string[] = []
  const options = {
    ...{ atSigns: ['@carol'] as const, directory, activate: false, clock: manualClock(), log, version: 'test' },
    progress: (step: string) => void steps.push(step),
  }
  await expect(startNetwork({ ...options, portBase })).rejects.toThrow(`port ${portBase + 1} of 127.0.0.1`)
  expect(steps).toEqual(['certificate authority', 'directory', 'atServer of @carol'])
  await release()
  const whole = await startNetwork({ ...options, portBase })
  closeLater(whole.close)
  expect(whole.members.map(({ atSign, port }) => [atSign, port])).toEqual([['@carol', portBase + 1]])
  expect(whole.members[0]?.cram).toMatch(/^[0-9a-f]{128}$/)
  expect(whole.ca).toBe(join(directory, 'ca.pem'))
  await whole.close()
  await whole.close()
})
