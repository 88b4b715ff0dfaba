import type { Clock } from '../core/clock.ts'

/** One connection's share of what its client may do. */
export interface ClientShare {
  /** Takes so many lookups from the allowance. @returns milliseconds to wait before the work; 0 within the allowance */
  take(lookups: number): number
  /** The connection is over. */
  leave(): void
}

/** What each client of an atDirectory has open and has asked, by address. */
export interface Clients {
  /** @returns undefined when the client has as many connections as it may */
  admit(remoteAddress: string): ClientShare | undefined
  /**
   * As `ClientShare.take`, for a client that has a connection and is refused rather than answered later: what it may not
   * ask yet costs nothing, else one that keeps asking would never be answered again.
   */
  take(remoteAddress: string, lookups: number): number
}

interface Account {
  connections: number
  /** Lookups that may be made at once; below 0 what was made too early. */
  allowance: number
  countedAt: number
}

const ipv6Groups = 4

/** One client: an IPv4 address, or the network of an IPv6 one, since every home gets 2^64 of those. */
function clientOf(remoteAddress: string): string {
  const address = remoteAddress.replace(/^::ffff:(?=\d+\.)/i, '').replace(/%.*$/, '')
  if (!address.includes(':')) return address
  const [head = '', tail] = address.split('::', 2)
  const before = head === '' ? [] : head.split(':')
  const after = tail === undefined || tail === '' ? [] : tail.split(':')
  const zeros = Array.from({ length: Math.max(0, 8 - before.length - after.length) }, () => '0')
  return [...before, ...zeros, ...after].slice(0, ipv6Groups).join(':')
}

/**
 * Counts connections and lookups of each client. Who asks faster than allowed is answered later, by HTTP refused.
 * @param options `perSecond` lookups of one client, as many of which may come at once
 */
export function createClients(options: { clock: Clock; connections: number; perSecond: number }): Clients {
  const { clock, connections, perSecond } = options
  const accounts = new Map<string, Account>()

  const refill = (account: Account): void => {
    const now = clock.now()
    const passed = Math.max(0, now - account.countedAt)
    account.allowance = Math.min(perSecond, account.allowance + (passed * perSecond) / 1_000)
    account.countedAt = now
  }

  const takeFrom = (account: Account, lookups: number): number => {
    refill(account)
    account.allowance -= lookups
    return account.allowance >= 0 ? 0 : Math.ceil((-account.allowance / perSecond) * 1_000)
  }

  /** An account is kept until its debt is paid: hanging up and coming back must not be cheaper than waiting. */
  const settle = (name: string, account: Account): void => {
    refill(account)
    const missing = perSecond - account.allowance
    if (account.connections > 0 || accounts.get(name) !== account) return
    if (missing <= 0) accounts.delete(name)
    else clock.after(Math.ceil((missing / perSecond) * 1_000), () => settle(name, account))
  }

  return {
    take(remoteAddress, lookups) {
      const account = accounts.get(clientOf(remoteAddress))
      if (account === undefined) return 0
      const ms = takeFrom(account, lookups)
      if (ms > 0) account.allowance += lookups
      return ms
    },
    admit(remoteAddress) {
      const name = clientOf(remoteAddress)
      const account = accounts.get(name) ?? { connections: 0, allowance: perSecond, countedAt: clock.now() }
      if (account.connections >= connections) return undefined
      accounts.set(name, account)
      account.connections++
      let open = true
      return {
        take: (lookups) => takeFrom(account, lookups),
        leave() {
          if (!open) return
          open = false
          account.connections--
          settle(name, account)
        },
      }
    },
  }
}
