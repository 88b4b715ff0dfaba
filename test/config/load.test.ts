import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, onTestFinished, test } from 'vitest'
import { checkRules, compileRules } from '../../src/bridge/mapping.ts'
import { settingsOf, variableOf } from '../../src/config/env.ts'
import { type Check, ConfigError, loadConfig, parseConfig } from '../../src/config/load.ts'
import { defaults } from '../../src/config/schema.ts'

const file = '/etc/atedge/atedge.yaml'
const name = "atSign: '@device'"

/** The problems that a text has, one string each. */
function problemsOf(text: string, check?: Check): readonly string[] {
  try {
    parseConfig(text, file, check)
  } catch (error) {
    if (error instanceof ConfigError) return error.problems
    throw error
  }
  return []
}

async function configFile(text: string): Promise<{ folder: string; path: string }> {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const path = join(folder, 'atedge.yaml')
  await writeFile(path, text)
  return { folder, path }
}

/** The compiler of the bridge's rules as a judge, as the program wires it. */
const rulesCompile: Check = ({ bridge }) =>
  checkRules(bridge.rules, bridge.namespace).map(({ path, message }) => ({
    path: ['bridge', 'rules', ...path],
    message,
  }))

describe('a configuration', () => {
  test('needs nothing but the atSign', () => {
    expect(parseConfig("atSign: '@My.Device'", file)).toEqual({
      atSign: '@mydevice',
      dataDir: '/var/lib/atedge',
      listen: { host: '::', port: 6464 },
      host: hostname(),
      certificates: {},
      rootServer: { addresses: ['root.atsign.org:64'], cache: 600_000, register: false },
      directory: {
        enabled: false,
        host: '::',
        port: 6400,
        entries: {},
        registration: true,
        lookupsPerSecond: 1_000,
        forward: [],
        redis: { servers: [], sentinels: [], primary: 'mymaster', database: 0, tls: false },
      },
      federation: { clientCertificate: 'if-present', clientPurpose: 'lenient' },
      notification: { autoNotify: true, expiry: 900_000, keep: 691_200_000, maxBytes: 268_435_456 },
      storage: { interval: 2000, scrub: 256, endurance: 10 },
      clock: { trusted: false },
      testingMode: false,
      bridge: {
        enabled: true,
        keys: '/var/lib/atedge/keys/@mydevice_key.atKeys',
        namespace: 'sensors',
        broker: { host: '127.0.0.1', port: 1883 },
        rules: [],
      },
      health: { enabled: true, interval: 60_000, topic: 'atedge/host', recipients: ['self'] },
      snapshots: { enabled: true, interval: 86_400_000, keep: 3 },
      backup: {},
      control: { path: '/var/lib/atedge/control/control.sock' },
      log: { level: 'info' },
      underSystemd: false,
    })
  })

  test('fills the gaps of every rule', () => {
    const text = `${name}\nbridge:\n  rules:\n    - { topic: a, key: b, ttl: 1d, ttr: 1h, minInterval: 10s }\n    - { topic: c, key: d, ttr: forever }`
    const gaps = { format: 'json', recipients: ['self'], update: true, notify: false }
    expect(parseConfig(text, file).bridge.rules).toEqual([
      { topic: 'a', key: 'b', ttl: 86_400_000, ttr: 3_600, minInterval: 10_000, ...gaps },
      { topic: 'c', key: 'd', ttr: -1, ...gaps },
    ])
  })

  test('resolves relative paths from the folder of the file, and counts an empty section as not written', () => {
    const text = `${name}\ndataDir: ./data\ncertificates: { chain: tls/chain.pem, key: /k.pem }\nhealth:\nlisten:\n  port:`
    const config = parseConfig(text, file)
    expect(config.dataDir).toBe('/etc/atedge/data')
    expect(config.certificates).toEqual({ chain: '/etc/atedge/tls/chain.pem', key: '/k.pem' })
    expect(config.bridge.keys).toBe('/etc/atedge/data/keys/@device_key.atKeys')
    expect(config.health.interval).toBe(60_000)
    expect(config.listen.port).toBe(6464)
  })

  test('that is shipped as an example parses, and so do its rules', async () => {
    const path = join(import.meta.dirname, '../../firmware-config/atedge.yaml')
    const text = await readFile(path, 'utf8')
    const config = parseConfig(text, path, rulesCompile)
    expect(compileRules(config.bridge.rules, config.bridge.namespace).rules.length).toBeGreaterThan(2)
    // Everything the example shows commented out is true as well.
    const shown = text.replaceAll(/^( *)#((?: {2})*['@\w]+:.*)$/gm, '$1$2').replace(/^ *broker: .*1883 }$/m, '')
    const uncommented = parseConfig(shown, path, rulesCompile)
    expect(uncommented.bridge.broker.username).toBe('sensor')
    expect({ ...uncommented.listen, ...uncommented.log }).toEqual({ host: '::', port: 6464, level: 'info' })
  })
})

describe('a refusal names file, line, key path and what is expected', () => {
  test.each<[string, string]>([
    ['', "1: atSign: is missing; expected an atSign in quotes, such as '@device'"],
    ["atSign: 'no spaces'", `1: atSign: expected an atSign in quotes, such as '@device', not "no spaces"`],
    ['- 1', '1: expected a section with keys such as atSign, dataDir, listen, not [1]'],
    [`${name}\nlisten:\n  port: 70000`, '3: listen.port: expected a port from 0 to 65535, not 70000'],
    [`${name}\nlisten:\n  prot: 1`, '3: listen.prot: is not a known key; did you mean port?'],
    [
      `${name}\n\nxyzzyfoo: 1`,
      '3: xyzzyfoo: is not a known key; known are atSign, dataDir, listen, host, certificates, ',
    ],
    [`${name}\n__proto__: 1`, '2: __proto__: is not a known key; known are'],
    [`${name}\nlog: loud`, '2: log: expected a section with keys such as level, not "loud"'],
    [
      `${name}\nlog: { level: loud }`,
      '2: log.level: expected one of trace, debug, info, warn, error, fatal, silent, not "loud"',
    ],
    [
      `${name}\nfederation: { clientCertificate: no }`,
      '2: federation.clientCertificate: expected one of required, if-present, off',
    ],
    [
      `${name}\nnotification: { expiry: 15 }`,
      '2: notification.expiry: expected a duration such as 500ms, 10s, 15m, 1h or 7d from 1s to 8d, not 15',
    ],
    [
      `${name}\nstorage: { interval: 10ms }`,
      '2: storage.interval: expected a duration such as 500ms, 10s, 15m, 1h or 7d from 100ms to 1h, not "10ms"',
    ],
    [`${name}\nnotification: { autoNotify: yes }`, '2: notification.autoNotify: expected true or false, not "yes"'],
    [
      `${name}\ndirectory:\n  entries:\n    '@a': nowhere`,
      "4: directory.entries['@a']: expected an address such as 'host:6464'",
    ],
    [
      `${name}\ndirectory: { host: root.local, port: 64 }`,
      '2: directory.enabled: expected true; where other atSigns are looked up is rootServer.addresses',
    ],
    [
      `${name}\nrootServer: { addresses: [a.local, 'proxy:b.local'] }`,
      '2: rootServer.addresses: expected a proxy alone',
    ],
    [`${name}\ndirectory: { forward: 'proxy:b.local' }`, '2: directory.forward: expected the address of a directory'],
    [`${name}\ndirectory: { forward: 'http://b' }`, '2: directory.forward: expected an address of a directory'],
    [
      `${name}\ndirectory: { redis: { servers: a, sentinels: b } }`,
      '2: directory.redis.servers: expected servers or sentinels, not both',
    ],
    [`${name}\ndirectory: { redis: { username: a } }`, '2: directory.redis.passwordFile: is missing'],
    [`${name}\ndirectory: { redis: { sentinelUsername: a } }`, '2: directory.redis.sentinelPasswordFile: is missing'],
    [`${name}\ndirectory:\n  entries:\n    alice: h:1`, '4: directory.entries.alice: expected an atSign in quotes'],
    [`${name}\nhealth: { topic: a/+ }`, '2: health.topic: expected an MQTT topic without wildcards, not "a/+"'],
    [
      `${name}\ncertificates:\n  chain: c`,
      '2: certificates.key: is missing; expected the private key of certificates.chain',
    ],
    [
      `${name}\nbridge:\n  broker: { host: 0.0.0.0 }`,
      '3: bridge.broker.host: expected 127.0.0.1, ::1 or localhost, unless',
    ],
    [`${name}\nbridge:\n  rules: { topic: a }`, '3: bridge.rules: expected a list of rules'],
    [
      `${name}\nbridge:\n  rules:\n    - topic: a\n      recipients: [bob]\n      key: k`,
      '5: bridge.rules[0].recipients[0]: expected ',
    ],
    [
      `${name}\nbridge:\n  rules:\n    - topic: a`,
      '4: bridge.rules[0].key: is missing; expected the name of a record such as temperature.{device}',
    ],
    [
      `${name}\nbridge:\n  rules:\n    - { topic: a, key: k, ttr: 500ms }`,
      '4: bridge.rules[0].ttr: expected a duration of whole seconds such as 10m, or forever',
    ],
    [
      'atSign: @device',
      "1: is not YAML: Plain value cannot start with reserved character @ (write atSigns in quotes: '@device')",
    ],
    [`${name}\nlisten: {\n`, '3: is not YAML: '],
    [`${name}\nhost: a\nhost: b`, '3: is not YAML: Map keys must be unique'],
    [`${name}\n---\n${name}`, '2: is not YAML: '],
    [`${name}\nhost: *nothing`, '1: is not YAML: '],
    [`#${'x'.repeat(1_048_577)}`, '1: expected at most 1048576 characters'],
  ])('%j', (text, expected) => {
    const [problem] = problemsOf(text).filter((line) => line.startsWith(`${file}:${expected}`))
    expect(problem ?? problemsOf(text)).toContain(`${file}:${expected}`)
  })

  test('all at once', () => {
    expect(problemsOf(`listen: { port: x, hots: y }\nlog: { levle: info }`)).toHaveLength(4)
  })

  test('for rules that do not compile, once the compiler is asked', () => {
    const text = `${name}\nbridge:\n  rules:\n    - topic: a/+b\n      key: '{c}'\n    - { topic: 'a/#/b', key: k }`
    expect(problemsOf(text, rulesCompile)).toEqual([
      `${file}:5: bridge.rules[0].key: {c} is not caught by the topic; write +c or #c there`,
      `${file}:6: bridge.rules[1].topic: # may only be the last level`,
    ])
  })

  test('for aliases that would blow up', () => {
    const levels = Array.from({ length: 12 }, (_, i) => `x${i}: &x${i} [${`*x${i - 1}, `.repeat(9)}1]`)
    expect(problemsOf(`${name}\nx-1: &x-1 1\n${levels.join('\n')}`).length).toBeGreaterThan(0)
  })
})

describe('what wins', () => {
  test('is the file over defaults, the environment over the file, a flag over the environment', async () => {
    const { folder, path } = await configFile(`${name}\ndataDir: data\nlisten: { host: 127.0.0.1, port: 1 }`)
    const env = { ATEDGE_LISTEN_PORT: '2', ATEDGE_BRIDGE_ENABLED: 'false', ATEDGE_LOG_LEVEL: '', PATH: '/bin' }
    expect(await loadConfig({ file: path, env: {} })).toMatchObject({ listen: { host: '127.0.0.1', port: 1 } })
    const config = await loadConfig({ file: path, env, flags: { 'log.level': 'debug', host: undefined } })
    expect(config.listen).toEqual({ host: '127.0.0.1', port: 2 })
    expect(config.bridge.enabled).toBe(false)
    expect(config.log.level).toBe('debug')
    expect(config.dataDir).toBe(join(folder, 'data'))
    expect((await loadConfig({ file: path, env, flags: { 'listen.port': 3 } })).listen.port).toBe(3)
  })

  test('may be a whole list or map, and paths outside the file start at the working directory', async () => {
    const env = {
      ATEDGE_AT_SIGN: '@device',
      ATEDGE_DATA_DIR: 'data',
      ATEDGE_DIRECTORY_ENTRIES: '{"@alice": "alice.local:6464"}',
      ATEDGE_BRIDGE_RULES: '[{ topic: a, key: b }]',
      ATEDGE_NOTIFICATION_EXPIRY: '1h',
      ATEDGE_STORAGE_DURABILITY: 'group',
      ATEDGE_STORAGE_MAX_BYTES: '1073741824',
      ATEDGE_CONFIG: file,
      JOURNAL_STREAM: '8:1234',
    }
    const config = await loadConfig({ env })
    expect(config.dataDir).toBe(join(process.cwd(), 'data'))
    expect(config.directory.entries).toEqual({ '@alice': 'alice.local:6464' })
    expect(config.bridge.rules).toHaveLength(1)
    expect(config.notification.expiry).toBe(3_600_000)
    expect(config.storage).toMatchObject({ durability: 'group', maxBytes: 1_073_741_824 })
    expect(config.underSystemd).toBe(true)
  })

  test('is named when it is wrong', async () => {
    const env = { ATEDGE_LISTN_PORT: '1', ATEDGE_LISTEN_PORT: 'x', ATEDGE_BRIDGE_RULES: '[' }
    const flags = { 'health.enabled': 'maybe', 'listen.hots': 'a' }
    await expect(loadConfig({ env, flags })).rejects.toMatchObject({
      problems: [
        'ATEDGE_LISTN_PORT: is not a known variable; did you mean ATEDGE_LISTEN_PORT?',
        'flag listen.hots: is not a known setting; did you mean listen.host?',
        "configuration: atSign: is missing; expected an atSign in quotes, such as '@device'",
        'ATEDGE_LISTEN_PORT: listen.port: expected a port from 0 to 65535, not "x"',
        'ATEDGE_BRIDGE_RULES: bridge.rules: expected a list of rules',
        'flag health.enabled: health.enabled: expected true or false, not "maybe"',
      ],
    })
  })

  test('is never a file that is not there', async () => {
    await expect(loadConfig({ file: '/no/such/atedge.yaml', env: {} })).rejects.toThrow(
      '/no/such/atedge.yaml: cannot be read (ENOENT); expected a YAML file',
    )
  })

  test('has a variable of its own for every setting', () => {
    const variables = settingsOf(defaults('h')).map(({ path }) => variableOf(path))
    expect(new Set(variables).size).toBe(variables.length)
    expect(variables).toEqual(expect.arrayContaining(['ATEDGE_DATA_DIR', 'ATEDGE_FEDERATION_CLIENT_CERTIFICATE']))
  })
})
