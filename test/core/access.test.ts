import { describe, expect, test } from 'vitest'
import { type Exchange, type Identity, lookupTarget, permits, permitsExchange } from '../../src/core/access.ts'
import { parseAtKey } from '../../src/core/at-key.ts'
import { type Grant, rootGrants } from '../../src/core/enrollment.ts'

const enrolled = (namespaces: Record<string, Grant>): Identity => ({
  kind: 'owner',
  via: 'pkam',
  enrollmentId: 'e1',
  namespaces,
})

const callers: Record<string, Identity> = {
  cram: { kind: 'owner', via: 'cram' },
  root: enrolled(rootGrants),
  all: enrolled({ '*': 'rw' }),
  'wavi:rw': enrolled({ wavi: 'rw' }),
  'wavi:r': enrolled({ wavi: 'r' }),
  none: enrolled({}),
  '@bob': { kind: 'peer', atSign: '@bob' },
  anyone: { kind: 'anyone' },
}

/**
 * What each caller may do to each key: r read, w write, - nothing. Pages 03 (1.5, 1.6, 9) and 08 (7.1 to 7.3).
 * Deviations: enrollments read no `privatekey:` and no `private:` record at all, and peers only what is shared with them.
 */
const table = `
key                                      cram  root  all   wavi:rw  wavi:r  none  @bob  anyone
public:phone.wavi@alice                  rw    rw    rw    rw       r       r     -     r
public:phone.buzz@alice                  rw    rw    rw    r        r       r     -     r
public:phone@alice                       rw    rw    rw    r        r       r     -     r
public:_hidden.wavi@alice                rw    rw    rw    rw       r       r     -     r
phone.wavi@alice                         rw    rw    rw    rw       r       -     -     -
phone.buzz@alice                         rw    rw    rw    -        -       -     -     -
phone@alice                              rw    rw    rw    -        -       -     -     -
wavi@alice                               rw    rw    rw    -        -       -     -     -
phonewavi@alice                          rw    rw    rw    -        -       -     -     -
phone.wavi.buzz@alice                    rw    rw    rw    -        -       -     -     -
_phone.wavi@alice                        rw    rw    rw    rw       r       -     -     -
@alice:phone.wavi@alice                  rw    rw    rw    rw       r       -     -     -
@bob:phone.wavi@alice                    rw    rw    rw    rw       r       -     r     -
@bob:phone.buzz@alice                    rw    rw    rw    -        -       -     r     -
@bob:_hidden@alice                       rw    rw    rw    -        -       -     r     -
@carol:phone.wavi@alice                  rw    rw    rw    rw       r       -     -     -
cached:@alice:phone.wavi@bob             rw    rw    rw    rw       r       -     -     -
cached:@bob:phone.wavi@carol             rw    rw    rw    rw       r       -     -     -
cached:public:phone.wavi@bob             rw    rw    rw    rw       r       r     -     -
cached:public:publickey@bob              rw    rw    rw    r        r       r     -     -
public:publickey@alice                   rw    rw    r     r        r       r     -     r
public:signing_publickey@alice           rw    rw    r     r        r       r     -     r
@bob:signing_privatekey@alice            rw    rw    r     r        r       r     r     -
@bob:shared_key@alice                    rw    rw    rw    rw       r       r     r     -
shared_key.bob@alice                     rw    rw    rw    rw       r       r     -     -
my_shared_key.bob@alice                  rw    rw    rw    -        -       -     -     -
x.__manage@alice                         rw    -     -     -        -       -     -     -
__manage@alice                           rw    -     -     -        -       -     -     -
1.events.__atserver@alice                rw    r     r     r        r       r     -     -
public:_x.__atserver@alice               rw    r     r     r        r       r     -     r
cached:@alice:x.__atserver@bob           rw    rw    rw    -        -       -     -     -
@bob:x.__manage@alice                    rw    -     -     -        -       -     r     -
private:blocklist@alice                  rw    w     -     -        -       -     -     -
private:@bob:pin.wavi@alice              rw    w     -     -        -       -     -     -
privatekey:at_secret                     rw    w     -     -        -       -     -     -
privatekey:at_pkam_publickey             rw    -     -     -        -       -     -     -
local:draft.wavi@alice                   rw    rw    rw    rw       r       -     -     -
local:@bob:draft.wavi@alice              rw    rw    rw    rw       r       -     -     -
`

const [head = '', ...rows] = table.trim().split('\n')
const names = head.split(/\s+/).slice(1)

describe('who may do what', () => {
  test.each(
    rows.flatMap((row) => {
      const [key = '', ...rights] = row.split(/\s+/)
      return names.map((name, index) => [name, key, rights[index] ?? ''] as const)
    }),
  )('%s on %s: %s', (name, key, rights) => {
    const who = callers[name] ?? callers['anyone']
    if (who === undefined) throw new Error(name)
    const may = (op: 'read' | 'write') => permits(who, { op, key: parseAtKey(key), verb: 'x' }) === undefined
    expect(`${may('read') ? 'r' : ''}${may('write') ? 'w' : ''}`).toBe(rights === '-' ? '' : rights)
  })

  test.each<[Record<string, Grant>, string, string]>([
    [{ 'at_contact.buzz': 'rw' }, 'x.at_contact.buzz@alice', 'rw'],
    [{ 'at_contact.buzz': 'rw' }, 'x.buzz@alice', ''],
    [{ buzz: 'rw', 'at_contact.buzz': 'r' }, 'x.at_contact.buzz@alice', 'r'],
    [{ 'at_contact.buzz': 'r', buzz: 'rw' }, 'x.at_contact.buzz@alice', 'r'],
    [{ '*': 'rw', wavi: 'r' }, 'x.wavi@alice', 'r'],
    [{ '*': 'r', wavi: 'rw' }, 'x.wavi@alice', 'rw'],
    [{ '*': 'r' }, 'x.buzz@alice', 'r'],
    [{ __manage: 'rw' }, 'x.__manage@alice', ''],
    [{ __manage: 'rw' }, 'x@alice', ''],
    [{ constructor: 'rw' as const }, 'x.constructor@alice', 'rw'],
    [{ wavi: 'rw' }, 'x.constructor@alice', ''],
    [{ wavi: 'rw' }, 'x.__proto__@alice', ''],
    [{ '*': 'r' }, 'x.*@alice', 'r'],
  ])('%j on %s: the longest namespace decides: %j', (namespaces, key, rights) => {
    const may = (op: 'read' | 'write') =>
      permits(enrolled(namespaces), { op, key: parseAtKey(key), verb: 'x' }) === undefined
    expect(`${may('read') ? 'r' : ''}${may('write') ? 'w' : ''}`).toBe(rights)
  })
})

describe('a refusal', () => {
  const refusal = (who: Identity, op: 'read' | 'write', key: string) => {
    const error = permits(who, { op, key: parseAtKey(key), verb: op === 'write' ? 'update' : 'lookup' })
    return [error?.code, error?.message]
  }

  test('tells an enrollment what it may not do', () => {
    expect(refusal(enrolled({ wavi: 'rw' }), 'write', '@alice:phone.buzz@alice')).toEqual([
      'AT0009',
      'Connection with enrollment ID e1 is not authorized to update key: @alice:phone.buzz@alice',
    ])
  })

  test('of the legacy credential says what to do instead', () => {
    expect(refusal(enrolled(rootGrants), 'write', 'privatekey:at_pkam_publickey')[1]).toContain('enroll:request')
  })

  test('does not tell a stranger or a peer whether a record exists', () => {
    for (const who of [callers['anyone'], callers['@bob']] as Identity[]) {
      expect(refusal(who, 'read', '@carol:phone.wavi@alice')).toEqual([
        'AT0015',
        '@carol:phone.wavi@alice does not exist in keystore',
      ])
    }
  })

  test('of a write asks for a login', () => {
    for (const who of [callers['anyone'], callers['@bob']] as Identity[]) {
      expect(refusal(who, 'write', '@bob:phone@alice')).toEqual(['AT0401', 'Command cannot be executed without auth'])
    }
  })
})

test.each<[string, string]>([
  ['anyone', 'public:phone.wavi@alice'],
  ['@bob', '@bob:phone.wavi@alice'],
  ['cram', '@alice:phone.wavi@alice'],
])('lookup by %s means %s and no other record', (name, key) => {
  const who = callers[name]
  expect(who && lookupTarget(who, '@alice', 'phone.wavi').text).toBe(key)
})

describe('an exchange between two atSigns (page 07, 16.3)', () => {
  const base: Exchange = {
    direction: 'in',
    self: '@alice',
    peer: '@bob',
    recipient: '@alice',
    owner: '@bob',
    messageType: 'key',
    blocked: false,
  }
  const judged = (change: Partial<Exchange>) => {
    const error = permitsExchange({ ...base, ...change })
    return error === undefined ? 'allowed' : `${error.code} ${error.message}`
  }

  test.each<[string, Partial<Exchange>, string]>([
    ['in: for us, of the sender', {}, 'allowed'],
    ['in: a text for us', { messageType: 'text', owner: undefined }, 'allowed'],
    ['in: for another', { recipient: '@carol' }, 'AT0009 Notification from @bob is for @carol, not @alice'],
    ['in: for nobody', { recipient: undefined }, 'AT0009 Notification from @bob is for no atSign, not @alice'],
    [
      'in: a text for another',
      { messageType: 'text', recipient: '@carol' },
      'AT0009 Notification from @bob is for @carol, not @alice',
    ],
    ['in: no owner', { owner: undefined }, 'AT0009 Notification from @bob is of a key with no sharedBy'],
    ['in: of another', { owner: '@eve' }, 'AT0009 @eve is not authorized to send notification as @bob'],
    ['in: of ours', { owner: '@alice' }, 'AT0009 @alice is not authorized to send notification as @bob'],
    ['in: of a blocked atSign', { blocked: true }, 'AT0013 Unable to connect'],
    ['in: a text of a blocked atSign', { messageType: 'text', blocked: true }, 'AT0013 Unable to connect'],
    [
      'out: to a blocked atSign',
      { direction: 'out', recipient: '@bob', owner: '@alice', blocked: true },
      'AT0009 @bob is on the block list of @alice',
    ],
    ['out: of ours', { direction: 'out', recipient: '@bob', owner: '@alice' }, 'allowed'],
    ['out: a text', { direction: 'out', recipient: '@bob', owner: undefined, messageType: 'text' }, 'allowed'],
    [
      'out: of another',
      { direction: 'out', recipient: '@bob', owner: '@bob' },
      'AT0009 @bob is not authorized to send notification as @alice',
    ],
    [
      'out: no owner',
      { direction: 'out', recipient: '@bob', owner: undefined },
      'AT0009 Notification from @alice is of a key with no sharedBy',
    ],
  ])('%s', (_, change, verdict) => {
    expect(judged(change)).toBe(verdict)
  })
})
