import { type Identity, permits } from '../core/access.ts'
import { type AtKey, parseAtKey } from '../core/at-key.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { isLive, mergeMetadata } from '../core/metadata.ts'
import { jsonLine, lineBreak } from '../core/one-line.ts'
import { inTurns } from '../core/turns.ts'
import { anyOrder, type Part, param, seq, token } from '../wire/grammar.ts'
import { data, type Reply } from '../wire/reply.ts'
import { type Call, defineVerb, type Ports } from './verb.ts'

type Enrolled = Extract<Identity, { via: 'pkam' }>

/** One of a list of words behind a colon, if it is there. */
function word<const N extends string, const W extends string>(name: N, ...words: W[]): Part<{ [K in N]?: W }> {
  const shape = new RegExp(`^:(${words.join('|')})(?=[: ]|$)`, 'i')
  return {
    read(cursor, out) {
      const found = shape.exec(cursor.text.slice(cursor.at))
      if (found?.[1] === undefined) return
      out[name] = found[1].toLowerCase()
      cursor.at += found[0].length
    },
    write: (params) => (params[name] === undefined ? '' : `:${params[name]}`),
  }
}

/** A name may be a whole key, colons included. */
const keyName: Part<{ keyName?: string }> = {
  read(cursor, out) {
    const found = /^:keyName:(\S+)/i.exec(cursor.text.slice(cursor.at))
    if (found === null) return
    out['keyName'] = found[1]
    cursor.at += found[0].length
  },
  write: (p) => (p.keyName === undefined ? '' : `:keyName:${p.keyName}`),
}

const value: Part<{ value?: string }> = {
  read(cursor, out) {
    const rest = cursor.text.slice(cursor.at)
    if (!rest.startsWith(' ') || rest.length === 1) return
    if (lineBreak.test(rest)) throw invalidSyntax('value holds a line break')
    out['value'] = rest.slice(1)
    cursor.at = cursor.text.length
  },
  write: (p) => (p.value === undefined ? '' : ` ${p.value}`),
}

const name = token(/^[\w-]+$/)
const grammar = seq(
  word('action', 'put', 'get', 'delete'),
  word('visibility', 'public', 'private', 'self'),
  anyOrder(
    ...[param('namespace', token(/^\w+$/)), param('appName', name), param('deviceName', name)],
    ...[param('keyType', name), param('encryptionKeyName', name)],
  ),
  keyName,
  value,
)

type Params = ReturnType<typeof grammar.parse>

/** Namespace of keys that are meant for every enrollment (page 02, section 9). */
const everybody = '__global'

const folders = { public: '__public_keys', private: '__private_keys', self: '__self_keys' } as const

/** The key under which `keys:put` stores (page 02, section 9). @throws AtError AT0003 */
function keyToPut(p: Params, ports: Ports): AtKey {
  const { visibility, namespace = everybody } = p
  if (visibility === undefined) throw invalidSyntax('keys:put needs public, private or self')
  if (p.keyName === undefined || !/^[\w.-]+$/.test(p.keyName)) throw invalidSyntax('keys:put needs a keyName')
  const place = `${p.keyName}.${folders[visibility]}.${namespace}${ports.self}`
  if (visibility === 'public') return parseAtKey(`public:${place}`)
  if (p.appName === undefined || p.deviceName === undefined)
    throw invalidSyntax('keys:put needs appName and deviceName')
  return parseAtKey(`${visibility === 'private' ? 'private:' : ''}${p.appName}.${p.deviceName}.${place}`)
}

/** Every enrollment may share keys with all; elsewhere it needs what any write needs there. */
function checkNamespace({ namespace = everybody }: Params, who: Enrolled, ports: Ports): void {
  if (namespace === everybody) return
  if (namespace === '__manage' && who.namespaces['__manage'] === 'rw') return
  const key = parseAtKey(`key.${namespace}${ports.self}`)
  const refusal = permits(who, { op: 'write', key, verb: 'keys' })
  if (refusal !== undefined) throw refusal
}

/** Whose record it is, by its stored JSON; undefined for records that `keys` did not write. */
function holderOf(stored: string | null): unknown {
  try {
    return (JSON.parse(stored ?? 'null') as { enrollmentId?: unknown } | null)?.enrollmentId
  } catch {
    return undefined
  }
}

/** The two keys that an approval leaves for an enrollment; `enroll` writes them (page 02, section 9). */
const defaultKeys = (who: Enrolled, ports: Ports): Record<'private' | 'self', string> => ({
  private: `${who.enrollmentId}.default_enc_private_key.__manage${ports.self}`,
  self: `${who.enrollmentId}.default_self_enc_key.__manage${ports.self}`,
})

const isOwn = (key: AtKey, stored: string | null, who: Enrolled, ports: Ports): boolean =>
  Object.values(defaultKeys(who, ports)).includes(key.text) || holderOf(stored) === who.enrollmentId

const foreign = (who: Enrolled, act: 'access' | 'delete', wanted: string): AtError =>
  new AtError('AT0009', `Enrollment ${who.enrollmentId} is not authorized to ${act} key ${wanted}`)

async function put(p: Params, who: Enrolled, ports: Ports): Promise<Reply> {
  if (p.value === undefined) throw invalidSyntax('keys:put needs a value')
  const key = keyToPut(p, ports)
  checkNamespace(p, who, ports)
  const { keyType = null, encryptionKeyName = null } = p
  const document = JSON.stringify({ value: p.value, keyType, enrollmentId: who.enrollmentId, encryptionKeyName })
  await ports.write(async (tx) => {
    const now = ports.clock.now()
    const stored = await tx.record(key.text)
    if (stored !== undefined && !isOwn(key, stored.value, who, ports)) throw foreign(who, 'access', key.text)
    const metadata = mergeMetadata(stored?.metadata, {}, { by: ports.self, now, newValue: true })
    await tx.putRecord(key, { value: document, metadata }, { operation: '*', opTime: now, commit: false })
  })
  return data('-1')
}

/** The record that a keyName means, judged. @throws AtError AT0015, AT0009 */
async function ownRecord(wanted: string, who: Enrolled, ports: Ports, act: 'access' | 'delete') {
  const key = parseAtKey(wanted)
  const record = await ports.records.get(key.text)
  if (record === undefined || !isLive(record.metadata, ports.clock.now())) {
    throw new AtError('AT0015', `key ${key.text} not found in keystore`)
  }
  if (!isOwn(key, record.value, who, ports)) throw foreign(who, act, key.text)
  return { key, record }
}

async function list(visibility: keyof typeof folders, who: Enrolled, ports: Ports, { signal }: Call): Promise<Reply> {
  const found: string[] = []
  const folder = `.${folders[visibility]}.`
  const entries = ports.records.entries(visibility === 'self' ? '' : `${visibility}:`)
  for await (const [text] of inTurns(entries, ports.clock, signal)) {
    if (text.includes(folder) && holderOf((await ports.records.get(text))?.value ?? null) === who.enrollmentId)
      found.push(text)
  }
  const approved = visibility === 'public' ? undefined : defaultKeys(who, ports)[visibility]
  if (approved !== undefined && (await ports.records.get(approved)) !== undefined) found.push(approved)
  return data(jsonLine(found))
}

export const keys = defineVerb({
  name: 'keys',
  summary: 'Keep and read the keys of an enrollment (deprecated; older apps end their enrollment with it).',
  grammar,
  admits: ['owner'],
  async run(p, ports, call) {
    const who = call.session.identity
    if (who.kind !== 'owner' || who.via !== 'pkam') {
      throw new AtError('AT0011', 'Keys verb cannot be accessed without an enrollmentId')
    }
    if (p.action === 'put') return put(p, who, ports)
    if (p.action === 'get' && p.keyName !== undefined) {
      return data((await ownRecord(p.keyName, who, ports, 'access')).record.value)
    }
    if (p.action === 'get' && p.visibility !== undefined) return list(p.visibility, who, ports, call)
    if (p.action !== 'delete' || p.keyName === undefined)
      throw invalidSyntax('expected keys:put, keys:get or keys:delete')
    const { key } = await ownRecord(p.keyName, who, ports, 'delete')
    await ports.write((tx) => tx.removeRecord(key, { operation: '-', opTime: ports.clock.now(), commit: false }))
    return data('-1')
  },
  examples: [
    'keys:get:self',
    'keys:put:public:namespace:__global:keyType:rsa2048:keyName:encryption_1 MIIBIj',
    'keys:put:self:appName:wavi:deviceName:pixel:keyType:aes256:encryptionKeyName:encryption_1:keyName:my_key Y2lwaGVy',
    'keys:get:keyName:0f6c1b9e.default_enc_private_key.__manage@alice',
    'keys:delete:keyName:public:encryption_1.__public_keys.__global@alice',
  ],
})
