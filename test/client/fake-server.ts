import { randomUUID } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { inProcessPair } from '../../src/client/in-process.ts'
import type { AtKeys } from '../../src/crypto/keys-file.ts'
import { verifyPkam } from '../../src/crypto/signing.ts'
import { auth, client as vectors } from '../crypto/vectors.ts'

/** Keys of @alice: the published pair of page 05 encrypts, that of page 02 logs in. */
export const aliceKeys: AtKeys = {
  atSign: '@alice',
  pkamPublicKey: auth.rsaPublic,
  pkamPrivateKey: auth.rsaPrivate,
  encryptPublicKey: vectors.publicKey,
  encryptPrivateKey: vectors.privateKey,
  selfEncryptionKey: vectors.aesKey,
}

/** Lets bytes travel through in-process pairs. */
export const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => setImmediate(resolve))
}

/** One connection as the fake server sees it. */
export interface FakeConnection {
  /** Lines received behind the login. */
  readonly lines: string[]
  /** Lines of the login. */
  readonly login: string[]
  send(text: string): void
  drop(): void
}

/** Answers a line with `data:…` or `error:…`; undefined stays silent, `drop` hangs up. */
export type Script = (line: string, connection: FakeConnection) => string | undefined

export const missing = 'error:AT0015-key not found : it does not exist in keystore'

/** What a server may do wrong at the login. */
export interface FakeOptions {
  readonly challenge?: string
  readonly pkamReply?: string
}

/** A small scripted atServer of @alice that checks the login and notes every line. */
export function fakeServer(script: Script = () => 'data:1', options: FakeOptions = {}) {
  const connections: FakeConnection[] = []
  const state = { script, dials: 0, failures: 0 }

  const serve = (stream: Duplex): void => {
    let prompt = '@'
    const challenge = options.challenge ?? `_${randomUUID()}@alice:${randomUUID()}`
    const connection: FakeConnection = {
      lines: [],
      login: [],
      send: (text) => void stream.write(text),
      drop: () => void stream.destroy(),
    }
    const pkam = (line: string): string => {
      const signature = line.split(':').at(-1) ?? ''
      const { rsaPublic: publicKey } = auth
      const verified = verifyPkam({ algo: 'rsa2048', hashing: 'sha256', publicKey, signature, challenge })
      if (verified) prompt = '@alice@'
      return options.pkamReply ?? (verified ? 'data:success' : 'error:AT0401-Exception: pkam authentication failed')
    }
    const answer = (line: string): string | undefined => {
      if (line.startsWith('from:') || line.startsWith('pkam:')) {
        connection.login.push(line)
        return line.startsWith('from:') ? `data:${challenge}` : pkam(line)
      }
      connection.lines.push(line)
      return state.script(line, connection)
    }
    let held = ''
    stream.on('error', () => {})
    stream.on('data', (chunk) => {
      const lines = (held + String(chunk)).split('\n')
      held = lines.pop() ?? ''
      for (const line of lines) {
        const reply = answer(line)
        if (reply !== undefined && !stream.destroyed) stream.write(`${reply}\n${prompt}`)
      }
    })
    stream.on('end', () => stream.destroy())
    connections.push(connection)
    stream.write('@')
  }

  return {
    connections,
    state,
    connect: async (): Promise<Duplex> => {
      state.dials++
      if (state.failures > 0) {
        state.failures--
        throw new Error('no route')
      }
      const [near, far] = inProcessPair()
      serve(far)
      return near
    },
  }
}

/** A script out of a table; lines that it does not hold are answered by AT0015 or, for writes, by a commit id. */
export const answers =
  (table: Readonly<Record<string, string>>): Script =>
  (line) =>
    table[line] ?? (/^(update|delete)/.test(line) ? 'data:7' : missing)

/** The reply to `llookup:all` and the like. */
export const record = (key: string, data: string, metaData: Record<string, unknown> = {}): string =>
  `data:${JSON.stringify({ key, data, metaData })}`
