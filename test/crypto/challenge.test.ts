import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import { AtError } from '../../src/core/errors.ts'
import {
  cramDigest,
  equalText,
  newSessionId,
  ownerChallenge,
  peerChallenge,
  readProof,
} from '../../src/crypto/challenge.ts'
import { auth, bound } from './vectors.ts'

const uuid4 = '[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}'
const session = '_0f6c1b9e-5d0e-4c57-9a54-2b8f4c1d7e31'

const refusal = (text: string): string => {
  try {
    readProof(text, '@bob', '@alice')
  } catch (error) {
    expect(error).toBeInstanceOf(AtError)
    expect((error as AtError).code).toBe('AT0008')
    return (error as AtError).message
  }
  throw new Error('the proof was accepted')
}

const token = (value: unknown): string =>
  `proof:${session}@alice:pol1.${Buffer.from(JSON.stringify(value)).toString('base64url')}`

describe('cram', () => {
  test('the digest of page 02', () => {
    expect(cramDigest(auth.cramSecret, auth.challenge)).toBe(auth.cramDigest)
  })
})

describe('comparison of secrets', () => {
  test('agrees with equality for any two texts', () => {
    const text = fc.string({ unit: 'binary' })
    fc.assert(fc.property(text, text, (a, b) => equalText(a, b) === (a === b)))
    fc.assert(fc.property(text, (a) => equalText(a, `${a}`)))
  })

  test('tells lone surrogates apart', () => {
    expect(equalText('\ud800', '\ud801')).toBe(false)
  })
})

describe('challenges', () => {
  test('an owner challenge has the form that Dart checks', () => {
    const id = newSessionId()
    expect(id).toMatch(new RegExp(`^_${uuid4}$`))
    expect(ownerChallenge(id, '@alice')).toMatch(new RegExp(`^${id}@alice:${uuid4}$`))
  })

  test('a peer challenge names its issuer', () => {
    const { name, challenge } = peerChallenge(session, '@bob', '@alice')
    expect(name).toBe(`${session}@bob`)
    expect(challenge).toMatch(/^pol1\.[A-Za-z0-9_-]+={0,2}$/)
    expect(challenge.length % 4).toBe(1)
    const text = Buffer.from(challenge.slice(5), 'base64url').toString()
    expect(text).toMatch(new RegExp(`^\\{"v":"@alice","n":"${uuid4}"\\}$`))
  })

  test('a peer challenge has the layout of the token of page 08', () => {
    expect(peerChallenge(session, '@alice', '@bob').challenge).toHaveLength(bound.token.length)
  })

  test('no challenge is made twice', () => {
    const made = Array.from({ length: 50 }, () => peerChallenge(session, '@bob', '@alice').challenge)
    expect(new Set(made).size).toBe(50)
  })
})

describe('a proof from the server that was dialled', () => {
  test('with the token of page 08', () => {
    const proof = readProof(`proof:${session}@alice:${bound.token}`, '@bob', '@alice')
    expect(proof).toEqual({ name: `${session}@alice`, challenge: bound.token })
  })

  test('with members that are newer than us', () => {
    const text = `proof:${session}@alice:${bound.tokenWithAlgorithm}`
    expect(readProof(text, '@bob', '@alice').challenge).toBe(bound.tokenWithAlgorithm)
  })

  test('with a bare UUID, as servers before 3.16 send it', () => {
    expect(readProof(`proof:${session}@alice:${auth.proof}`, '@bob', '@alice').challenge).toBe(auth.proof)
  })

  test('of our own making, whatever the atSigns', () => {
    const names = fc.constantFrom<AtSign>('@alice', '@bob🛠', '@ünï', '@x', `@${'🛠'.repeat(50)}`)
    fc.assert(
      fc.property(names, names, (verifier, prover) => {
        const made = peerChallenge(newSessionId(), prover, verifier)
        expect(readProof(`proof:${made.name}:${made.challenge}`, verifier, prover)).toEqual(made)
      }),
    )
  })
})

describe('a proof is refused', () => {
  test.each([
    ['another word', `prove:${session}@alice:${auth.proof}`, 'not proof:'],
    ['an owner challenge', auth.challenge, 'not proof:'],
    ['too few parts', `proof:${session}@alice`, 'not proof:'],
    ['too many parts', `proof:${session}@alice:${auth.challenge}`, 'not proof:'],
    ['a record of ours', `proof:publickey@alice:${auth.proof}`, 'not named _<uuid>@alice'],
    ['a hidden record of ours', `proof:_x@alice:${auth.proof}`, 'not named _<uuid>@alice'],
    ["another atSign's record", `proof:${session}@bob:${auth.proof}`, 'not named _<uuid>@alice'],
    ['an atSign that ends like ours', `proof:${session}@mal@alice:${auth.proof}`, 'not named _<uuid>@alice'],
    ['a name without its atSign', `proof:${session}:${auth.proof}`, 'not named _<uuid>@alice'],
    ['a challenge that is no UUID', `proof:${session}@alice:sign this`, 'neither a pol1 token nor a UUID'],
    ['no challenge', `proof:${session}@alice:`, 'neither a pol1 token nor a UUID'],
    ['a token that is not base64', `proof:${session}@alice:pol1.{}`, 'not base64url'],
    ['a token without end', `proof:${session}@alice:pol1.${'A'.repeat(4_096)}`, 'not base64url'],
    ['an empty token', `proof:${session}@alice:pol1.`, 'names no issuer'],
    ['a token that is not an object', token(null), 'names no issuer'],
    ['a token without issuer', token({ n: auth.proof }), 'names no issuer'],
    ['an issuer that is not text', token({ v: 1, n: auth.proof }), 'names no issuer'],
    ['an issuer that is no atSign', token({ v: '@a b', n: auth.proof }), 'not an atSign'],
    ['a token that another server issued', token({ v: '@mallory', n: auth.proof }), 'issued by @mallory, not by @bob'],
  ])('%s', (_, text, reason) => {
    expect(refusal(text)).toContain(reason)
  })

  test('whatever the text, without any error but AT0008', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        refusal(text)
        refusal(`proof:${session}@alice:pol1.${text}`)
      }),
    )
  })
})
