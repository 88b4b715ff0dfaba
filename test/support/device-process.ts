import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createAtServer } from '../../src/app.ts'
import { listenFor } from '../../src/app-listen.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { silent as log } from '../../src/core/log.ts'
import { createResolver } from '../../src/directory/resolver.ts'
import { startDirectory } from '../../src/directory/server.ts'
import { createTable } from '../../src/directory/table.ts'
import { dialTls } from '../../src/net/dial.ts'

// The atServer of @device and the directory of its network, in a process that a test may kill at any moment. Prints one
// line once both answer. Started with the path of a DeviceProcess as JSON.

/** What such a process is told. */
export interface DeviceProcess {
  readonly folder: string
  readonly ports: { readonly directory: number; readonly device: number; readonly alice: number }
  readonly chain: string
  readonly key: string
  readonly ca: string
}

const path = process.argv[2]
if (path !== undefined) {
  const { folder, ports, chain, key, ca } = JSON.parse(await readFile(path, 'utf8')) as DeviceProcess
  const context = { cert: chain, key, ca }
  const table = createTable([
    ['@device', `localhost:${ports.device}`],
    ['@alice', `localhost:${ports.alice}`],
  ])
  await startDirectory({ table, clock, log, listen: { ...context, host: '127.0.0.1', port: ports.directory } })
  const dial = (address: { host: string; port: number }) => dialTls({ ...address, ca: [ca], cert: chain, key, clock })
  const server = await createAtServer({
    ...{ atSign: '@device', directory: join(folder, 'device'), dial, clock, log, version: 'test' },
    resolver: createResolver({ clock, dial: () => dial({ host: 'localhost', port: ports.directory }) }),
  })
  await listenFor(server, { ...context, host: '127.0.0.1', port: ports.device, log })
  process.stdout.write(`${await server.cramSecret()}\n`)
}
