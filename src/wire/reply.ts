import type { Identity } from '../core/access.ts'
import { type AtError, catalogue } from '../core/errors.ts'
import type { Pattern } from '../core/pattern.ts'
import type { Session } from '../core/session.ts'

/** What a `monitor` command asks to be sent. */
export interface Subscription {
  /** Replay stored notifications later than this; undefined replays nothing. */
  readonly since: number | undefined
  readonly pattern: Pattern | undefined
  /** Also deliver type `self`. */
  readonly selfNotifications: boolean
  /** Statistics lines only when the pattern matches them. */
  readonly strict: boolean
  /** Nothing between a command of the same connection and its reply. */
  readonly multiplexed?: boolean
}

/** The answer to one command, as a value. */
export interface Reply {
  /** Text in front of the prompt, without LF; undefined when the prompt is the whole answer (`pol`). */
  readonly text: string | undefined
  /** False when nothing at all is written (`monitor`). */
  readonly answered: boolean
  /** The session from now on; the prompt is already that of the new one. */
  readonly become?: Partial<Pick<Session, 'identity' | 'challenge' | 'clientVersion'>>
  readonly subscribe?: Subscription
  /** A refusal that also changes the session: a spent challenge, a lost login. */
  readonly error?: AtError
  /** True when the connection closes without another byte (`@exit`). */
  readonly hangUp?: true
}

type Become = NonNullable<Reply['become']>

/** `data:` and a result; null is the literal text `null` (page 01, section 4). */
export const data = (text: string | null): Reply => ({ text: `data:${text}`, answered: true })

/** `data: ` with the blank that clients of `stats` expect. */
export const dataSpaced = (text: string): Reply => ({ text: `data: ${text}`, answered: true })

/** A reply that changes who stands behind the connection. */
export const become = (change: Become, reply: Reply): Reply => ({ ...reply, become: change })

/** An error that also changes the session. */
export const refuse = (change: Become, error: AtError): Reply => ({
  text: undefined,
  answered: true,
  become: change,
  error,
})

/** Nothing more is said. */
export const hangUp: Reply = { text: undefined, answered: false, hangUp: true }

/** Only the new prompt: the success of `pol`. */
export const promptOnly = (change: Become): Reply => ({ text: undefined, answered: true, become: change })

/** No answer now; notifications follow (page 04, section 9). */
export const stream = (subscription: Subscription): Reply => ({
  text: undefined,
  answered: false,
  subscribe: subscription,
})

const controls = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]+/g

/**
 * A description that no client can misread: one line, without the text `data:` that Java and Python search for
 * before `error:` (page 01, 5.5).
 */
const oneLine = (text: string): string => text.replace(controls, ' ').replaceAll('data:', 'data :').slice(0, 1_000)

const version = /^(\d+)\.(\d+)\.(\d+)(?:[-+].*)?$/

/** Whether a client announced a version above 3.0.37 and so asked for JSON errors; malformed versions did not. */
export function wantsJsonErrors(clientVersion: string | undefined): boolean {
  const match = version.exec(clientVersion ?? '')
  if (match === null) return false
  const [major, minor, patch] = match.slice(1).map(Number) as [number, number, number]
  if (major !== 3) return major > 3
  return minor > 0 || patch > 37
}

/** The error line of a session, without LF (page 01, 5.1 and 5.2). */
export function errorLine(error: AtError, who: Identity, clientVersion: string | undefined): string {
  const message = oneLine(error.message)
  if (error.shape === 'colon') return `error:${error.code}:${message}`
  const description = who.kind === 'owner' ? `${catalogue[error.code].text} : ${message}` : `Exception: ${message}`
  if (!wantsJsonErrors(clientVersion)) return `error:${error.code}-${description}`
  return `error:${JSON.stringify({ errorCode: error.code, errorDescription: description })}`
}
