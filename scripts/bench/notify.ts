import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { type AtServer, createAtServer } from '../../src/app.ts'
import { listenFor } from '../../src/app-listen.ts'
import { cramLogin, openSession } from '../../src/client/login.ts'
import { type AtSign, parseAtSign } from '../../src/core/at-sign.ts'
import { systemClock as clock } from '../../src/core/clock.ts'
import { silent as log } from '../../src/core/log.ts'
import { dialTls } from '../../src/net/dial.ts'
import { clientContext } from '../../src/net/tls-context.ts'
import type { Link } from '../../src/wire/link.ts'
import type { CertificatePaths } from './fixture.ts'
import { sleep } from './numbers.ts'

// A sender and its peers in one process, with TLS between them. Prints how many notifications arrive in a second.

/** What such a process is told. */
export interface NotifyTask {
  readonly folder: string
  readonly files: CertificatePaths
  /** The sender listens on the first port, the peers behind it. */
  readonly ports: { readonly first: number; readonly peers: number }
  readonly warmUpMs: number
  readonly ms: number
}

/** Notifications under way, over all peers. */
const inFlight = 256
const value = '21.5 '.repeat(40)

const { folder, files, ports, warmUpMs, ms } = JSON.parse(process.argv[2] ?? '{}') as NotifyTask
const [chain, key, ca] = await Promise.all([files.chain, files.key, files.ca].map((path) => readFile(path, 'utf8')))
if (chain === undefined || key === undefined || ca === undefined) throw new Error('certificates are missing')
const tls = { cert: chain, key, ca }
const context = clientContext({ ca: [ca], cert: chain, key })
const names: readonly AtSign[] = Array.from({ length: ports.peers + 1 }, (_, index) => parseAtSign(`@n${index}`))

async function start(atSign: AtSign, index: number): Promise<AtServer> {
  const server = await createAtServer({
    ...{ atSign, directory: join(folder, atSign), clock, log, version: 'bench' },
    resolver: { resolve: async (other) => ({ host: 'localhost', port: ports.first + names.indexOf(other) }) },
    dial: (address) => dialTls({ ...address, context, clock }),
  })
  await listenFor(server, { ...tls, host: '127.0.0.1', port: ports.first + index, log })
  return server
}

async function login(server: AtServer, seen: (line: string) => void = () => {}): Promise<Link> {
  const secret = (await server.cramSecret()) ?? ''
  return openSession(
    async () => server.connect(),
    (link) => cramLogin(link, server.atSign, secret),
    {
      clock,
      onNotification: seen,
    },
  )
}

const [sender, ...peers] = await Promise.all(names.map(start))
if (sender === undefined) throw new Error('no sender')
const owner = await login(sender)
let arrived = 0
let sent = 0
const send = (): void => {
  const to = names[1 + (sent % ports.peers)]
  void owner.request(`notify:isEncrypted:false:${to}:p${sent++ % 1_000}.sensors${names[0]}:${value}`)
}
const listen = async (peer: AtServer): Promise<void> => {
  const monitor = await login(peer, (line) => {
    if (line.includes('"id":"-1"')) return
    arrived++
    send()
  })
  monitor.send('monitor:strict')
  await monitor.request('noop:0')
}
await Promise.all(peers.map(listen))
for (let index = 0; index < inFlight; index++) send()
await sleep(warmUpMs)
const [before, began] = [arrived, performance.now()]
await sleep(ms)
process.stdout.write(`rate ${(1_000 * (arrived - before)) / (performance.now() - began)}\n`)
