import fc from 'fast-check'
import { wireTime } from '../../src/core/clock.ts'

// Commands of every verb in their canonical spelling: parsed and formatted, each is what it was.

type Text = fc.Arbitrary<string>

const chars = (alphabet: string, least: number, most: number): Text =>
  fc.string({ unit: fc.constantFrom(...alphabet), minLength: least, maxLength: most })
/** All of it, one behind the other. */
const line = (...parts: (Text | string)[]): Text =>
  fc.tuple(...parts.map((part) => (typeof part === 'string' ? fc.constant(part) : part))).map((all) => all.join(''))
const either = (...parts: (Text | string)[]): Text =>
  fc.oneof(...parts.map((part) => (typeof part === 'string' ? fc.constant(part) : part)))
/** There or not. */
const opt = (...parts: (Text | string)[]): Text => fc.oneof(fc.constant(''), line(...parts))

const lower = 'abcdefghijklmnopqrstuvwxyz'
const digits = '0123456789'
const count: Text = fc.nat(1e12).map(String)
const natural: Text = fc.integer({ min: 1, max: 1e6 }).map(String)
const bool = either('true', 'false')
const time: Text = fc.nat(4e12).map(wireTime)
const atSign = either(line('@', chars(`${lower}${digits}_-`, 1, 12)), '@bob', '@🦄', '@ключ')
const own = '@alice'
const name: Text = fc
  .array(chars(`${lower}${digits}_-`, 1, 9), { minLength: 1, maxLength: 4 })
  .map((labels) => labels.join('.'))
const key = line(either('', '', 'public:', '@bob:', '@carol:', 'cached:@alice:', 'cached:public:'), name, own)
const anyKey = either(key, line(name, atSign), 'privatekey:at_secret', `private:blocklist${own}`)
const token = chars(`${lower}${lower.toUpperCase()}${digits}+/=._-`, 1, 40)
const base64: Text = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes).toString('base64') || 'AA==')
const uuid: Text = fc.uuid()
/** Any text of one line that does not begin or end in what is trimmed. */
const value: Text = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 60 })
  .map((text) => text.replaceAll(/[\p{Cc}\p{Cs}\p{Z}]/gu, '~') || 'v')
const json: Text = fc.jsonValue({ maxDepth: 3 }).map((inner) => JSON.stringify({ version: '3.0.57', inner }))
const appMetadata: Text = json.map((text) => Buffer.from(text).toString('base64'))
const pattern = either(
  '.wavi',
  '^public:',
  '(a+)+$',
  chars(`${lower}.*+`, 1, 1).map((text) => `x${text}`),
)

const texts = (...names: string[]): Text => line(...names.map((tag) => opt(`:${tag}:`, token)))
const metadata = line(
  ...[opt(':ttl:', count), opt(':ttb:', count), opt(':ttr:', either('-1', natural)), opt(':ccd:', bool)],
  ...[opt(':cAt:', time), opt(':uAt:', time), opt(':eAt:', time), opt(':aAt:', time)],
  texts('dataSignature', 'sharedKeyStatus'),
  ...[opt(':isBinary:', bool), opt(':isEncrypted:', bool)],
  texts('sharedKeyEnc', 'pubKeyCS', 'pubKeyHash', 'hashingAlgo', 'encoding', 'encKeyName', 'encAlgo', 'ivNonce'),
  texts('skeEncKeyName', 'skeEncAlgo'),
  ...[opt(':immutable:', bool), opt(':appMetadata:', appMetadata)],
)
/** Most commands carry few tags or none. */
const someMetadata = either('', '', metadata)

const view = opt(either(':meta', ':all'))
const body = line(name, own, opt(':', value))
const recipients = either('@bob', '@bob,@carol', '@alice')
const expiry = either('', line(':ttln:', count), line(':eAtn:', time))
const document = fc
  .array(fc.record({ id: fc.nat(99), command: either(line('llookup:', key), line('update:', key, ' v')) }))
  .map((commands) => JSON.stringify(commands))
const day: Text = fc.integer({ min: 0, max: 20_000 }).map((at) => new Date(at * 86_400_000).toISOString().slice(0, 10))

/** By the verb's name. */
export const commands: Readonly<Record<string, Text>> = {
  from: line('from:', atSign, opt(':clientConfig:', json)),
  cram: line('cram:', chars('0123456789abcdef', 1, 128)),
  pkam: line(
    ...[
      'pkam',
      opt(':signingAlgo:', either('rsa2048', 'ecc_secp256r1')),
      opt(':hashingAlgo:', either('sha256', 'sha512')),
    ],
    ...[opt(':enrollmentId:', uuid), ':', base64],
  ),
  pol: fc.constant('pol'),
  to: line('to:', atSign),
  update: line('update', opt(':nc'), someMetadata, ':', anyKey, ' ', value),
  'update:meta': line('update:meta', opt(':nc'), ':', either(key, line(name, atSign)), someMetadata),
  delete: line(
    'delete',
    opt(':dAt:', time),
    opt(':nc'),
    opt(':force'),
    opt(':priority:', either('low', 'medium', 'high')),
    ':',
    anyKey,
  ),
  llookup: line('llookup', view, ':', anyKey),
  lookup: line('lookup', opt(':bypassCache:', bool), view, ':', anyKey),
  plookup: line('plookup', opt(':bypassCache:', bool), view, ':', anyKey),
  scan: line(
    'scan',
    opt(':cl'),
    opt(':showhidden:', bool),
    opt(':', atSign),
    opt(':page:', natural),
    opt(' ', pattern),
  ),
  notify: line(
    ...['notify', opt(':id:', uuid), opt(either(':update', ':delete')), opt(':messageType:key')],
    ...[opt(':priority:', either('low', 'medium', 'high')), opt(':strategy:', either('all', 'latest'))],
    ...[opt(':latestN:', natural), opt(':notifier:', token), expiry, opt(':eph'), someMetadata, ':', atSign, ':', body],
  ),
  'notify:all': line(
    'notify:all',
    opt(either(':update', ':delete')),
    opt(':messageType:key'),
    someMetadata,
    ':',
    recipients,
    ':',
    body,
  ),
  'notify:multi': line('notify:multi', expiry, opt(':eph'), someMetadata, ':', recipients, ':', body),
  'notify:list': line('notify:list', opt(':', day, opt(':', day)), opt(':', pattern)),
  'notify:fetch': line('notify:fetch:', uuid),
  'notify:status': line('notify:status:', uuid),
  'notify:remove': line('notify:remove:', uuid),
  monitor: line(
    'monitor',
    opt(':strict'),
    opt(':selfNotifications'),
    opt(':multiplexed'),
    opt(':', count),
    opt(' ', pattern),
  ),
  'sync:from': line(
    'sync:from:',
    either('-1', count),
    opt(':limit:', count),
    opt(':skipDeletesUntil:', count),
    opt(':', pattern),
  ),
  batch: line('batch', opt(':abortOnFailure'), ':', document),
  stats: either(
    'stats',
    line('stats:', either('1,2,3', '7', '16,17')),
    line('stats:', either('3', '15'), opt(':', pattern)),
  ),
  config: line(
    'config:',
    either(
      'block:show',
      line('block:add:', atSign),
      line('block:remove:', atSign),
      line('print:', name),
      line('set:', name, '=', value),
    ),
  ),
  keys: line(
    ...['keys:', either('put', 'get', 'delete'), opt(either(':public', ':private', ':self'))],
    ...[
      opt(':namespace:', chars(lower, 1, 9)),
      opt(':appName:', chars(lower, 1, 9)),
      opt(':deviceName:', chars(lower, 1, 9)),
    ],
    ...[
      opt(':keyType:', chars(lower, 1, 9)),
      opt(':encryptionKeyName:', chars(lower, 1, 9)),
      opt(':keyName:', name),
      opt(' ', value),
    ],
  ),
  stream: line('stream:init', atSign, ' namespace:wavi 1 ', token, ' ', count),
  info: line('info', opt(either(':brief', ':mtls', ':mtlsbrief'))),
  noop: line('noop:', fc.nat(99_999).map(String)),
  '@exit': fc.constant('@exit'),
}
