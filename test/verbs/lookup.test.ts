import { beforeAll, describe, expect, test } from 'vitest'
import { asEnrolled, asOwner, asPrimary, type Client, provenPair, raw, type TestServer } from '../support/server.ts'

let alice: TestServer
let bob: TestServer
let owner: Client
let peer: Client
let stranger: Client
beforeAll(async () => {
  ;({ alice, bob, owner, peer } = await provenPair({ app: { namespaces: { wavi: 'rw' } } }))
  stranger = await raw(alice)
  await owner.ask('update:public:phone.wavi@alice for anyone')
  await owner.ask('update:@bob:phone.wavi@alice for bob')
  await owner.ask('update:@alice:phone.wavi@alice for alice')
  await owner.ask('update:phone.wavi@alice for the store')
  await owner.ask('update:public:city@alice Paris')
})

describe('who asks decides which one record is meant, without fallback (page 03, section 9)', () => {
  test('anyone: the public one, hidden or not', async () => {
    expect(await stranger.ask('lookup:phone.wavi@alice')).toBe('data:for anyone\n@')
    await owner.ask('update:public:__note@alice n')
    expect(await stranger.ask('lookup:__note@alice')).toBe('data:n\n@')
    expect(await stranger.ask('lookup:nokey@alice')).toBe(
      'error:AT0015-Exception: public:nokey@alice does not exist in keystore\n@',
    )
  })

  test('a peer: the one shared with it', async () => {
    expect(await peer.ask('lookup:phone.wavi@alice')).toBe('data:for bob\n@bob@')
    expect(await peer.ask('lookup:city@alice')).toBe(
      'error:AT0015-Exception: @bob:city@alice does not exist in keystore\n@',
    )
  })

  test('the owner: the one shared with itself', async () => {
    expect(await owner.ask('lookup:phone.wavi@alice')).toBe('data:for alice\n@alice@')
    expect(await owner.ask('lookup:city@alice')).toBe(
      'error:AT0015-key not found : @alice:city@alice does not exist in keystore\n@alice@',
    )
  })

  test('an owner session that asks for a challenge, still the owner; a challenged stranger, anyone', async () => {
    await owner.ask('from:@alice')
    expect(await owner.ask('lookup:phone.wavi@alice')).toBe('data:for alice\n@alice@')
    const client = await raw(alice)
    await client.ask('from:@bob')
    expect(await client.ask('lookup:phone.wavi@alice')).toBe('data:for anyone\n@')
  })
})

test('all names the stored key, meta is metadata alone', async () => {
  expect(await stranger.ask('lookup:all:phone.wavi@alice')).toMatch(
    /^data:\{"key":"public:phone\.wavi@alice","data":"for anyone","metaData":\{"createdBy":/,
  )
  expect(await peer.ask('lookup:all:phone.wavi@alice')).toMatch(
    /^data:\{"key":"@bob:phone\.wavi@alice","data":"for bob",/,
  )
  expect(await stranger.ask('lookup:bypassCache:true:meta:phone.wavi@alice')).toMatch(/^data:\{"createdBy":"@alice"/)
})

describe('a key with its scope means itself, for whom it is visible', () => {
  test.each<[string, string, string]>([
    ['stranger', 'public:phone.wavi@alice', 'data:for anyone'],
    ['stranger', '@bob:phone.wavi@alice', 'error:AT0015-'],
    ['stranger', '@alice:phone.wavi@alice', 'error:AT0015-'],
    ['stranger', 'private:blocklist@alice', 'error:AT0015-'],
    ['stranger', 'cached:public:phone@bob', 'error:AT0015-'],
    ['stranger', 'phone@bob', 'error:AT0015-'],
    ['peer', '@bob:phone.wavi@alice', 'data:for bob'],
    ['peer', 'public:phone.wavi@alice', 'error:AT0015-'],
    ['peer', '@alice:phone.wavi@alice', 'error:AT0015-'],
    ['peer', '@carol:phone.wavi@alice', 'error:AT0015-'],
    ['peer', 'phone@bob', 'error:AT0015-'],
    ['owner', 'public:phone.wavi@alice', 'data:for anyone'],
    ['owner', '@bob:phone.wavi@alice', 'data:for bob'],
  ])('%s, %s: %s', async (who, key, expected) => {
    const client = { stranger, peer, owner }[who]
    expect((await client?.ask(`lookup:${key}`))?.slice(0, expected.length)).toBe(expected)
  })
})

test('a record that is expired or not born yet is absent for everyone (page 06, section 5)', async () => {
  for (const scope of ['public:', '@bob:', '@alice:']) {
    await owner.ask(`update:ttl:1000:${scope}old@alice v`)
    await owner.ask(`update:ttb:60000:${scope}new@alice v`)
  }
  alice.clock.advance(1001)
  for (const client of [stranger, peer, owner]) {
    for (const line of ['lookup:old@alice', 'lookup:all:old@alice', 'lookup:new@alice', 'lookup:meta:new@alice']) {
      expect(await client.ask(line)).toMatch(/^error:AT0015-.*does not exist in keystore\n/)
    }
  }
})

describe('a value that refers to another record', () => {
  test('is followed among the records of the caller, then among the public ones', async () => {
    await owner.ask('update:public:ref1@alice atsign://ref2@alice')
    await owner.ask('update:public:ref2@alice atsign://city@alice')
    await owner.ask('update:@bob:ref1@alice atsign://phone.wavi@alice')
    await owner.ask('update:@bob:ref3@alice atsign://city@alice')
    expect(await stranger.ask('lookup:ref1@alice')).toBe('data:Paris\n@')
    expect(await stranger.ask('lookup:all:ref1@alice')).toMatch(/^data:\{"key":"public:ref1@alice","data":"Paris",/)
    expect(await peer.ask('lookup:ref1@alice')).toBe('data:for bob\n@bob@')
    expect(await peer.ask('lookup:ref3@alice')).toBe('data:Paris\n@bob@')
  })

  test('that leads nowhere, in a circle or elsewhere is not found', async () => {
    await owner.ask('update:public:loop1@alice atsign://loop2@alice')
    await owner.ask('update:public:loop2@alice atsign://loop1@alice')
    await owner.ask('update:public:gone@alice atsign://nothing@alice')
    await owner.ask('update:public:abroad@alice atsign://phone@bob')
    await owner.ask('update:public:nothing.meant@alice atsign://')
    await owner.ask('update:public:nobody.meant@alice atsign://phone@b!b')
    for (const name of ['loop1', 'gone', 'abroad', 'nothing.meant', 'nobody.meant']) {
      expect(await stranger.ask(`lookup:${name}@alice`)).toMatch(/^error:AT0015-/)
    }
    expect(await stranger.ask('noop:0')).toBe('data:ok\n@')
  })

  test('does not lead an enrollment out of its namespaces', async () => {
    await owner.ask('update:@alice:secret.buzz@alice secret')
    const app = await asEnrolled(alice, 'app')
    await app.ask('update:@alice:trick.wavi@alice atsign://secret.buzz@alice')
    expect(await app.ask('lookup:secret.buzz@alice')).toMatch(/^error:AT0009-/)
    expect(await app.ask('lookup:trick.wavi@alice')).toMatch(/^error:AT0015-.*\n@alice@$/)
    expect(await owner.ask('lookup:trick.wavi@alice')).toBe('data:secret\n@alice@')
  })
})

describe('a record of another atSign, for the owner', () => {
  test('is asked of its atServer as oneself (page 03, section 9)', async () => {
    const theirs = await asOwner(bob)
    await theirs.ask('update:@alice:remote.wavi@bob from bob')
    await theirs.ask('update:public:remote.wavi@bob public')
    expect(await owner.ask('lookup:remote.wavi@bob')).toBe('data:from bob\n@alice@')
    expect(await owner.ask('lookup:all:remote.wavi@bob')).toMatch(
      /^data:\{"key":"@alice:remote\.wavi@bob","data":"from bob",/,
    )
    expect(await owner.ask('lookup:nokey@bob')).toBe(
      'error:AT0015-key not found : @alice:nokey@bob does not exist in keystore\n@alice@',
    )
  })

  test('with a scope that cannot be asked for is not found', async () => {
    for (const key of ['public:remote.wavi@bob', '@carol:remote.wavi@bob', 'cached:@alice:remote.wavi@bob']) {
      expect(await owner.ask(`lookup:${key}`)).toMatch(/^error:AT0015-/)
    }
    expect(await owner.ask('lookup:@alice:remote.wavi@bob')).toBe('data:from bob\n@alice@')
  })

  test('of an atSign that the directory does not know is AT0007, and the connection stays open', async () => {
    expect(await owner.ask('lookup:phone@nosuch')).toMatch(/^error:AT0007-Secondary server not found : .*\n@alice@$/)
  })

  test('is judged for an enrollment before anybody is asked (page 03, section 9)', async () => {
    const app = await asEnrolled(alice, 'app')
    expect(await app.ask('lookup:some_key.buzz@bob')).toBe(
      'error:AT0009-UnAuthorized client in request : Connection with enrollment ID app is not authorized to lookup ' +
        'key: @alice:some_key.buzz@bob\n@alice@',
    )
    expect(await (await asPrimary(alice)).ask('lookup:remote.wavi@bob')).toBe('data:from bob\n@alice@')
  })
})

test.each([
  'lookup',
  'lookup:',
  'lookup:location',
  'lookup:bypassCache:maybe:x@alice',
  'lookup:all',
  'lookup:x@alice y',
])('%s is a syntax error', async (line) => {
  expect(await stranger.ask(line)).toMatch(/^error:AT0003-Exception: .*\n@$/)
})
