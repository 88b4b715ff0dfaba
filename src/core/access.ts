import { type AtKey, atServerNamespace, keyKind, makeAtKey, parseAtKey } from './at-key.ts'
import type { AtSign } from './at-sign.ts'
import { type Grant, primaryEnrollment, rootGrants } from './enrollment.ts'
import { AtError, keyNotFound } from './errors.ts'

/** Who stands behind a connection. */
export type Identity =
  | { readonly kind: 'anyone' }
  /** The owner by CRAM secret, or one of the owner's enrollments. */
  | { readonly kind: 'owner'; readonly via: 'cram' }
  | {
      readonly kind: 'owner'
      readonly via: 'pkam'
      readonly enrollmentId: string
      readonly namespaces: Readonly<Record<string, Grant>>
    }
  /** The server of another atSign, proven by `pol`. */
  | { readonly kind: 'peer'; readonly atSign: AtSign }

/** The full owner by the credential of the onboarding; it may not replace that credential, as only the CRAM secret may. */
export const rootIdentity: Identity = {
  ...{ kind: 'owner', via: 'pkam', enrollmentId: primaryEnrollment, namespaces: rootGrants },
}

/** One thing that a command wants to do to one key. `verb` only words the refusal. */
export interface Access {
  readonly op: 'read' | 'write'
  readonly key: AtKey
  readonly verb: string
}

type Enrolled = Extract<Identity, { via: 'pkam' }>

const covers = (grant: Grant | undefined, op: Access['op']): boolean =>
  grant === 'rw' || (grant === 'r' && op === 'read')

const isRoot = (who: Enrolled): boolean => who.namespaces['*'] === 'rw' && who.namespaces['__manage'] === 'rw'

/** The grant of the longest enrolled namespace that is the key's name tail, else that of `*`. */
function grantFor(who: Enrolled, entity: string): Grant | undefined {
  let best: string | undefined
  for (const namespace of Object.keys(who.namespaces)) {
    if (entity.endsWith(`.${namespace}`) && namespace.length > (best?.length ?? 0)) best = namespace
  }
  if (best !== undefined) return who.namespaces[best]
  return who.namespaces['*']
}

const credentialText =
  'privatekey:at_pkam_publickey may not be written. It is the credential legacy PKAM authenticates against, ' +
  'it carries no enrollment id, and nothing can revoke it once it is installed. Enrol a credential with ' +
  'enroll:request and rotate it with enroll:update, both of which leave a record that can be withdrawn'

function enrolledMay(who: Enrolled, { op, key }: Access): boolean {
  if (key.entity.endsWith('.__manage') || key.entity === '__manage') return false
  if (key.scope === 'privatekey' || key.scope === 'private') {
    // The CRAM secret may be deleted by a root enrollment and never written by anybody (page 08, 7.3).
    return op === 'write' && isRoot(who)
  }
  if (keyKind(key) === 'reserved') {
    if (op === 'read') return true
    if (key.entity === 'shared_key' || key.entity.startsWith('shared_key.')) {
      return Object.values(who.namespaces).includes('rw')
    }
    // Copies of another atSign's keys are records like any other (page 08, 7.3).
    if (!key.cached) return isRoot(who)
  }
  if (!key.cached && key.entity.endsWith(`.${atServerNamespace}`)) return op === 'read'
  return covers(grantFor(who, key.entity), op)
}

/**
 * The only judge of what a session may do to a key.
 * @returns undefined when permitted, else the error to answer
 */
export function permits(who: Identity, access: Access): AtError | undefined {
  const { key, op, verb } = access
  if (who.kind === 'owner') {
    if (who.via === 'cram') return undefined
    if (op === 'write' && key.text === 'privatekey:at_pkam_publickey') return new AtError('AT0009', credentialText)
    if (op === 'read' && key.scope === 'public') return undefined
    if (enrolledMay(who, access)) return undefined
    return new AtError(
      'AT0009',
      `Connection with enrollment ID ${who.enrollmentId} is not authorized to ${verb} key: ${key.text}`,
    )
  }
  if (op === 'write') return new AtError('AT0401', 'Command cannot be executed without auth')
  // Strangers and peers learn nothing about records that are not theirs, not even that they exist.
  const visible =
    who.kind === 'peer' ? key.sharedWith === who.atSign && key.scope === undefined : key.scope === 'public'
  return visible && !key.cached ? undefined : keyNotFound(key.text)
}

/** The record that `lookup` means for a caller: one, without fallback to another (page 03, section 9). */
export function lookupTarget(who: Identity, self: AtSign, entity: string): AtKey {
  if (who.kind === 'peer') return makeAtKey({ sharedWith: who.atSign, entity, owner: self })
  if (who.kind === 'owner') return makeAtKey({ sharedWith: self, entity, owner: self })
  return makeAtKey({ scope: 'public', entity, owner: self })
}

/** A key of a notification; texts and names that no record may have are not one. */
function notifiedKey({ key, messageType }: NotifiedKey): AtKey | undefined {
  if (messageType === 'text') return undefined
  try {
    return parseAtKey(key)
  } catch (error) {
    if (error instanceof AtError) return undefined
    throw error
  }
}

/** What is judged of a notification. */
interface NotifiedKey {
  readonly key: string
  readonly messageType: 'key' | 'text'
}

/**
 * Judges whether an owner session may see (`read`) or remove (`write`) a notification, by the namespace of its key
 * (page 08, 7.2). Texts and keys that do not parse have none: only a grant of `*` covers them (page 08, 7.1).
 * @returns undefined when permitted, else the error to answer
 */
export function permitsNotification(
  who: Identity,
  op: Access['op'],
  notification: NotifiedKey,
  verb: string,
): AtError | undefined {
  const key = notifiedKey(notification)
  if (key !== undefined) return permits(who, { op, key, verb })
  if (who.kind !== 'owner') return keyNotFound(notification.key)
  if (who.via === 'cram') return undefined
  if (covers(who.namespaces['*'], op)) return undefined
  return new AtError('AT0009', `Connection with enrollment ID ${who.enrollmentId} is not authorized to ${verb}`)
}

/** One exchange between this atSign and another: a notification that leaves or arrives. */
export interface Exchange {
  readonly direction: 'in' | 'out'
  readonly self: AtSign
  /** The other side: proven by `pol` when `in`, the recipient when `out`. */
  readonly peer: AtSign
  /** Recipient named by the command; undefined for a public key. */
  readonly recipient: AtSign | undefined
  /** Owner named by the key; undefined for text notifications and keys without one. */
  readonly owner: AtSign | undefined
  readonly messageType: 'key' | 'text'
  /** The owner has put the other side on the block list. */
  readonly blocked: boolean
}

/**
 * Judges every exchange between two atSigns, in both directions, in this one place (page 07, 16.3).
 * @returns undefined when allowed, else AT0009; AT0013, as at `from`, to a blocked atSign
 */
export function permitsExchange(exchange: Exchange): AtError | undefined {
  const { direction, self, peer, recipient, owner } = exchange
  if (exchange.blocked) {
    if (direction === 'in') return new AtError('AT0013', 'Unable to connect')
    return new AtError('AT0009', `${peer} is on the block list of ${self}`)
  }
  if (direction === 'in' && recipient !== self) {
    return new AtError('AT0009', `Notification from ${peer} is for ${recipient ?? 'no atSign'}, not ${self}`)
  }
  if (exchange.messageType === 'text') return undefined
  const sender = direction === 'in' ? peer : self
  if (owner === undefined) return new AtError('AT0009', `Notification from ${sender} is of a key with no sharedBy`)
  if (owner !== sender) return new AtError('AT0009', `${owner} is not authorized to send notification as ${sender}`)
  return undefined
}
