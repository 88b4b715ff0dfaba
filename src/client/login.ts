import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { cramDigest } from '../crypto/challenge.ts'
import type { AtKeys } from '../crypto/keys-file.ts'
import { signRsa } from '../crypto/signing.ts'
import { type Link, type LinkOptions, openLink, replyData } from '../wire/link.ts'
import type { Connect } from './types.ts'

const uuid = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const challengeShape = new RegExp(`^_${uuid}(@[^\\s:]+):${uuid}$`, 'i')

/**
 * Asks for a challenge of one's own atServer.
 * @throws AtError AT0008 for anything but `_<uuid><atSign>:<uuid>`: a server must not get other texts signed (page 05, 2.3)
 */
async function challengeOf(link: Link, atSign: AtSign): Promise<string> {
  const challenge = replyData(await link.request(`from:${atSign}`))
  if (challengeShape.exec(challenge)?.[1] !== atSign) {
    throw new AtError('AT0008', `The atServer of ${atSign} sent no challenge of its own; nothing was signed`)
  }
  return challenge
}

async function expectSuccess(link: Link, line: string): Promise<void> {
  const reply = replyData(await link.request(line))
  if (reply !== 'success') throw new AtError('AT0008', 'The atServer answered the login with neither success nor error')
}

/** Logs in by signing the challenge, with the enrollment that the keys belong to. @throws AtError as answered, AT0008 */
export async function pkamLogin(link: Link, keys: AtKeys): Promise<void> {
  const challenge = await challengeOf(link, keys.atSign)
  const enrollment = keys.enrollmentId === undefined ? '' : `enrollmentId:${keys.enrollmentId}:`
  const signature = signRsa(keys.pkamPrivateKey, challenge)
  await expectSuccess(link, `pkam:signingAlgo:rsa2048:hashingAlgo:sha256:${enrollment}${signature}`)
}

/** Logs in with the secret of an atSign that is not activated. @throws AtError as answered, AT0008 */
export async function cramLogin(link: Link, atSign: AtSign, secret: string): Promise<void> {
  const challenge = await challengeOf(link, atSign)
  await expectSuccess(link, `cram:${cramDigest(secret, challenge)}`)
}

/** Opens a connection and logs in on it; the connection is closed when the login fails. @throws AtError */
export async function openSession(
  connect: Connect,
  login: (link: Link) => Promise<void>,
  options: LinkOptions & { clock: Clock },
): Promise<Link> {
  const link = openLink(await connect(), options)
  try {
    await link.ready
    await login(link)
    return link
  } catch (error) {
    link.close()
    throw error
  }
}
