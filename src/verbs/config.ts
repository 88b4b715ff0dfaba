import { permits } from '../core/access.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { AtError, invalidSyntax } from '../core/errors.ts'
import { limits } from '../core/limits.ts'
import { type Metadata, mergeMetadata } from '../core/metadata.ts'
import type { Session } from '../core/session.ts'
import { type Part, seq } from '../wire/grammar.ts'
import { data, type Reply } from '../wire/reply.ts'
import { blockListKey, parseBlockList } from './block-list.ts'
import { defineVerb, type Ports } from './verb.ts'

/** Settings that released servers can be told while they run (page 01, 9.5, and page 07, section 14), all in testing mode only. */
const settings: ReadonlySet<string> = new Set([
  ...['inboundMaxLimit', 'commitLogCompactionFrequencyMins', 'accessLogCompactionFrequencyMins'],
  ...['notificationKeyStoreCompactionFrequencyMins', 'autoNotify', 'maxNotificationRetries', 'checkCertificateReload'],
  ...['shouldReloadCertificates', 'doCacheRefreshNow', 'maxRequestsPerTimeFrame', 'timeFrameInMills'],
  'timeFrameInMillis',
])

interface Blocking {
  readonly block: 'add' | 'remove' | 'show'
  readonly atSigns: readonly AtSign[]
}
interface Setting {
  readonly setting: 'set' | 'reset' | 'print'
  readonly name: string
  readonly value?: string
}
interface Params {
  readonly config: Blocking | Setting
}

/** `@bob @carol`. */
function readAtSigns(text: string): AtSign[] {
  const words = text.split(' ')
  const wrong = words.find((word) => !/^@[^@:\s]+$/.test(word))
  if (wrong !== undefined) throw invalidSyntax(`"${wrong.slice(0, 32)}" is not an atSign such as @bob`)
  return [...new Set(words.map(parseAtSign))]
}

function readSetting(setting: Setting['setting'], text: string): Setting {
  if (setting !== 'set') return { setting, name: text }
  const split = text.indexOf('=')
  if (split < 1) throw new AtError('AT0022', `config:set takes <name>=<value>, not "${text.slice(0, 32)}"`)
  return { setting, name: text.slice(0, split), value: text.slice(split + 1) }
}

const part: Part<Params> = {
  read(cursor, out) {
    const match = /^:(?:block:(show|(?:add|remove)(?=:))|(set|reset|print)(?=:))(?::(.+))?$/is.exec(cursor.text)
    const [, block, setting, rest] = match ?? []
    if (block !== undefined) {
      const word = block.toLowerCase() as Blocking['block']
      if ((word === 'show') !== (rest === undefined))
        throw invalidSyntax(`config:block:${word} has the wrong arguments`)
      out['config'] = { block: word, atSigns: rest === undefined ? [] : readAtSigns(rest) }
    } else if (setting !== undefined && rest !== undefined) {
      out['config'] = readSetting(setting.toLowerCase() as Setting['setting'], rest)
    } else throw invalidSyntax('expected block:add, block:remove, block:show, set, reset or print')
    cursor.at = cursor.text.length
  },
  write({ config }) {
    if ('block' in config) {
      return `:block:${config.block}${config.atSigns.length === 0 ? '' : `:${config.atSigns.join(' ')}`}`
    }
    return `:${config.setting}:${config.name}${config.value === undefined ? '' : `=${config.value}`}`
  },
}

/** Changes the list in one atomic step. @returns the lists before and after */
function changeList(
  ports: Ports,
  change: (before: readonly AtSign[]) => AtSign[],
): Promise<{ before: AtSign[]; after: AtSign[] }> {
  const key = blockListKey(ports.self)
  return ports.write(async (tx) => {
    const now = ports.clock.now()
    const stored = await tx.record(key.text)
    const before = parseBlockList(stored?.value)
    const after = change(before)
    if (after.length > limits.blockedAtSigns) {
      throw new AtError('AT0022', `more than ${limits.blockedAtSigns} atSigns cannot be blocked`)
    }
    const metadata: Metadata = mergeMetadata(stored?.metadata, {}, { by: ports.self, now, newValue: true })
    const value = JSON.stringify({ blockList: after })
    await tx.putRecord(key, { value, metadata }, { operation: '*', opTime: now, commit: false })
    return { before, after }
  })
}

async function changeBlocking({ block, atSigns }: Blocking, ports: Ports): Promise<Reply> {
  if (block === 'show') {
    const list = parseBlockList((await ports.records.get(blockListKey(ports.self).text))?.value)
    return data(list.length === 0 ? null : JSON.stringify(list))
  }
  if (block === 'remove') {
    const { before } = await changeList(ports, (list) => list.filter((atSign) => !atSigns.includes(atSign)))
    return data(before.length === 0 ? null : 'success')
  }
  // Who blocks its own atSign would lock itself out.
  const others = atSigns.filter((atSign) => atSign !== ports.self)
  await changeList(ports, (list) => [...new Set([...list, ...others])])
  for (const atSign of others) ports.disconnect(atSign)
  return data('success')
}

/** Changes or shows a setting for whoever may change the block list. */
function tune({ setting, name, value = '' }: Setting, { tuning, self }: Ports, { identity }: Session): Reply {
  if (tuning === undefined) return data('testing mode disabled by default')
  const refusal = permits(identity, { op: 'write', key: blockListKey(self), verb: 'config' })
  if (refusal !== undefined) throw refusal
  if (setting === 'print') return data(tuning.print(name))
  if (setting === 'set') tuning.set(name, value)
  else tuning.reset(name)
  return data('ok')
}

export const config = defineVerb({
  name: 'config',
  summary: 'Block other atSigns, or see who is blocked.',
  grammar: seq(part),
  admits: ['owner'],
  // Whoever may see the list may change it: root enrollments and the owner by CRAM (page 08, 7.2).
  access: (p, _session, self) =>
    'block' in p.config ? [{ op: 'write', key: blockListKey(self), verb: 'config' }] : [],
  async run({ config: asked }, ports, { session }) {
    if ('block' in asked) return changeBlocking(asked, ports)
    if (!settings.has(asked.name)) throw new AtError('AT0022', `config does not know "${asked.name.slice(0, 64)}"`)
    return tune(asked, ports, session)
  },
  examples: [
    'config:block:add:@bob @carol',
    'config:block:remove:@bob',
    'config:block:show',
    'config:set:inboundMaxLimit=10',
    'config:print:autoNotify',
    'config:reset:autoNotify',
  ],
})
