// Peers that connect to an atServer and prove themselves, again and again. Argument: JSON of `PolTask`. Prints how many
// of them did so a second.
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { type AtServer, createAtServer } from '../../src/app.ts'
import { listenFor } from '../../src/app-listen.ts'
import { type AtSign, parseAtSign } from '../../src/core/at-sign.ts'
import { systemClock } from '../../src/core/clock.ts'
import { silent } from '../../src/core/log.ts'
import { dialTls } from '../../src/net/dial.ts'
import { clientContext } from '../../src/net/tls-context.ts'
import { type Link, openLink, replyData } from '../../src/wire/link.ts'
import { repeat } from './load.ts'

/** What the peers are told. */
export interface PolTask {
  /** Where databases go. */
  readonly folder: string
  readonly files: { readonly ca: string; readonly chain: string; readonly key: string }
  /** Port of the atServer that is measured, and the atSign behind it. */
  readonly target: { readonly atSign: AtSign; readonly port: number }
  /** Peers by atSign, each with the port on which the target finds it. */
  readonly peers: Readonly<Record<string, number>>
  readonly warmUpMs: number
  readonly ms: number
}

const task = JSON.parse(process.argv[2] ?? '{}') as PolTask
const [ca, cert, key] = [task.files.ca, task.files.chain, task.files.key].map((path) => readFileSync(path, 'utf8'))
if (ca === undefined || cert === undefined || key === undefined) throw new Error('a certificate file is missing')
const context = clientContext({ ca: [ca], cert, key })

/** The owner of a peer, logged in by CRAM. */
async function ownerOf(server: AtServer): Promise<Link> {
  const link = openLink(server.connect(), { clock: systemClock })
  const challenge = replyData(await link.request(`from:${server.atSign}`))
  const digest = createHash('sha512').update(`${await server.cramSecret()}${challenge}`)
  replyData(await link.request(`cram:${digest.digest('hex')}`))
  return link
}

/** A peer's atServer. @returns connects to the target, proves itself, reads a record, closes */
async function startPeer(name: string, port: number): Promise<() => Promise<void>> {
  const atSign = parseAtSign(name)
  let dialled: Duplex | undefined
  const server = await createAtServer({
    atSign,
    directory: mkdtempSync(join(task.folder, 'pol-')),
    resolver: { resolve: async () => ({ host: 'localhost', port: task.target.port }) },
    async dial(address) {
      dialled = await dialTls({ ...address, context, clock: systemClock })
      return dialled
    },
    clock: systemClock,
    log: silent,
    version: '0.0.0',
  })
  await listenFor(server, { host: '127.0.0.1', port, cert: cert ?? '', key: key ?? '', ca: ca ?? '', log: silent })
  const owner = await ownerOf(server)
  return async () => {
    const reply = await owner.request(`lookup:bypassCache:true:nothing.bench${task.target.atSign}`)
    if (!reply.includes('AT0015')) throw new Error(`a peer was answered ${reply.slice(0, 200)}`)
    const closed = new Promise((resolve) => dialled?.once('close', resolve))
    dialled?.destroy()
    await closed
  }
}

const peers = await Promise.all(Object.entries(task.peers).map(([atSign, port]) => startPeer(atSign, port)))
const free = [...peers]

/** One peer at a time does it: each has one session to the target. */
async function prove(): Promise<void> {
  const peer = free.pop()
  if (peer === undefined) throw new Error('more is under way than there are peers')
  await peer()
  free.push(peer)
}

const width = peers.length
await repeat(prove, { width, ms: task.warmUpMs })
console.log(`rate ${await repeat(prove, { width, ms: task.ms })}`)
process.exit(0)
