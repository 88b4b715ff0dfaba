import type { AtSign } from '../core/at-sign.ts'
import { AtError } from '../core/errors.ts'
import type { PeerCertificate } from '../core/session.ts'
import { type RegistrationLine, refusalOf } from './registration.ts'
import { type DirectoryTable, parseAddress } from './table.ts'

/** Where entries that change are kept: on this machine, or in Redis. */
export interface EntryStore {
  /** @throws AtError AT0021 when it cannot be asked now and the answer is not known */
  get(atSign: AtSign): string | undefined | Promise<string | undefined>
  /** Sets an entry whose address is `before` now (undefined: none). @returns false when it is another one meanwhile */
  replace(atSign: AtSign, address: string, before: string | undefined): Promise<boolean>
  /**
   * @param before the address that the entry has to have; any unless told
   * @returns whether it was there
   */
  remove(atSign: AtSign, before?: string): Promise<boolean>
  /** At most `limits.directoryEntries`. */
  list(): Promise<readonly Entry[]>
  /** A plain value for `atedge status`. */
  status(): Readonly<Record<string, unknown>>
  close(): Promise<void>
}

/** One atSign and where its atServer listens: `host:port`. */
export interface Entry {
  readonly atSign: AtSign
  readonly address: string
}

/** An entry as it is listed; a fixed one comes from the configuration and is changed there alone. */
export interface ListedEntry extends Entry {
  readonly fixed: boolean
}

/** Every entry of one atDirectory. */
export interface Entries {
  get(atSign: AtSign): string | undefined | Promise<string | undefined>
  /** Sets an entry in the name of who runs the directory. @throws AtError AT0022 for a bad address or a fixed entry */
  add(atSign: AtSign, address: string): Promise<void>
  /** @returns whether it was there. @throws AtError AT0022 for a fixed entry */
  remove(atSign: AtSign): Promise<boolean>
  list(): Promise<readonly ListedEntry[]>
  /**
   * Sets or removes an entry in the name of a device.
   * @returns whether anything changed
   * @throws AtError AT0401 when its certificate does not speak for it, or for where another directory knows the atSign to
   *   be; AT0021 while that one does not answer; AT0009 for a fixed entry
   */
  register(line: RegistrationLine, certificate: PeerCertificate | undefined): Promise<boolean>
}

const attempts = 3

/**
 * @param options `fixed` are entries of the configuration, and of the device itself: they win over the store's. `elsewhere`
 *   asks the directory that answers for atSigns without an entry here; it throws while that does not answer.
 */
export function createEntries(options: {
  fixed: DirectoryTable
  store: EntryStore
  elsewhere?: ((atSign: AtSign) => Promise<string | undefined>) | undefined
}): Entries {
  const { fixed, store, elsewhere } = options
  const get: Entries['get'] = (atSign) => fixed.get(atSign) ?? store.get(atSign)

  const refuseFixed = (atSign: AtSign): void => {
    if (fixed.get(atSign) === undefined) return
    throw new AtError('AT0022', `${atSign} is an entry of the configuration: change it there`)
  }

  /** Judges the entry that is there and changes that one; another change in between has it judged again. */
  const change = async (
    atSign: AtSign,
    address: string | undefined,
    judge: (present: string | undefined) => void | Promise<void>,
  ): Promise<boolean> => {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const present = await store.get(atSign)
      await judge(present)
      if (present === address) return false
      if (address !== undefined ? await store.replace(atSign, address, present) : await store.remove(atSign, present)) {
        return true
      }
    }
    throw new AtError('AT0010', `the entry of ${atSign} is being changed by others; try again`)
  }

  /** Where an atSign without an entry is now, for who looks it up here. */
  const addressElsewhere = async (atSign: AtSign): Promise<string | undefined> => {
    try {
      return await elsewhere?.(atSign)
    } catch (cause) {
      const reason = `${atSign} may belong to another device: the directory that knows does not answer; try again later`
      throw new AtError('AT0021', reason, { cause })
    }
  }

  return {
    get,
    async add(atSign, address) {
      refuseFixed(atSign)
      if (parseAddress(address) === undefined) {
        throw new AtError('AT0022', `the address of ${atSign} has to be host:port, not "${address.slice(0, 64)}"`)
      }
      await change(atSign, address, () => {})
    },
    async remove(atSign) {
      refuseFixed(atSign)
      return store.remove(atSign)
    },
    async list() {
      const own = fixed.entries().map(([name, address]) => ({ atSign: `@${name}` as const, address, fixed: true }))
      const names = new Set(own.map(({ atSign }) => atSign as AtSign))
      const stored = (await store.list()).filter(({ atSign }) => !names.has(atSign))
      return [...own, ...stored.map((entry) => ({ ...entry, fixed: false }))]
    },
    async register(line, certificate) {
      const { atSign, address } = line
      const judge = (present: string | undefined): void => {
        const refusal = refusalOf(line, certificate, present)
        if (refusal !== undefined) throw refusal
      }
      if (fixed.get(atSign) !== undefined) {
        judge(fixed.get(atSign))
        if (fixed.get(atSign) === address) return false
        throw new AtError('AT0009', `${atSign} is an entry of the directory's configuration`)
      }
      return change(atSign, address, async (present) => {
        judge(present)
        // A new entry hides the one that others have been given until now.
        if (present === undefined && address !== undefined) judge(await addressElsewhere(atSign))
      })
    },
  }
}
