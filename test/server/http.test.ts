import fc from 'fast-check'
import { beforeAll, describe, expect, test } from 'vitest'
import type { HttpAnswer, HttpRequest } from '../../src/core/http.ts'
import { limits } from '../../src/core/limits.ts'
import type { Metadata } from '../../src/core/metadata.ts'
import type { StoredRecord } from '../../src/core/record.ts'
import { encodeBase2e15 } from '../../src/crypto/base2e15.ts'
import { createResponder, type Responder } from '../../src/server/http.ts'
import { manualClock } from '../support/clock.ts'
import { connectOffering, fetchFrom, keptConnection } from '../support/https.ts'
import { type Member, startTestNetwork, type TestNetwork, until } from '../support/network.ts'
import { clientOf, loginAsOwner, raw, startServer } from '../support/server.ts'

const clock = manualClock()
const now = clock.now()

const record = (value: string | null, metadata: Metadata = {}): StoredRecord => ({ value, metadata, commitId: 7 })

/** A responder of @alice on these records. */
function serving(records: Readonly<Record<string, StoredRecord>>): Responder {
  const get = async (key: string): Promise<StoredRecord | undefined> => records[key]
  return createResponder({ self: '@alice', records: { get }, clock, log: () => {} })
}

const get = (respond: Responder, uri: string, more: Partial<HttpRequest> = {}): Promise<HttpAnswer> =>
  respond({ method: 'GET', uri, ...more })

const notFound = { status: 404, body: '404 Not Found' }

describe('the key that a path names (page 06, section 4)', () => {
  const respond = serving({
    'public:location.wavi@alice': record('here'),
    'public:a.b.c.d@alice': record('deep'),
    'public:_hidden@alice': record('hidden'),
    'public:__hidden@alice': record('hidden'),
    'public:publickey@alice': record('key'),
    'public:🛠.wavi@alice': record('tool'),
    'location.wavi@alice': record('not public'),
    'public:location.wavi@bob': record('not ours'),
    'cached:public:location.wavi@bob': record('a copy'),
    '@bob:location.wavi@alice': record('for @bob'),
    'private:blocklist@alice': record('private'),
    'privatekey:at_pkam_publickey': record('private'),
  })

  test.each([
    ['/wavi/location', 'here'],
    ['/location.wavi', 'here'],
    ['//wavi///location/', 'here'],
    ['/@alice/wavi/location', 'here'],
    ['/@ALICE/Wavi/LOCATION', 'here'],
    ['/@al.ice/wavi/location', 'here'],
    ['/public:location.wavi@alice', 'here'],
    ['/PUBLIC:Location.wavi@Alice', 'here'],
    ['/@alice/public:wavi/location@alice', 'here'],
    ['/location.wavi@alice', 'here'],
    ['/%40alice%2Fwavi%2Flocation', 'here'],
    ['/%70ublic%3Alocation%2Ewavi', 'here'],
    ['/d/c/b/a', 'deep'],
    ['/c.d/a.b', 'deep'],
    ['/publickey', 'key'],
    ['/_hidden', 'hidden'],
    ['/__hidden', 'hidden'],
    ['/wavi/%F0%9F%9B%A0', 'tool'],
  ])('%s is found', async (uri, body) => {
    expect(await get(respond, uri)).toMatchObject({ status: 200, body })
  })

  test.each([
    '',
    '/',
    '///',
    '/@alice',
    '/@alice/',
    '/nothing',
    '/wavi/location/nothing',
    '/@bob/wavi/location',
    '/location.wavi@bob',
    '/@bob:location.wavi@alice',
    '/@alice/@bob:location.wavi@alice',
    '/cached:public:location.wavi@bob',
    '/public:public:location.wavi',
    '/private:blocklist@alice',
    '/privatekey:at_pkam_publickey',
    '/@/wavi/location',
    '/wavi/location@',
    '/wavi/loc ation',
    '/wavi/location%00',
    '/wavi/../location',
    '/constructor',
    '/__proto__',
    '*',
  ])('%j is not found', async (uri) => {
    expect(await get(respond, uri)).toMatchObject(notFound)
  })
})

describe('what is served', () => {
  test('is alive: neither expired nor unborn (page 07, section 20)', async () => {
    const respond = serving({
      'public:expired@alice': record('x', { expiresAt: now - 1 }),
      'public:unborn@alice': record('x', { availableAt: now + 1 }),
      'public:alive@alice': record('x', { expiresAt: now, availableAt: now }),
    })
    expect(await get(respond, '/expired')).toMatchObject(notFound)
    expect(await get(respond, '/unborn')).toMatchObject(notFound)
    expect(await get(respond, '/alive')).toMatchObject({ status: 200, body: 'x' })
  })

  test('is the value as it stands: line feeds, references, nothing at all', async () => {
    const respond = serving({
      'public:lines@alice': record('a\nb'),
      'public:reference@alice': record('atsign://location.wavi@alice'),
      'public:empty@alice': record(null),
    })
    expect(await get(respond, '/lines')).toMatchObject({ body: 'a\nb' })
    expect(await get(respond, '/reference')).toMatchObject({ body: 'atsign://location.wavi@alice' })
    expect(await get(respond, '/empty')).toMatchObject({ status: 200, body: '' })
  })

  test('at_rt selects metadata, or all (page 07, 18.2)', async () => {
    const metadata: Metadata = { version: 2, isBinary: false, isEncrypted: false, ttl: 5 }
    const shown = { status: 'active', version: 2, ttl: 5, isBinary: false, isEncrypted: false }
    const respond = serving({
      'public:page.html.demo@alice': record('<p>', metadata),
      'public:empty@alice': record(null, metadata),
    })
    const meta = await get(respond, '/demo/page.html?at_rt=meta&at_ct=text/css')
    expect(meta.body).toBe(JSON.stringify(shown))
    expect(meta.headers['content-type']).toBe('application/json; charset=utf-8')
    const all = await get(respond, '/demo/page.html?at_rt=all')
    expect(all.body).toBe(JSON.stringify({ key: 'public:page.html.demo@alice', data: '<p>', metaData: shown }))
    expect(all.headers['content-type']).toBe('text/html; charset=utf-8')
    const labelled = await get(respond, '/demo/page.html?at_rt=all&at_ct=application/json')
    expect(labelled.headers['content-type']).toBe('application/json; charset=utf-8')
    expect((await get(respond, '/empty?at_rt=all')).body).toBe(
      JSON.stringify({ key: 'public:empty@alice', metaData: shown }),
    )
  })

  test('a binary value is its bytes, and all of it is the bytes again (page 07, 18.2)', async () => {
    const bytes = Uint8Array.of(0, 1, 2, 254, 255)
    const respond = serving({
      'public:raw@alice': record(encodeBase2e15(bytes), { isBinary: true }),
      'public:dot.png@alice': record(encodeBase2e15(bytes), { isBinary: true }),
    })
    for (const uri of ['/raw', '/raw?at_rt=all']) {
      const { body, headers } = await get(respond, uri)
      expect(body).toEqual(bytes)
      expect(headers['content-type']).toBe('application/octet-stream; charset=utf-8')
    }
    expect((await get(respond, '/dot.png')).headers['content-type']).toBe('image/png; charset=utf-8')
    expect((await get(respond, '/raw?at_rt=meta')).body).toBe('{"status":"active","isBinary":true}')
  })

  test.each([
    ['/demo/index.html', 'text/html'],
    ['/index.html', 'text/html'],
    ['/demo/app.js', 'text/javascript'],
    ['/demo/logo.svg', 'image/svg+xml'],
    ['/sensors/kitchen/temperature', 'text/plain'],
    ['/html', 'text/plain'],
    ['/demo/html/x', 'text/html'],
    ['/x.tostring', 'text/plain'],
    ['/x?at_ct=application/ld%2Bjson', 'application/ld+json'],
    ['/x?at_ct=image/svg+xml', 'image/svg+xml'],
    ['/demo/index.html?at_ct=text/plain', 'text/plain'],
    ['/x?at_ct=text/a&at_ct=text/b', 'text/a'],
    ['/x?other=%20&at_ct=text/a', 'text/a'],
  ])('%s is %s', async (uri, type) => {
    const names = [
      'index.html.demo',
      'index.html',
      'app.js.demo',
      'logo.svg.demo',
      'temperature.kitchen.sensors',
      'html',
    ]
    const all = [...names, 'x.html.demo', 'x.tostring', 'x'].map((name) => [`public:${name}@alice`, record('v')])
    const { status, headers } = await get(serving(Object.fromEntries(all)), uri)
    expect([status, headers['content-type']]).toEqual([200, `${type}; charset=utf-8`])
  })

  test('whoever holds the version that is there is told so', async () => {
    const respond = serving({ 'public:x@alice': record('v', { version: 3, updatedAt: 1_700_000_000_000 }) })
    const etag = '"3-1700000000000-7"'
    expect((await get(respond, '/x')).headers).toMatchObject({ etag, 'cache-control': 'no-cache' })
    for (const ifNoneMatch of [etag, `W/${etag}`, `"0", ${etag}`, '*']) {
      expect(await get(respond, '/x', { ifNoneMatch })).toMatchObject({ status: 304, headers: { etag }, body: '' })
    }
    for (const ifNoneMatch of ['"2-1700000000000-7"', '3', '']) {
      expect(await get(respond, '/x', { ifNoneMatch })).toMatchObject({ status: 200, body: 'v' })
    }
    expect(await get(respond, '/y', { ifNoneMatch: '*' })).toMatchObject(notFound)
  })
})

describe('what is refused', () => {
  const respond = serving({ 'public:x@alice': record('v') })

  test('a URI over 1,000 characters: 400', async () => {
    const longest = `/x?${'a'.repeat(limits.uriLength - 3)}`
    expect(await get(respond, longest)).toMatchObject({ status: 200 })
    expect(await get(respond, `${longest}a`)).toMatchObject({ status: 400, body: '' })
  })

  test.each(['HEAD', 'OPTIONS', 'POST', 'PUT', 'DELETE', 'get', ''])('method %j: 405', async (method) => {
    expect(await respond({ method, uri: '/x' })).toMatchObject({ status: 405, body: '' })
  })

  test.each(['/%', '/%zz', '/%c3', '/x?at_ct=%', '/x?%=1', '/%ed%a0%80'])('broken encoding %s: 400', async (uri) => {
    expect(await get(respond, uri)).toMatchObject({ status: 400, body: '' })
  })

  test.each([
    'at_ct=',
    'at_ct=html',
    'at_ct=text/',
    'at_ct=text/html;x=y',
    'at_ct=text/html%0d%0aset-cookie:a=b',
    'at_ct=text/html%0a',
    'at_ct=text/h%C3%A4',
    'at_ct=text/html/x',
    'at_rt=json',
    'at_rt=',
  ])('?%s: 400', async (query) => {
    expect(await get(respond, `/x?${query}`)).toMatchObject({ status: 400, body: '' })
  })

  test('a record that cannot be read: 500 without a word, and a line in the log', async () => {
    const logged: string[] = []
    const broken = createResponder({
      ...{ self: '@alice', clock, log: (level, message) => void logged.push(`${level} ${message}`) },
      records: { get: () => Promise.reject(new Error('damaged')) },
    })
    expect(await get(broken, '/x')).toMatchObject({ status: 500, body: '' })
    expect(logged).toEqual(['error an HTTP request failed unexpectedly'])
  })
})

describe('whatever the URI is', () => {
  const words = [
    ...['/', '//', '.', '..', '@', ':', '%', '%2F', '%40', '%3a', '%00', '%0d%0a', '%c3', '?', '&', '=', ' ', '\n'],
    ...['@alice', '@bob', '@alice/', 'public:', 'PUBLIC:', 'private:', 'privatekey:', 'cached:', 'local:', '🦄'],
    ...['at_rt=', 'at_ct=', 'meta', 'all', 'text/html', 'x', 'wavi', 'shared_key', 'signing_privatekey', '_', '__'],
  ]
  const uris = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 60 }),
    fc.webUrl({ withQueryParameters: true }),
    fc.array(fc.constantFrom(...words), { maxLength: 14 }).map((parts) => parts.join('')),
    fc.array(fc.constantFrom(...words), { maxLength: 14 }).map((parts) => `/${parts.join('')}`),
  )

  test('only own public records are asked for, and the answer is one of a few', async () => {
    const asked: string[] = []
    const respond = createResponder({
      ...{ self: '@alice', clock, log: (_level, message) => expect.unreachable(message) },
      records: {
        async get(key) {
          asked.push(key)
          return record('v', { isBinary: key.length % 2 === 0 })
        },
      },
    })
    await fc.assert(
      fc.asyncProperty(uris, async (uri) => {
        asked.length = 0
        const { status, headers } = await get(respond, uri)
        expect([200, 400, 404]).toContain(status)
        expect(asked.length).toBe(status === 200 ? 1 : 0)
        for (const key of asked) expect(key).toMatch(/^public:[^:@\s/]+@alice$/u)
        for (const value of Object.values(headers)) expect(value).toMatch(/^[\x20-\x7e]+$/)
      }),
      { numRuns: 3_000 },
    )
  })
})

describe('over TLS', () => {
  let network: TestNetwork
  let alice: Member

  beforeAll(async () => {
    network = await startTestNetwork(['@alice'])
    alice = network.member('@alice')
    const owner = await alice.owner()
    for (const line of [
      'update:public:temperature.kitchen.sensors@alice 21.4',
      'update:pin.wavi@alice secret',
      'update:@bob:pin.wavi@alice secret',
      'update:ttl:1000:public:brief@alice x',
      'update:ttb:1000:public:later@alice y',
      `update:isBinary:true:public:dot.png.demo@alice ${encodeBase2e15(Uint8Array.of(0, 255))}`,
    ]) {
      expect(await owner.ask(line)).toMatch(/^data:\d+\n/)
    }
    owner.leave()
  })

  const fetch = (path: string, method = 'GET') => fetchFrom(alice, network, { path, method })

  test('a public reading', async () => {
    const { status, headers, body } = await fetch('/sensors/kitchen/temperature')
    expect([status, String(body)]).toEqual([200, '21.4'])
    expect(headers).toMatchObject({
      'content-type': 'text/plain; charset=utf-8',
      'content-length': '4',
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache',
    })
  })

  test('E59: metadata is what lookup:meta shows', async () => {
    const { client } = await connectOffering(alice, network)
    await client.take(/^@/)
    const shown = await client.ask('lookup:meta:signing_publickey@alice')
    const { status, headers, body } = await fetch('/signing_publickey?at_rt=meta')
    expect([status, headers['content-type']]).toEqual([200, 'application/json; charset=utf-8'])
    expect(`data:${body}\n@`).toBe(shown)
  })

  test('bytes', async () => {
    const { headers, body } = await fetch('/demo/dot.png')
    expect(headers['content-type']).toBe('image/png; charset=utf-8')
    expect([...body]).toEqual([0, 255])
  })

  test('nothing that is not public, by any name', async () => {
    for (const path of ['/wavi/pin', '/pin.wavi@alice', '/@bob:pin.wavi@alice', '/privatekey:at_secret', '/later']) {
      const { status, body } = await fetch(path)
      expect([path, status, String(body)]).toEqual([path, 404, '404 Not Found'])
    }
  })

  test('nothing after its end and something after its birth', async () => {
    expect((await fetch('/brief')).status).toBe(200)
    network.clock.advance(1_001)
    expect((await fetch('/brief')).status).toBe(404)
    expect(String((await fetch('/later')).body)).toBe('y')
  })

  test('the body is not sent again to who has it', async () => {
    const path = '/sensors/kitchen/temperature'
    const { etag } = (await fetch(path)).headers
    const again = await fetchFrom(alice, network, { path, headers: { 'if-none-match': etag } })
    expect([again.status, again.body.length, again.headers.etag]).toEqual([304, 0, etag])
  })

  test.each(['HEAD', 'OPTIONS', 'POST', 'DELETE'])('%s is answered 405', async (method) => {
    const { status, headers, body } = await fetch('/sensors/kitchen/temperature', method)
    expect([status, headers.allow, body.length]).toEqual([405, 'GET', 0])
  })

  test('a request with another upgrade is answered all the same', async () => {
    const { client } = await connectOffering(alice, network, ['http/1.1'])
    const path = '/sensors/kitchen/temperature'
    client.write(`GET ${path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n`)
    expect(await client.closed).toMatch(/^HTTP\/1\.1 200 OK\r\n.*\r\nconnection: close\r\n.*\r\n\r\n21\.4$/s)
  })

  test('CONNECT is answered 405, and the WebSocket’s path without an upgrade 426', async () => {
    const { client } = await connectOffering(alice, network, ['http/1.1'])
    client.write('CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n')
    expect(await client.closed).toMatch(/^HTTP\/1\.1 405 Method Not Allowed\r\n/)
    expect((await fetch('/ws')).status).toBe(426)
  })

  test('a URI as a proxy writes it', async () => {
    const { client } = await connectOffering(alice, network, ['http/1.1'])
    const uri = 'https://alice.example:64/sensors/kitchen/temperature'
    client.write(`GET ${uri} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n`)
    expect(await client.closed).toMatch(/\r\n\r\n21\.4$/)
  })

  test('requests one after the other on one connection', async () => {
    const agent = keptConnection()
    for (let count = 0; count < 3; count++) {
      const { status, headers } = await fetchFrom(alice, network, { path: '/publickey', agent })
      expect([status, headers.connection]).toEqual([404, 'keep-alive'])
    }
  })

  test('many requests at once, answered in order', async () => {
    const { client } = await connectOffering(alice, network, ['http/1.1'])
    const paths = ['/sensors/kitchen/temperature', '/nothing', '/publickey?%', '/demo/dot.png?at_rt=meta']
    const asked = Array.from({ length: 50 }, () => paths).flat()
    client.write(asked.map((path) => `GET ${path} HTTP/1.1\r\nHost: x\r\n\r\n`).join(''))
    client.write('GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
    const answers = await client.closed
    const statuses = [...answers.matchAll(/HTTP\/1\.1 (\d+) /g)].map((match) => Number(match[1]))
    expect(statuses).toEqual([...Array.from({ length: 50 }, () => [200, 404, 400, 200]).flat(), 404])
  })

  test('the last of many requests on one connection is told so', async () => {
    const { client } = await connectOffering(alice, network, ['http/1.1'])
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n'.repeat(limits.httpRequests))
    const answers = await client.take(/^.*\r\nconnection: close\r\n.*404 Not Found/is)
    expect(answers.match(/HTTP\/1\.1 404/g)?.length).toBe(limits.httpRequests)
  })

  test('what is not HTTP is answered 400, too large a head 431', async () => {
    const { client } = await connectOffering(alice, network, ['http/1.1'])
    client.write('from:@alice\n')
    expect(await client.closed).toMatch(/^HTTP\/1\.1 400 /)
    const { client: talker } = await connectOffering(alice, network, ['http/1.1'])
    talker.write(`GET / HTTP/1.1\r\nHost: x\r\nA: ${'a'.repeat(limits.httpHeaderBytes)}\r\n\r\n`)
    expect(await talker.closed).toMatch(/^HTTP\/1\.1 431 /)
  })

  test('who does not finish a request is sent away', async () => {
    const { client } = await connectOffering(alice, network, ['http/1.1'])
    client.write('GET / HTTP/1.1\r\nHo')
    // An answer on another connection: the listener has taken both.
    await fetch('/')
    network.clock.advance(limits.httpMs)
    expect(await client.closed).toBe('')
  })

  test.each([
    [undefined, false],
    [['atProtocol/1.0'], 'atProtocol/1.0'],
    [['http/1.1', 'atProtocol/1.0'], 'atProtocol/1.0'],
  ])('ALPN %j speaks the atProtocol (page 07, 2.1)', async (offered, expected) => {
    const { client, negotiated } = await connectOffering(alice, network, offered)
    expect(negotiated).toBe(expected)
    await client.take(/^@/)
    expect(await client.ask('noop:0')).toBe('data:ok\n@')
  })
})

describe('the connection limit', () => {
  test('with owner and peers in all places, HTTP clients are told to come later', async () => {
    const network = await startTestNetwork(['@alice'], { places: { total: 1 } })
    const alice = network.member('@alice')
    const { client } = await connectOffering(alice, network)
    await client.take(/^@/)
    await loginAsOwner(client, alice)
    const late = await fetchFrom(alice, network, { path: '/signing_publickey' })
    expect([late.status, late.headers.connection, late.body.length]).toEqual([503, 'close', 0])
    client.leave()
    await client.closed
    await until(async () => (await fetchFrom(alice, network, { path: '/signing_publickey' })).status === 200)
  })

  test('an HTTP connection that says nothing gives way to a newcomer, whatever that speaks', async () => {
    const network = await startTestNetwork(['@alice'], { places: { total: 1 } })
    const alice = network.member('@alice')
    for (const protocols of [['http/1.1'], undefined, ['http/1.1']]) {
      const silent = await connectOffering(alice, network, ['http/1.1'])
      const { client } = await connectOffering(alice, network, protocols)
      expect(await silent.client.closed).toBe('')
      client.write(protocols === undefined ? '@exit\n' : 'GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n')
      expect(await client.closed).toMatch(/^@$|^HTTP\/1\.1 404 /)
    }
  })

  test('an atServer that stops ends its HTTP connections', async () => {
    const network = await startTestNetwork(['@alice'])
    const alice = network.member('@alice')
    const { client } = await connectOffering(alice, network, ['http/1.1'])
    client.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n')
    await client.take(/^.*404 Not Found$/s)
    await alice.stop()
    expect(await client.closed).toBe('')
  })
})

describe('an HTTP request on an atProtocol connection', () => {
  const refusal = 'error:AT0003-Exception: HTTP requests must negotiate ALPN http/1.1\n@'

  test('E58: all bytes, then the connection closes', async () => {
    const { server } = await startServer()
    const client = clientOf(server.connect())
    client.write('GET /publickey HTTP/1.1\nHost: atserver\n\n')
    expect(await client.closed).toBe(`@${refusal}`)
  })

  test.each([
    'DELETE /x HTTP/1.1\r\n',
    'GET /a b HTTP/1.1\n',
    'POST / HTTP/1.1\r\n\r\nscan\r\n',
    'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n',
    'M-SEARCH * HTTP/1.1\r\n',
    'x /y HTTP/1.0\n',
  ])('%j', async (request) => {
    const client = await raw(await startServer())
    client.write(request)
    expect(await client.closed).toBe(refusal)
  })

  test('a line that only looks a little like one is a line like any other', async () => {
    const client = await raw(await startServer())
    for (const line of ['GET /x', 'GET /x HTTP/1.1 x', 'HTTP/1.1 200 OK', 'GET HTTP/1.1']) {
      expect(await client.ask(line)).toBe('error:AT0003-Exception: invalid command\n@')
    }
  })
})
