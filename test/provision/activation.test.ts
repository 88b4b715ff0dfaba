import { describe, expect, it } from 'vitest'
import { inProcessPair } from '../../src/client/in-process.ts'
import { AtError } from '../../src/core/errors.ts'
import { cramDigest } from '../../src/crypto/challenge.ts'
import type { AtKeys } from '../../src/crypto/keys-file.ts'
import { verifyPkam } from '../../src/crypto/signing.ts'
import { type ActivationOptions, activate } from '../../src/provision/activation.ts'
import { aliceKeys } from '../client/fake-server.ts'
import { manualClock } from '../support/clock.ts'

const challenge = '_3f0e9e6c-7d0b-4f60-8a9b-1c2d3e4f5a6b@alice:7b1d3f5a-2c4e-4f60-8a9b-1c2d3e4f5a6b'
const secret = 'ab'.repeat(64)

/** An atServer of @alice that is not activated; it notes every line and can hang up at one. */
function blankServer(hangUpAt?: RegExp) {
  const state = { secret: secret as string | undefined, credential: undefined as string | undefined, hangUpAt }
  const lines: string[] = []
  let connections = 0

  const answer = (line: string): { reply: string; loggedIn?: boolean } => {
    if (line === 'from:@alice') return { reply: `data:${challenge}` }
    if (line.startsWith('cram:')) {
      if (state.secret === undefined)
        return { reply: 'error:AT0015-Exception: privatekey:at_secret does not exist in keystore' }
      const right = line === `cram:${cramDigest(state.secret, challenge)}`
      return { reply: right ? 'data:success' : 'error:AT0401-Exception: Authentication Failed' }
    }
    if (line.startsWith('pkam:')) {
      const verified =
        state.credential !== undefined &&
        verifyPkam({
          ...{ algo: 'rsa2048', hashing: 'sha256', challenge, publicKey: state.credential },
          signature: line.split(':').at(-1) ?? '',
        })
      return { reply: verified ? 'data:success' : 'error:AT0401-Exception: pkam authentication failed' }
    }
    if (line.startsWith('update:privatekey:at_pkam_publickey ')) state.credential = line.split(' ')[1]
    if (line === 'delete:privatekey:at_secret') state.secret = undefined
    return { reply: 'data:-1' }
  }

  const connect = async () => {
    const [near, far] = inProcessPair()
    const index = connections++
    far.on('error', () => {})
    far.on('end', () => far.end())
    far.on('data', (chunk) => {
      const line = String(chunk).trimEnd()
      lines.push(`${index} ${line.replace(/(?<=cram:|sha256:| MIIB).{60,}/, '…')}`)
      const { reply } = answer(line)
      if (state.hangUpAt?.test(line)) far.destroy()
      else far.write(`${reply}\n@`)
    })
    far.write('@')
    return near
  }
  return { state, lines, connect, connections: () => connections }
}

const attempt = (server: ReturnType<typeof blankServer>, more: Partial<ActivationOptions> = {}): Promise<AtKeys> =>
  activate({ atSign: '@alice', secret, connect: server.connect, clock: manualClock(), keys: aliceKeys, ...more })

const outcome = (promise: Promise<unknown>): Promise<string> =>
  promise.then(
    () => 'activated',
    (error: unknown) => (error instanceof AtError ? `${error.code} ${error.message}` : String(error)),
  )

describe('activation', () => {
  it('installs new keys, proves them, publishes the public key and ends the secret', async () => {
    const server = blankServer()
    const steps: string[] = []
    const keys = await activate({
      ...{ atSign: '@alice', secret, connect: server.connect, clock: manualClock() },
      progress: (step) => steps.push(step),
    })
    expect(server.lines).toEqual([
      '0 from:@alice',
      '0 cram:…',
      '0 update:privatekey:at_pkam_publickey MIIB…',
      '1 from:@alice',
      '1 pkam:signingAlgo:rsa2048:hashingAlgo:sha256:…',
      '1 update:isEncrypted:false:public:publickey@alice MIIB…',
      '1 delete:privatekey:at_secret',
    ])
    expect(server.state).toMatchObject({ secret: undefined, credential: keys.pkamPublicKey })
    expect(keys).toMatchObject({ atSign: '@alice' })
    expect(keys).not.toHaveProperty('enrollmentId')
    expect(steps).toEqual([
      'cutting keys',
      'installing the credential',
      'logging in with the new keys',
      'publishing the public key',
      'deleting the activation secret',
    ])
  })

  it('hands the keys over before the secret goes', async () => {
    const server = blankServer()
    const kept: AtKeys[] = []
    await attempt(server, {
      onKeys: async (keys) => {
        expect(server.state.secret).toBe(secret)
        kept.push(keys)
      },
    })
    expect(kept).toEqual([aliceKeys])
  })

  it('keeps the secret when the keys could not be kept', async () => {
    const server = blankServer()
    const onKeys = (): Promise<void> => Promise.reject(new Error('disk full'))
    expect(await outcome(attempt(server, { onKeys }))).toContain('disk full')
    expect(server.state.secret).toBe(secret)
    expect(await outcome(attempt(server))).toBe('activated')
  })

  it.each([[/^from/], [/^cram/], [/^update:privatekey/], [/^pkam/], [/^update:isEncrypted/], [/^delete/]])(
    'can be repeated with the same keys after a loss at %s',
    async (hangUpAt) => {
      const server = blankServer(hangUpAt)
      expect(await outcome(attempt(server))).toContain('AT0004')
      server.state.hangUpAt = undefined
      expect(await outcome(attempt(server))).toBe('activated')
      expect(server.state).toEqual({ secret: undefined, credential: aliceKeys.pkamPublicKey, hangUpAt: undefined })
      expect(await outcome(attempt(server))).toBe('activated')
    },
  )

  it('tells a wrong secret from an atSign that is activated already', async () => {
    const server = blankServer()
    expect(await outcome(attempt(server, { secret: 'wrong' }))).toBe(
      'AT0401 The activation secret is not the one of @alice',
    )
    server.state.secret = undefined
    expect(await outcome(attempt(server))).toBe('AT0032 @alice is activated already: its activation secret is gone')
  })
})
