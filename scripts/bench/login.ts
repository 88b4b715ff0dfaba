import { createPrivateKey, type KeyObject, sign } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import type { AtSign } from '../../src/core/at-sign.ts'
import { readKeysFile } from '../../src/crypto/keys-file.ts'
import { dial, type Target } from './load.ts'

/** Who logs in. The key is read once: parsing it is not part of a login. */
export interface Owner {
  readonly atSign: AtSign
  readonly pkamKey: KeyObject
}

export async function readOwner(path: string, atSign: AtSign): Promise<Owner> {
  const { pkamPrivateKey } = await readKeysFile(path, atSign)
  const key = Buffer.from(pkamPrivateKey, 'base64')
  return { atSign, pkamKey: createPrivateKey({ key, format: 'der', type: 'pkcs8' }) }
}

/** Sends a line and waits for the text behind `data:`. */
export function ask(socket: TLSSocket, line: string): Promise<string> {
  return new Promise((resolve, reject) => {
    let heard = ''
    const hear = (chunk: Buffer): void => {
      heard += chunk.toString()
      if (!heard.includes('\n')) return
      socket.off('data', hear)
      const reply = /data:(.*)\n/.exec(heard)?.[1]
      if (reply === undefined) reject(new Error(`${line.slice(0, 40)} was answered ${heard.slice(0, 200)}`))
      else resolve(reply)
    }
    socket.on('data', hear)
    socket.write(`${line}\n`)
  })
}

/** On a thread of its own: clients are many machines, and their signatures are not what is measured. */
const signAside = promisify(sign)

/** Connects and logs in with the keys of the owner. */
export async function logIn(target: Target, { atSign, pkamKey }: Owner): Promise<TLSSocket> {
  const socket = await dial(target)
  const challenge = await ask(socket, `from:${atSign}`)
  const signature = await signAside('sha256', Buffer.from(challenge), pkamKey)
  await ask(socket, `pkam:${signature.toString('base64')}`)
  return socket
}

export const logInTimes = (count: number, target: Target, owner: Owner): Promise<TLSSocket[]> =>
  Promise.all(Array.from({ length: count }, () => logIn(target, owner)))
