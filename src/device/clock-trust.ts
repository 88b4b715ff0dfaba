import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type Clock, elapsed, type Voucher } from '../core/clock.ts'

/** What systemd-timesyncd keeps: its folder while it runs, and the file in it once it has set the clock since the boot. */
const timesync = { folder: '/run/systemd/timesync', file: 'synchronized' }

/** How long an answer of the file system holds: two look-ups a command would cost more than they tell. */
const lookEveryMs = 10_000

/**
 * The clock of the machine, with who vouches for it: the operator, by setting; systemd-timesyncd, by its file; or nobody,
 * where that service does not run.
 * @param options `trusted`: the operator says that the wall clock is right, as on a board with a battery behind it
 */
export function vouchedClock(base: Clock, options: { trusted: boolean; folder?: string }): Clock {
  const { trusted, folder = timesync.folder } = options
  let known: { at: number; voucher: Voucher } | undefined

  const look = (): Voucher => {
    if (existsSync(join(folder, timesync.file))) return 'timesync'
    return existsSync(folder) ? 'waiting' : 'nobody'
  }

  return {
    ...base,
    vouch() {
      if (trusted) return 'setting'
      // What the service has set once stays set.
      if (known?.voucher === 'timesync') return known.voucher
      const at = elapsed(base)
      if (known === undefined || at - known.at >= lookEveryMs) known = { at, voucher: look() }
      return known.voucher
    },
  }
}
