import { type AtSign, bareName } from '../core/at-sign.ts'
import type { Clock } from '../core/clock.ts'
import { AtError, isErrorCode } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'
import { createEnquiries } from './enquiry.ts'
import type { DirectoryServer } from './resolver.ts'

/** Keeps a device's entry in the directories of its network right. */
export interface Registrant {
  /** A plain value for `atedge status`. */
  status(): Readonly<Record<string, unknown>>
  close(): void
}

export interface RegistrantOptions {
  readonly atSign: AtSign
  /** `host:port` of the atServer. */
  readonly address: string
  /** Directories that share their entries, or a single one: the first that answers is told. */
  readonly servers: readonly DirectoryServer[]
  readonly clock: Clock
  readonly log: Log
  /** A number from 0 to 1 that spreads repetitions; injected by tests. */
  readonly random?: () => number
}

/** A directory that lost its entries learns this one again within this time. */
const repeatMs = 600_000
const firstPauseMs = 1_000
const longestPauseMs = 300_000

/** @throws AtError what the directory said, or AT0022 when it takes no registrations */
function readAnswer(answer: string, name: string): void {
  if (answer.startsWith('data:')) return
  const [, code = '', reason = ''] = /^error:(AT\d{4})-(.*)$/.exec(answer) ?? []
  if (isErrorCode(code)) throw new AtError(code, `${name} refused the registration: ${reason.slice(0, 200)}`)
  throw new AtError('AT0022', `${name} takes no registrations`)
}

/**
 * Registers an atSign with its directory (wire: `registration.ts`), again every ten minutes and after failures with growing
 * pauses. Needs connections that show the device's certificate.
 */
export function keepRegistered(options: RegistrantOptions): Registrant {
  const { atSign, address, servers, clock, log, random = Math.random } = options
  const enquiries = servers.map(({ name, dial }) => ({
    name,
    ...createEnquiries({ clock, dial, name, replyMs: limits.peerReplyMs }),
  }))
  let closed = false
  let cancel = (): void => {}
  let failures = 0
  let told: string | undefined
  let registered: { readonly with: string; readonly at: number } | undefined

  const line = `@register:${bareName(atSign)}:${address}`

  const registerOnce = async (): Promise<string> => {
    let failure: unknown
    for (const { name, ask } of enquiries) {
      try {
        readAnswer(await ask(line), name)
        return name
      } catch (error) {
        failure = error
      }
    }
    throw failure
  }

  const succeed = (name: string): number => {
    if (registered === undefined || told !== undefined) {
      log('info', 'registered with the directory', { directory: name, atSign, address })
    }
    failures = 0
    told = undefined
    registered = { with: name, at: clock.now() }
    return repeatMs
  }

  const fail = (error: unknown): number => {
    const reason = error instanceof Error ? error.message : String(error)
    if (reason !== told) log('warn', 'not registered with the directory', { atSign, address, reason })
    told = reason
    return Math.min(firstPauseMs * 2 ** failures++, longestPauseMs)
  }

  const run = async (): Promise<void> => {
    const pauseMs = await registerOnce().then(succeed, fail)
    if (!closed) cancel = clock.after(pauseMs * (0.8 + 0.4 * random()), () => void run())
  }
  void run()

  return {
    status: () => ({
      address,
      ...(registered === undefined ? {} : { with: registered.with, at: new Date(registered.at).toISOString() }),
      ...(told === undefined ? {} : { problem: told }),
    }),
    close() {
      closed = true
      cancel()
      for (const { close } of enquiries) close()
    },
  }
}
