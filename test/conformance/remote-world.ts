import { readFile } from 'node:fs/promises'
import { setTimeout as pause } from 'node:timers/promises'
import type { AtSign } from '../../src/core/at-sign.ts'
import { type AtKeys, readKeysFile } from '../../src/crypto/keys-file.ts'
import { signRsa } from '../../src/crypto/signing.ts'
import type { Wire, World } from './runner.ts'
import { httpsWire, openWire, ownerWire, type Place, rawWire, webSocketWire } from './wires.ts'

/** An atServer somewhere, and how to log in as its owner. */
export interface RemoteOwner {
  readonly atSign: AtSign
  readonly host: string
  readonly port: number
  /** Path of the `.atKeys` file; without it only what needs no login is replayed. */
  readonly keys: string | undefined
}

const pkamLine = ({ enrollmentId, pkamPrivateKey }: AtKeys, challenge: string): string =>
  `pkam:${enrollmentId === undefined ? '' : `enrollmentId:${enrollmentId}:`}${signRsa(pkamPrivateKey, challenge)}`

/**
 * Any atServer as a world: `alice` is its owner, `bob` that of another one.
 * @param ca path of a certificate that is trusted besides the public authorities
 * @throws Error for a file that cannot be read
 */
export async function remoteWorld(options: {
  alice: RemoteOwner
  bob: RemoteOwner | undefined
  ca: string | undefined
}): Promise<World> {
  const ca = options.ca === undefined ? [] : [await readFile(options.ca, 'utf8')]
  const place = ({ host, port }: RemoteOwner): Place => ({ host, port, ca })
  const { alice, bob } = options
  const doors = new Map<string, () => Promise<Wire>>([
    ['raw', () => rawWire(place(alice))],
    ['anyone', () => openWire(place(alice))],
    ['https', async () => httpsWire(place(alice))],
    ['websocket', () => webSocketWire(place(alice))],
  ])
  const values = new Map<string, string>()
  const makers = new Map<string, (challenge: string) => string>()
  if (alice.keys !== undefined) {
    const keys = await readKeysFile(alice.keys, alice.atSign)
    doors.set('alice', () => ownerWire(place(alice), alice.atSign, (challenge) => pkamLine(keys, challenge)))
    values.set('enrollment', keys.enrollmentId ?? 'primary')
    // Scenes sign without naming an enrollment, as legacy clients do.
    if (keys.enrollmentId === undefined) makers.set('pkam', (challenge) => signRsa(keys.pkamPrivateKey, challenge))
  }
  if (bob?.keys !== undefined) {
    const keys = await readKeysFile(bob.keys, bob.atSign)
    doors.set('bob', () => ownerWire(place(bob), bob.atSign, (challenge) => pkamLine(keys, challenge)))
  }
  return {
    kinds: new Set(doors.keys()),
    async open(kind) {
      const door = doors.get(kind)
      if (door === undefined) throw new Error(`there is no connection of the kind ${kind}`)
      return door()
    },
    now: Date.now,
    wait: (ms) => pause(ms),
    values,
    makers,
    patienceMs: 10_000,
  }
}
