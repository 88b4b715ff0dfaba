import { type AtSign, bareName } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import { whenKnown } from '../core/when-known.ts'
import { keyFingerprint, newAesKey, unwrapKey, wrapKey } from '../crypto/cipher.ts'
import type { AtKeys } from '../crypto/keys-file.ts'
import { replyData } from '../wire/link.ts'
import { createMemo } from './memo.ts'

/** What is needed to write for one recipient. */
export interface OutgoingKey {
  /** Base64 of the AES key of this direction. */
  readonly aesKey: string
  /** The same wrapped for the recipient, and the fingerprint of the public key that wraps it; undefined while that key is out of reach. */
  readonly inline: { readonly sharedKeyEnc: string; readonly pubKeyCS: string } | undefined
}

/** What to do for a recipient whose public key cannot be had: refuse, or write now and hand over the key later. */
export type Unreachable = 'refuse' | 'defer'

/** The AES keys of pairs of atSigns (page 05, sections 1.2 and 1.3). Remembered for the latest thousand atSigns. */
export interface PairKeys {
  /** The key for a recipient, made and stored if there is none yet, and at once if it is known. @throws AtError, also for a recipient out of reach unless those are deferred */
  outgoing(recipient: AtSign): OutgoingKey | Promise<OutgoingKey>
  /**
   * Keys under which an own record for a recipient may have been written, the likeliest first; each is fetched only when it
   * is asked for. Those that the atServer set aside when the recipient had a new encryption key (page 03, section 12) come
   * first for a record that names the recipient's former one.
   */
  own(recipient: AtSign, written?: Written): AsyncIterable<string>
  /** Keys that may open what `sender` wrote, the likeliest first; each is fetched only when it is asked for. */
  incoming(sender: AtSign, sharedKeyEnc: string | undefined): AsyncIterable<string>
}

/** What the metadata of an own record say of the key that it was written with. */
export interface Written {
  /** Fingerprint of the recipient's public key at that time. */
  readonly pubKeyCS?: string | undefined
  /** Milliseconds since the epoch. */
  readonly at?: number | undefined
}

const retiredName = (recipient: AtSign): string => `retired ${recipient}`
const publicName = (recipient: AtSign): string => `public ${recipient}`
const isLost = (error: unknown): boolean => !(error instanceof AtError) || error.code === 'AT0004'

const ownName = (recipient: AtSign): string => `own ${recipient}`

const remembered = 1_000
/** Seconds for which a recipient may keep its copy: 45 days, as Dart writes it. */
const copySeconds = 3_888_000
/** Public keys change when an atSign is activated anew; after this many milliseconds they are asked for again. */
const refreshMs = 3_600_000
/** A recipient that was out of reach is asked for its public key again after this many milliseconds. */
const retryMs = 60_000

/**
 * @param request sends a command line whose repetition changes nothing
 * @param now milliseconds since the epoch
 */
export function createPairKeys(
  keys: AtKeys,
  request: (line: string) => Promise<string>,
  now: () => number,
  unreachable: Unreachable = 'refuse',
): PairKeys {
  const { atSign: self, encryptPrivateKey } = keys
  const outgoing = createMemo<OutgoingKey & { readonly until: number }>(remembered)
  const fetched = createMemo<string>(remembered)
  const opened = createMemo<string>(remembered)

  /** The value of a record, or undefined when it is not there; a literal `null` counts as missing (page 05, 1.3). */
  const read = async (line: string): Promise<string | undefined> => {
    try {
      const value = replyData(await request(line))
      return value === 'null' || value === '' ? undefined : value
    } catch (error) {
      if (error instanceof AtError && error.code === 'AT0015') return undefined
      throw error
    }
  }

  const write = async (line: string): Promise<void> => {
    replyData(await request(line))
  }

  const unwrap = (wrapped: string): string | undefined => {
    try {
      return unwrapKey(encryptPrivateKey, wrapped)
    } catch {
      return undefined
    }
  }

  const readOwn = async (recipient: AtSign): Promise<string | undefined> => {
    const wrapped = await read(`llookup:shared_key.${bareName(recipient)}${self}`)
    return wrapped === undefined ? undefined : unwrap(wrapped)
  }

  const createOwn = async (recipient: AtSign): Promise<string> => {
    const aesKey = newAesKey()
    await write(`delete:${recipient}:shared_key${self}`)
    const wrapped = wrapKey(keys.encryptPublicKey, aesKey)
    await write(`update:isEncrypted:false:shared_key.${bareName(recipient)}${self} ${wrapped}`)
    fetched.forget(ownName(recipient))
    return aesKey
  }

  const publicKeyOf = async (recipient: AtSign): Promise<string> => {
    const publicKey = await read(`plookup:publickey${recipient}`)
    if (publicKey === undefined) throw new AtError('AT0015', `${recipient} has published no encryption key`)
    return publicKey
  }

  const prepare = async (recipient: AtSign): Promise<OutgoingKey & { until: number }> => {
    const aesKey = (await readOwn(recipient)) ?? (await createOwn(recipient))
    const theirCopy = await read(`llookup:${recipient}:shared_key${self}`)
    let publicKey: string
    let sharedKeyEnc: string
    try {
      publicKey = await publicKeyOf(recipient)
      sharedKeyEnc = wrapForOther(recipient, publicKey, aesKey)
    } catch (error) {
      // Whatever the recipient's server says or fails to say, it must not keep a device from storing its own records.
      if (unreachable === 'refuse' || !(error instanceof AtError)) throw error
      return { aesKey, inline: undefined, until: now() + retryMs }
    }
    if (theirCopy === undefined) {
      await write(`update:ttr:${copySeconds}:isEncrypted:false:${recipient}:shared_key${self} ${sharedKeyEnc}`)
    }
    const inline = { sharedKeyEnc, pubKeyCS: keyFingerprint(publicKey) }
    return { aesKey, inline, until: now() + refreshMs }
  }

  const open = async (line: string): Promise<string | undefined> => {
    const wrapped = await read(line)
    return wrapped === undefined ? undefined : unwrap(wrapped)
  }

  /** A cached copy that is not ours to read must not hide the original. */
  const openCopy = async (sender: AtSign): Promise<string | undefined> => {
    try {
      return await open(`llookup:cached:${self}:shared_key${sender}`)
    } catch (error) {
      if (error instanceof AtError && error.code !== 'AT0004') return undefined
      throw error
    }
  }

  const fetchKey = async (sender: AtSign): Promise<string> => {
    const key = (await openCopy(sender)) ?? (await open(`lookup:shared_key${sender}`))
    if (key === undefined) throw new AtError('AT0015', `${sender} shares no key with ${self}`)
    return key
  }

  const openInline = async (wrapped: string): Promise<string | undefined> => {
    try {
      return await opened.get(wrapped, async () => unwrapKey(encryptPrivateKey, wrapped))
    } catch {
      return undefined
    }
  }

  async function* incoming(sender: AtSign, sharedKeyEnc: string | undefined): AsyncGenerator<string> {
    if (sharedKeyEnc !== undefined) {
      const inline = await openInline(sharedKeyEnc)
      if (inline !== undefined) yield inline
    }
    const known = await fetched.get(sender, () => fetchKey(sender))
    yield known
    // The copy may be older than the key that the value was written with.
    fetched.forget(sender)
    const current = await open(`lookup:bypassCache:true:shared_key${sender}`)
    if (current === undefined || current === known) return
    await fetched.get(sender, async () => current)
    yield current
  }

  /** When the keys of a recipient were set aside, in order; none where this client may not list them. */
  const retiredTimes = async (recipient: AtSign): Promise<number[]> => {
    const prefix = `shared_key.${bareName(recipient)}.until.`
    const pattern = `^${prefix.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')}`
    try {
      const text = await fetched.get(retiredName(recipient), async () => replyData(await request(`scan ${pattern}`)))
      const listed: unknown = JSON.parse(text)
      const times = (Array.isArray(listed) ? listed : []).flatMap((key) => {
        const time = typeof key === 'string' && key.startsWith(prefix) ? key.slice(prefix.length, -self.length) : ''
        return /^\d{1,15}$/.test(time) ? [Number(time)] : []
      })
      return times.sort((one, other) => one - other)
    } catch (error) {
      if (error instanceof AtError && error.code === 'AT0004') throw error
      return []
    }
  }

  /** Keys that were set aside at these times. */
  async function* retired(recipient: AtSign, times: readonly number[]): AsyncGenerator<string> {
    for (const time of times) {
      const key = await open(`llookup:shared_key.${bareName(recipient)}.until.${time}${self}`)
      if (key !== undefined) yield key
    }
  }

  const namesFormerKey = async (recipient: AtSign, pubKeyCS: string): Promise<boolean> => {
    try {
      return keyFingerprint(await fetched.get(publicName(recipient), () => publicKeyOf(recipient))) !== pubKeyCS
    } catch (error) {
      if (isLost(error)) throw error
      return false
    }
  }

  async function* current(recipient: AtSign): AsyncGenerator<string> {
    const fetchOwn = async (): Promise<string> => {
      const key = await readOwn(recipient)
      if (key === undefined) throw new AtError('AT0015', `${self} has no key for ${recipient}`)
      return key
    }
    const known = await fetched.get(ownName(recipient), fetchOwn)
    yield known
    // Another client of this atSign may have replaced it.
    fetched.forget(ownName(recipient))
    const next = await fetched.get(ownName(recipient), fetchOwn)
    if (next !== known) yield next
  }

  async function* own(recipient: AtSign, { pubKeyCS, at = 0 }: Written = {}): AsyncGenerator<string> {
    const isFormer = pubKeyCS !== undefined && (await namesFormerKey(recipient, pubKeyCS))
    // The first key that was set aside after the record was written is the one of its time.
    if (isFormer)
      yield* retired(
        recipient,
        (await retiredTimes(recipient)).filter((time) => time >= at),
      )
    let missing: unknown
    try {
      yield* current(recipient)
    } catch (error) {
      if (isLost(error)) throw error
      // After a key was set aside there is none until something is written again.
      missing = error
    }
    const times = await retiredTimes(recipient)
    yield* retired(recipient, isFormer ? times.filter((time) => time < at) : times)
    // None of them was it: another may have been set aside since.
    fetched.forget(retiredName(recipient))
    if (missing !== undefined) throw missing
  }

  return {
    outgoing(recipient) {
      const make = () => prepare(recipient)
      return whenKnown(outgoing.get(recipient, make), (found) => {
        const left = found.until - now()
        if (left > 0 && left <= refreshMs) return found
        outgoing.forget(recipient, found)
        return outgoing.get(recipient, make)
      })
    },
    own,
    incoming,
  }
}

function wrapForOther(recipient: AtSign, publicKey: string, aesKey: string): string {
  try {
    return wrapKey(publicKey, aesKey)
  } catch (cause) {
    throw new AtError('AT0011', `The public key of ${recipient} cannot be used to encrypt`, { cause })
  }
}
