import { cramLogin, openSession, pkamLogin } from '../client/login.ts'
import type { Connect } from '../client/types.ts'
import type { AtSign } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { type AtKeys, createAtKeys } from '../crypto/keys-file.ts'
import { type Link, replyData } from '../wire/link.ts'

export interface ActivationOptions {
  readonly atSign: AtSign
  /** The CRAM secret as text. */
  readonly secret: string
  readonly connect: Connect
  readonly clock: Clock
  /** Keys of an attempt that was interrupted; new ones are cut unless given. */
  readonly keys?: AtKeys
  /** Called before the secret is deleted, so that a crash between the two can lose nothing: write the keys file here. */
  readonly onKeys?: (keys: AtKeys) => Promise<void>
  readonly progress?: (step: string) => void
}

/** Runs work on a connection that is closed whatever comes of it. */
async function within<T>(session: Promise<Link>, work: (link: Link) => Promise<T>): Promise<T> {
  const link = await session
  try {
    return await work(link)
  } finally {
    link.close()
  }
}

const tell = async (link: Link, line: string): Promise<string> => replyData(await link.request(line))

/** Sentences for the refusals of `cram`, whose codes alone do not say what to do. */
function explain(error: unknown, atSign: AtSign): unknown {
  if (!(error instanceof AtError)) return error
  if (error.code === 'AT0401') {
    return new AtError('AT0401', `The activation secret is not the one of ${atSign}`, { cause: error })
  }
  if (error.code === 'AT0015') {
    return new AtError('AT0032', `${atSign} is activated already: its activation secret is gone`, { cause: error })
  }
  return error
}

async function installCredential(options: ActivationOptions, keys: AtKeys): Promise<void> {
  const { atSign, secret, connect, clock } = options
  const login = (link: Link): Promise<void> => cramLogin(link, atSign, secret)
  const session = openSession(connect, login, { clock }).catch((error: unknown) => {
    throw explain(error, atSign)
  })
  await within(session, (link) => tell(link, `update:privatekey:at_pkam_publickey ${keys.pkamPublicKey}`))
}

/** True when these keys log in already: an earlier attempt with them got at least as far as the credential. */
async function logsIn({ connect, clock }: ActivationOptions, keys: AtKeys): Promise<boolean> {
  try {
    await within(
      openSession(connect, (link) => pkamLogin(link, keys), { clock }),
      async () => {},
    )
    return true
  } catch (error) {
    if (error instanceof AtError && error.code === 'AT0401') return false
    throw error
  }
}

/**
 * Turns the secret of a new atServer into its owner's keys (page 02, section 12): the credential by CRAM, a login that
 * proves it, the public key, the end of the secret. Safe to repeat with the same keys after any interruption.
 * @returns the keys, given or new; their legacy credential is the enrollment `primary`, so they carry no id
 * @throws AtError AT0401 for a wrong secret, AT0032 when the atSign is activated with other keys,
 *   AT0022 for keys of another atSign
 */
export async function activate(options: ActivationOptions): Promise<AtKeys> {
  const { atSign, connect, clock, progress = () => {} } = options
  if (options.keys === undefined) progress('cutting keys')
  const keys = options.keys ?? (await createAtKeys(atSign))
  if (keys.atSign !== atSign)
    throw new AtError('AT0022', `The keys given are those of ${keys.atSign}, not of ${atSign}`)
  const repeated = options.keys !== undefined && (await logsIn(options, keys))
  if (!repeated) {
    progress('installing the credential')
    await installCredential(options, keys)
  }
  progress('logging in with the new keys')
  await within(
    openSession(connect, (link) => pkamLogin(link, keys), { clock }),
    async (link) => {
      progress('publishing the public key')
      await tell(link, `update:isEncrypted:false:public:publickey${atSign} ${keys.encryptPublicKey}`)
      await options.onKeys?.(keys)
      progress('deleting the activation secret')
      await tell(link, 'delete:privatekey:at_secret')
    },
  )
  return keys
}
