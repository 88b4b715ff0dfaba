import type { Command } from 'commander'
import { parseDuration } from '../config/duration.ts'
import { parseAtKey } from '../core/at-key.ts'
import { parseAtSign } from '../core/at-sign.ts'
import { systemClock } from '../core/clock.ts'
import { openLink, replyData } from '../wire/link.ts'
import { type ConnectOptions, findTarget, withClient, withConnection } from './connect.ts'
import { ExitError, type Io, print } from './io.ts'

interface Common extends ConnectOptions {
  readonly json?: boolean
}

/** A duration such as `90s` in milliseconds. */
export function duration(text: string): number {
  const ms = parseDuration(text)
  if (ms === undefined) throw new Error(`"${text}" is not a duration such as 90s, 15m or 1h`)
  return ms
}

const notThere = (key: string): ExitError => new ExitError(1, `${key} is not there, or not for you`)

/** What a stranger sees: a lookup without login at the owner's atServer. */
async function getAsStranger(key: string, options: Common, io: Io): Promise<void> {
  const { owner, entity } = parseAtKey(key)
  if (owner === undefined) throw new Error(`say whose key it is: ${key}@alice`)
  const target = await findTarget({ ...options, atsign: owner }, io)
  const link = openLink(await target.connectTo(owner), { clock: systemClock })
  try {
    await target.greet(link, owner)
    const value = replyData(await link.request(`lookup:${entity}${owner}`))
    print(io, options.json, { key: `public:${entity}${owner}`, value }, () => value)
  } finally {
    link.close()
    target.close()
  }
}

async function get(
  key: string,
  options: Common & { bypassCache?: boolean; anonymous?: boolean },
  io: Io,
): Promise<void> {
  if (options.anonymous) return getAsStranger(key, options, io)
  await withClient(options, io, async (client) => {
    const record = await client.get(key, { bypassCache: options.bypassCache ?? false })
    if (record === undefined) throw notThere(key)
    print(io, options.json, record, () => record.value ?? '')
  })
}

async function put(
  key: string,
  value: string,
  options: Common & { ttl?: string; ttr?: string },
  io: Io,
): Promise<void> {
  await withClient(options, io, async (client) => {
    const ttr = options.ttr === 'forever' ? -1 : options.ttr === undefined ? undefined : duration(options.ttr) / 1000
    const commitId = await client.put(key, value, {
      ...(options.ttl === undefined ? {} : { ttl: duration(options.ttl) }),
      ...(ttr === undefined ? {} : { ttr }),
    })
    print(io, options.json, { key, commitId }, () => `stored, commit ${commitId}`)
  })
}

async function remove(key: string, options: Common, io: Io): Promise<void> {
  await withClient(options, io, async (client) => {
    const commitId = await client.delete(key)
    print(io, options.json, { key, commitId }, () => `deleted, commit ${commitId}`)
  })
}

async function scan(
  pattern: string | undefined,
  options: Common & { at?: string; showHidden?: boolean },
  io: Io,
): Promise<void> {
  await withClient(options, io, async (client) => {
    const keys = await client.scan(pattern, {
      showHidden: options.showHidden ?? false,
      ...(options.at === undefined ? {} : { atSign: parseAtSign(options.at) }),
    })
    if (options.json || keys.length > 0) print(io, options.json, keys, () => keys.join('\n'))
  })
}

/** `atedge get | put | delete | scan`. */
export function addRecordCommands(program: Command, io: Io): void {
  withConnection(
    program.command('get').argument('<key>', 'such as temperature.kitchen.sensors@device or public:city@bob'),
  )
    .description('read a record of your own or of another atSign, decrypted')
    .option('--bypass-cache', 'ask the other atServer even when a copy is at hand')
    .option('--anonymous', 'ask the owner without logging in, as a stranger would')
    .addHelpText('after', '\nExample:\n  atedge get temperature.kitchen.sensors@device -a @alice')
    .action((key: string, options) => get(key, options, io))
  withConnection(
    program.command('put').argument('<key>', 'such as @bob:note.wavi, public:city or note.wavi').argument('<value>'),
  )
    .description('store a record, encrypted unless it is public')
    .option('--ttl <duration>', 'life of the record, such as 1h')
    .option('--ttr <duration>', 'how long a recipient may keep a copy, such as 10m, or forever')
    .addHelpText('after', '\nExample:\n  atedge put @bob:note.wavi "see you at six" --ttl 1h -a @alice')
    .action((key: string, value: string, options) => put(key, value, options, io))
  withConnection(program.command('delete').argument('<key>'))
    .description('remove a record')
    .addHelpText('after', '\nExample:\n  atedge delete @bob:note.wavi -a @alice')
    .action((key: string, options) => remove(key, options, io))
  withConnection(program.command('scan').argument('[pattern]', 'regular expression that keys must contain'))
    .description('list keys, here or at another atServer')
    .option('--at <atSign>', 'list what that atSign shares with you')
    .option('--show-hidden', 'also names that start with an underscore')
    .addHelpText('after', '\nExample:\n  atedge scan sensors --at @device -a @alice')
    .action((pattern: string | undefined, options) => scan(pattern, options, io))
}
