import { createPrivateKey, createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Authority, createAuthority } from '../../src/provision/authority.ts'
import { describeCertificate, type IssuedCertificate, issueCertificate } from '../../src/provision/certificate.ts'
import { parseName } from '../../src/provision/names.ts'
import { handshake, openssl } from './support.ts'

const day = 86_400_000
// TLS and openssl judge by the clock of the machine, so certificates that they look at are valid now.
const now = Date.now()
const names = ['device.example', 'localhost', '127.0.0.1', '::1', '*.Lan.example', 'bücher.example']

let directory: string
let authority: Authority
let device: IssuedCertificate
let peer: IssuedCertificate

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'atedge-tls-'))
  authority = await createAuthority({ name: '@alice🛠 authority', now })
  device = await issueCertificate(authority, { names, now })
  peer = await issueCertificate(authority, { names: ['peer.example'], now })
})
afterAll(() => rm(directory, { recursive: true }))

const save = async (name: string, text: string): Promise<string> => {
  const path = join(directory, name)
  await writeFile(path, text)
  return path
}

describe('an authority', () => {
  test('signs itself and may sign hosts', () => {
    const certificate = new X509Certificate(authority.certificate)
    expect(certificate.ca).toBe(true)
    expect(certificate.verify(certificate.publicKey)).toBe(true)
    expect(certificate.checkIssued(certificate)).toBe(true)
    expect(certificate.checkPrivateKey(createPrivateKey(authority.key))).toBe(true)
    expect(certificate.subject).toBe('CN=@alice🛠 authority')
    expect(certificate.publicKey.asymmetricKeyDetails?.modulusLength).toBe(2_048)
  })

  test('starts a day early and lasts for twenty years, or as told', async () => {
    const facts = describeCertificate(authority.certificate)
    expect(facts.notBefore).toBe(Math.floor((now - day) / 1_000) * 1_000)
    expect((facts.notAfter - now) / day).toBeCloseTo(7_305, 0)
    const short = await createAuthority({ name: 'short', now, years: 2 })
    expect((describeCertificate(short.certificate).notAfter - now) / day).toBeCloseTo(730.5, 0)
  })

  test('may last beyond 2050, where X.509 changes its notation', async () => {
    const start = Date.UTC(2049, 6, 1)
    const late = await createAuthority({ name: 'late', now: start, years: 10 })
    const leaf = await issueCertificate(late, { names: ['late.example'], now: start + 365 * day })
    expect(describeCertificate(late.certificate).notAfter).toBeGreaterThan(Date.UTC(2059, 5, 28))
    expect(describeCertificate(leaf.chain).notBefore).toBe(start + 364 * day)
  })

  test('carries the extensions of RFC 5280', async () => {
    const text = await openssl('x509', '-in', await save('ca-text.pem', authority.certificate), '-noout', '-text')
    expect(text).toMatch(/Basic Constraints: critical\s+CA:TRUE, pathlen:0/)
    expect(text).toMatch(/Key Usage: critical\s+Certificate Sign, CRL Sign/)
    const own = /Subject Key Identifier:\s+([0-9A-F:]+)/.exec(text)?.[1]
    expect(own).toHaveLength(59)
    expect(text).toMatch(new RegExp(`Authority Key Identifier:\\s+(?:keyid:)?${own}`))
    expect(text).toContain('Signature Algorithm: sha256WithRSAEncryption')
  })

  test.each(['', 'x'.repeat(65)])('has a name of 1 to 64 characters: %j', async (name) => {
    await expect(createAuthority({ name, now })).rejects.toThrow('1 to 64 characters')
  })
})

describe('a certificate', () => {
  test('names every host in its one spelling, the first as common name', () => {
    const { names: held } = describeCertificate(device.chain)
    expect(held).toEqual(['device.example', 'localhost', '127.0.0.1', '::1', '*.lan.example', 'xn--bcher-kva.example'])
    const leaf = new X509Certificate(device.chain)
    expect(leaf.subject).toBe('CN=device.example')
    expect(leaf.ca).toBe(false)
    expect(leaf.checkHost('localhost')).toBe('localhost')
    expect(leaf.checkHost('a.lan.example')).toBe('*.lan.example')
    expect(leaf.checkHost('other.test')).toBeUndefined()
    expect(leaf.checkIP('127.0.0.1')).toBe('127.0.0.1')
    expect(leaf.checkIP('::1')).toBe('::1')
  })

  test('serves both ends of a connection', async () => {
    const text = await openssl('x509', '-in', await save('leaf-text.pem', device.chain), '-noout', '-text')
    expect(text).toMatch(/Basic Constraints: critical\s+CA:FALSE/)
    expect(text).toMatch(/Key Usage: critical\s+Digital Signature, Key Encipherment/)
    expect(text).toMatch(/Extended Key Usage:\s+TLS Web Server Authentication, TLS Web Client Authentication/)
    expect(text).toContain('IP Address:127.0.0.1')
  })

  test('comes with the authority behind it and the key that fits', () => {
    const blocks = device.chain.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----\n/g) ?? []
    expect(blocks).toHaveLength(2)
    expect(blocks.join('')).toBe(device.chain)
    expect(blocks[1]).toBe(authority.certificate)
    const leaf = new X509Certificate(device.chain)
    expect(leaf.publicKey.equals(createPublicKey(device.key))).toBe(true)
    expect(device.key).toMatch(/^-----BEGIN PRIVATE KEY-----\n/)
    expect(leaf.checkIssued(new X509Certificate(authority.certificate))).toBe(true)
  })

  test('has a serial number of its own, 128 bits, positive', () => {
    const serials = [authority.certificate, device.chain, peer.chain].map(
      (pem) => new X509Certificate(pem).serialNumber,
    )
    expect(new Set(serials).size).toBe(3)
    for (const serial of serials) expect(serial).toMatch(/^[4-7][0-9A-F]{31}$/)
  })

  test('passes openssl for both purposes, names checked', async () => {
    const ca = await save('ca.pem', authority.certificate)
    const leaf = await save('leaf.pem', device.chain)
    for (const purpose of ['sslserver', 'sslclient']) {
      const strict = ['verify', '-x509_strict', '-purpose', purpose, '-CAfile', ca]
      expect(await openssl(...strict, '-verify_hostname', 'localhost', leaf)).toContain(': OK')
      expect(await openssl(...strict, '-verify_ip', '::1', leaf)).toContain(': OK')
      await expect(openssl(...strict, '-verify_hostname', 'localhost.test', leaf)).rejects.toThrow('hostname mismatch')
    }
    expect(await openssl('verify', '-x509_strict', '-check_ss_sig', '-CAfile', ca, ca)).toContain(': OK')
  })

  test('has the fingerprint that openssl prints', async () => {
    const printed = await openssl(
      'x509',
      '-noout',
      '-fingerprint',
      '-sha256',
      '-in',
      await save('print.pem', device.chain),
    )
    expect(printed.trim().split('=')[1]).toBe(describeCertificate(device.chain).fingerprint)
  })

  test('starts a day early, lasts as told and never longer than its authority', async () => {
    const start = Math.floor(now / 1_000) * 1_000
    const facts = async (options: { now: number; days?: number }) =>
      describeCertificate((await issueCertificate(authority, { names: ['x.example'], ...options })).chain)
    expect(await facts({ now: start, days: 90 })).toMatchObject({ notBefore: start - day, notAfter: start + 90 * day })
    expect(await facts({ now: start })).toMatchObject({ notAfter: start + 800 * day })
    const end = describeCertificate(authority.certificate).notAfter
    expect(await facts({ now: start, days: 100_000 })).toMatchObject({ notAfter: end })
    await expect(facts({ now: end })).rejects.toThrow('the certificate authority has expired')
  })

  test('is of use when the clock of the board has fallen back to 1970', async () => {
    const { notBefore, notAfter } = describeCertificate(
      (await issueCertificate(authority, { names: ['x.example'], now: 0 })).chain,
    )
    expect(notBefore).toBe(describeCertificate(authority.certificate).notBefore)
    expect(notAfter - notBefore).toBe(801 * day)
  })

  test('takes a name of 64 characters at most as common name', async () => {
    const long = `${'a'.repeat(60)}.${'b'.repeat(60)}.example`
    const issued = await issueCertificate(authority, { names: [long, 'short.example'], now })
    expect(new X509Certificate(issued.chain).subject).toBe('CN=short.example')
    expect(describeCertificate(issued.chain).names).toEqual([long, 'short.example'])
    await expect(issueCertificate(authority, { names: [long], now })).rejects.toThrow('at most 64 characters')
  })

  test('is refused without names or with one that is none', async () => {
    await expect(issueCertificate(authority, { names: [], now })).rejects.toThrow('needs a name')
    await expect(issueCertificate(authority, { names: ['a b'], now })).rejects.toThrow('"a b" is neither')
  })

  test('of an authority made by openssl', async () => {
    const key = join(directory, 'foreign-key.pem')
    const ca = join(directory, 'foreign.pem')
    await openssl(
      'req',
      '-x509',
      '-newkey',
      'rsa:2048',
      '-nodes',
      '-keyout',
      key,
      '-out',
      ca,
      '-days',
      '30',
      '-subj',
      '/C=DE/O=Bücher/CN=Root',
      '-utf8',
      '-addext',
      'keyUsage=critical,keyCertSign',
    )
    const foreign = { certificate: await readFile(ca, 'utf8'), key: await readFile(key, 'utf8') }
    const issued = await issueCertificate(foreign, { names: ['localhost'], now })
    const leaf = await save('foreign-leaf.pem', issued.chain)
    expect(await openssl('verify', '-x509_strict', '-CAfile', ca, leaf)).toContain(': OK')
  })
})

describe('a TLS connection', () => {
  const listening = () => ({ cert: device.chain, key: device.key, ca: authority.certificate })
  const calling = () => ({ cert: peer.chain, key: peer.key, ca: authority.certificate })

  test.each(['TLSv1.2', 'TLSv1.3'] as const)('is trusted by both sides over %s', async (version) => {
    for (const host of ['localhost', '127.0.0.1', 'device.example']) {
      const target = host === 'device.example' ? { host: '127.0.0.1', servername: host } : { host }
      const client = { ...calling(), ...target, minVersion: version, maxVersion: version }
      const { byServer, byClient } = await handshake(listening(), client)
      expect(byServer).toEqual({ authorized: true, reason: '', commonName: 'peer.example' })
      expect(byClient).toEqual({ authorized: true, reason: '', commonName: 'device.example' })
    }
  })

  test('to a name that the certificate does not carry is refused by the client', async () => {
    const client = { ...calling(), host: '127.0.0.1', servername: 'other.test' }
    await expect(handshake(listening(), client)).rejects.toMatchObject({ code: 'ERR_TLS_CERT_ALTNAME_INVALID' })
  })

  test('under an authority of the same name is trusted by neither side', async () => {
    const impostor = await createAuthority({ name: '@alice🛠 authority', now })
    const forged = await issueCertificate(impostor, { names: ['localhost'], now })
    const client = { cert: forged.chain, key: forged.key, ca: authority.certificate, host: 'localhost' }
    expect((await handshake(listening(), client)).byServer.authorized).toBe(false)
    const server = { cert: forged.chain, key: forged.key }
    await expect(handshake(server, { ...calling(), host: 'localhost' })).rejects.toThrow()
  })
})

describe('names', () => {
  test.each([
    ['LOCALHOST', 'dns', 'localhost'],
    ['device.example.', 'dns', 'device.example'],
    ['_dns.example', 'dns', '_dns.example'],
    ['*.Device.example', 'dns', '*.device.example'],
    ['255.249.199.0', 'ip', '255.249.199.0'],
    ['0:0:0:0:0:0:0:1', 'ip', '::1'],
    ['FE80::00AB', 'ip', 'fe80::ab'],
    ['::ffff:10.0.0.1', 'ip', '::ffff:a00:1'],
  ])('%s', (text, kind, canonical) => {
    expect(parseName(text)).toEqual({ kind, text: canonical })
  })

  test.each([
    '',
    ' ',
    '.',
    '*',
    '*.',
    'a..b',
    '-a',
    'a-',
    'a/b',
    'a?b',
    'a#b',
    'u@b',
    'a%41',
    'a\\b',
    'a／b',
    '@alice',
    'a:1',
    '256.1.1.1',
    '1.2.3',
    '1.2.3.4.',
    '01.2.3.4',
    '[::1]',
    '::1]/x:[',
    'fe80::1%eth0',
    'a.*.b',
    'a\u0000b',
    `${'a'.repeat(64)}.b`,
    'a.'.repeat(130),
  ])('refused: %j', (text) => {
    expect(() => parseName(text)).toThrow('is neither a host name nor an IP address')
  })

  test('any address comes out of a certificate as it went in', async () => {
    const addresses = fc.sample(fc.oneof(fc.ipV4(), fc.ipV6()), 100).map((text) => parseName(text).text)
    const issued = await issueCertificate(authority, { names: ['x.example', ...addresses], now })
    expect(describeCertificate(issued.chain).names).toEqual([...new Set(['x.example', ...addresses])])
  })
})
