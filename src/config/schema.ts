import * as v from 'valibot'
import { limits } from '../core/limits.ts'
import * as is from './leaf.ts'

/** Folder of the device that the system runs. */
export const standardDataDir = '/var/lib/atedge'

/**
 * Every setting with its default, spelled as in the file; `undefined` marks settings without one.
 * The environment and the flags know the settings by the paths of this tree.
 */
export const defaults = (hostname: string) => ({
  atSign: undefined,
  dataDir: standardDataDir,
  // Dual stack: the unspecified IPv6 address takes IPv4 connections too.
  listen: { host: '::', port: 6464 },
  host: hostname,
  certificates: { chain: undefined, key: undefined, ca: undefined },
  rootServer: { addresses: ['root.atsign.org:64'], cache: '10m', register: false },
  directory: {
    enabled: false,
    host: '::',
    port: 6400,
    entries: {},
    registration: true,
    lookupsPerSecond: 1_000,
    forward: [],
    redis: {
      servers: [],
      sentinels: [],
      primary: 'mymaster',
      database: 0,
      username: undefined,
      passwordFile: undefined,
      sentinelUsername: undefined,
      sentinelPasswordFile: undefined,
      tls: false,
      ca: undefined,
    },
  },
  federation: { clientCertificate: 'if-present', clientPurpose: 'lenient' },
  notification: { autoNotify: true, expiry: '15m', keep: '8d', maxBytes: 268_435_456 },
  storage: { durability: undefined, interval: '2s', scrub: 256, maxBytes: undefined, endurance: 10 },
  clock: { trusted: false },
  testingMode: false,
  bridge: {
    enabled: true,
    keys: undefined,
    namespace: 'sensors',
    broker: { host: '127.0.0.1', port: 1883, username: undefined, passwordFile: undefined },
    rules: [],
  },
  health: { enabled: true, interval: '1m', topic: 'atedge/host', recipients: ['self'] },
  snapshots: { enabled: true, interval: '1d', keep: 3 },
  backup: { recipient: undefined, passphraseFile: undefined },
  control: { path: undefined },
  log: { level: 'info' },
})

/** Paths of the settings that name files or folders. */
export const filePaths: readonly string[] = [
  'dataDir',
  'certificates.chain',
  'certificates.key',
  'certificates.ca',
  'bridge.keys',
  'bridge.broker.passwordFile',
  'backup.passphraseFile',
  'control.path',
  'directory.redis.passwordFile',
  'directory.redis.sentinelPasswordFile',
  'directory.redis.ca',
]

const mostRules = 1_000
const mostAddresses = 16
const file = is.text('the path of a file')
const topic = is.text('an MQTT topic without wildcards', /^[^+#$\u0000][^+#\u0000]{0,255}$/u)
const optional = v.exactOptional

const ttr = is.leaf('a duration of whole seconds such as 10m, or forever', (value) => {
  if (value === 'forever') return -1
  const ms = v.safeParse(is.duration(), value)
  return ms.success && ms.output % 1_000 === 0 ? ms.output / 1_000 : undefined
})

const threshold = is.leaf('a number above 0', (value) =>
  typeof value === 'number' && Number.isFinite(value) && value > 0 ? value : undefined,
)

const recipients = v.pipe(
  v.array(is.atSignOr('self', 'public'), 'expected a list of recipients'),
  v.minLength(1, 'expected at least one recipient'),
  v.maxLength(100, 'expected at most 100 recipients'),
)

const durability = is.oneOf('group', 'interval')

const rule = is.section({
  topic: is.text('an MQTT topic filter such as zigbee2mqtt/+device'),
  key: is.text('the name of a record such as temperature.{device}'),
  value: optional(is.text('a path into the JSON payload such as $.temperature')),
  unit: optional(is.text('a unit such as °C', /^[^\p{C}]{1,32}$/u)),
  format: v.optional(is.oneOf('json', 'raw'), 'json'),
  recipients: v.optional(recipients, ['self']),
  update: v.optional(is.flag, true),
  notify: v.optional(is.flagOr('ephemeral'), false),
  durability: optional(durability),
  ttl: optional(is.duration(' of at least 1s', 1_000)),
  ttr: optional(ttr),
  minInterval: optional(is.duration()),
  changeThreshold: optional(threshold),
})

/** Addresses, of which a single one may stand for itself. */
const addresses = (what: string, shape: RegExp) =>
  is.leaf(`${what}, or a list of them`, (value) => {
    const given: unknown[] = Array.isArray(value) ? value : [value]
    const texts = given.filter((text) => typeof text === 'string' && shape.test(text)) as readonly string[]
    return texts.length === given.length && texts.length <= mostAddresses ? texts : undefined
  })

const directoryAddresses = addresses(
  'an address of a directory such as root.atsign.org:64',
  /^(?:proxy:)?(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[1-9]\d{0,4})?$/,
)
const serverAddresses = addresses(
  'an address such as redis.local:6379',
  /^(?:\[[0-9A-Fa-f:.]{2,45}\]|[A-Za-z0-9._-]{1,253})(?::[1-9]\d{0,4})?$/,
)

/** The shape of a configuration once defaults, environment and flags are laid over each other. Durations become milliseconds. */
export const settings = is.section({
  atSign: is.atSign,
  dataDir: is.text('the path of a folder'),
  listen: is.section({ host: is.hostName, port: is.listenPort }),
  host: is.hostName,
  certificates: is.section({ chain: optional(file), key: optional(file), ca: optional(file) }),
  rootServer: is.section({
    addresses: v.pipe(directoryAddresses, v.minLength(1, 'expected at least one address')),
    cache: is.duration(' from 1s to 1d', 1_000, 86_400_000),
    register: is.flag,
  }),
  directory: is.section({
    enabled: is.flag,
    host: is.hostName,
    port: is.listenPort,
    entries: is.byAtSign(is.text("an address such as 'host:6464'", /^[A-Za-z0-9._-]{1,253}:[1-9]\d{0,4}$/)),
    registration: is.flag,
    lookupsPerSecond: is.count('lookups of one client in a second', 1, 1_000_000),
    forward: directoryAddresses,
    redis: is.section({
      servers: serverAddresses,
      sentinels: serverAddresses,
      primary: is.text('the name that the Sentinels know the primary by', /^[A-Za-z0-9._-]{1,64}$/),
      database: is.count('a database', 0, 65_535),
      username: optional(is.text('a user name')),
      passwordFile: optional(file),
      sentinelUsername: optional(is.text('a user name')),
      sentinelPasswordFile: optional(file),
      tls: is.flag,
      ca: optional(file),
    }),
  }),
  federation: is.section({
    clientCertificate: is.oneOf('required', 'if-present', 'off'),
    clientPurpose: is.oneOf('lenient', 'strict'),
  }),
  notification: is.section({
    autoNotify: is.flag,
    expiry: is.duration(' from 1s to 8d', 1_000, limits.notificationMaxMs),
    keep: is.duration(' from 1m to 8d', 60_000, limits.notificationMaxMs),
    maxBytes: is.count('a number of bytes', 1_048_576, Number.MAX_SAFE_INTEGER),
  }),
  clock: is.section({ trusted: is.flag }),
  testingMode: is.flag,
  storage: is.section({
    durability: optional(durability),
    interval: is.duration(' from 100ms to 1h', 100, 3_600_000),
    endurance: is.count('TB that the card bears in its life', 1, 1_000_000),
    maxBytes: optional(is.countOrDigits('a number of bytes', 33_554_432, Number.MAX_SAFE_INTEGER)),
    scrub: is.count('MiB to check in a day, 0 for none', 0, 1_048_576),
  }),
  bridge: is.section({
    enabled: is.flag,
    keys: optional(file),
    namespace: is.text('a namespace in lower case such as sensors', /^[a-z0-9][a-z0-9_-]{0,54}$/),
    broker: is.section({
      host: is.hostName,
      port: is.listenPort,
      username: optional(is.text('a user name')),
      passwordFile: optional(file),
    }),
    rules: v.pipe(
      v.array(rule, 'expected a list of rules'),
      v.maxLength(mostRules, `expected at most ${mostRules} rules`),
    ),
  }),
  health: is.section({
    enabled: is.flag,
    interval: is.duration(' of at least 1s', 1_000),
    topic,
    recipients,
  }),
  snapshots: is.section({
    enabled: is.flag,
    interval: is.duration(' from 5m to 365d', 300_000, 31_536_000_000),
    keep: is.count('a number of snapshots', 1, 100),
  }),
  backup: is.section({ recipient: optional(is.atSign), passphraseFile: optional(file) }),
  control: is.section({ path: optional(file) }),
  log: is.section({ level: is.oneOf('trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent') }),
})

export type Settings = v.InferOutput<typeof settings>

/**
 * A whole configuration: every default filled in, durations in milliseconds, `ttr` in seconds (-1 for ever),
 * files and folders as absolute paths.
 */
export interface Config extends Omit<Settings, 'bridge' | 'control'> {
  readonly bridge: Settings['bridge'] & { readonly keys: string }
  readonly control: { readonly path: string }
  /** Output goes to the journal of systemd, which stamps lines by itself. Told by the environment alone. */
  readonly underSystemd: boolean
}

/** A finding about one setting. */
export interface Finding {
  /** Keys and list positions down to the setting: `['bridge', 'rules', 0, 'topic']`. */
  readonly path: readonly (string | number)[]
  /** What is expected, as a sentence without its start. */
  readonly message: string
}
