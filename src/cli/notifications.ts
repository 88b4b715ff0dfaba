import type { Command } from 'commander'
import { type ConnectOptions, withClient, withConnection } from './connect.ts'
import { type Io, print } from './io.ts'
import { duration } from './records.ts'

interface Common extends ConnectOptions {
  readonly json?: boolean
}

async function notify(
  key: string,
  value: string | undefined,
  options: Common & { delete?: boolean; ephemeral?: boolean; ttln?: string },
  io: Io,
): Promise<void> {
  await withClient(options, io, async (client) => {
    const id = await client.notify(key, value, {
      operation: options.delete ? 'delete' : 'update',
      ...(options.ephemeral ? { ephemeral: true } : {}),
      ...(options.ttln === undefined ? {} : { ttln: duration(options.ttln) }),
    })
    print(io, options.json, { id }, () => `queued as ${id}`)
  })
}

async function monitor(pattern: string | undefined, options: Common & { since?: string }, io: Io): Promise<void> {
  await withClient(options, io, async (client) => {
    const stop = new AbortController()
    void io.stopped.then(() => stop.abort())
    const since = options.since === undefined ? undefined : Date.now() - duration(options.since)
    const notifications = client.monitor({
      signal: stop.signal,
      ...(pattern === undefined ? {} : { pattern }),
      ...(since === undefined ? {} : { since }),
    })
    for await (const notification of notifications) {
      const { at, from, operation, key, value, problem } = notification
      print(io, options.json, notification, () =>
        [new Date(at).toISOString(), from, operation, key, problem ?? value ?? ''].join('  '),
      )
    }
  })
}

/** `atedge notify | monitor`. */
export function addNotificationCommands(program: Command, io: Io): void {
  withConnection(program.command('notify').argument('<key>', 'such as @bob:door.alarm').argument('[value]'))
    .description('send a notification, encrypted for its recipient')
    .option('--delete', 'say that the key is gone')
    .option('--ephemeral', 'kept in memory alone, for two minutes at most; nothing is written to flash')
    .option('--ttln <duration>', 'how long delivery may be tried, such as 1h')
    .addHelpText('after', '\nExample:\n  atedge notify @bob:door.alarm open -a @alice')
    .action((key: string, value: string | undefined, options) => notify(key, value, options, io))
  withConnection(program.command('monitor').argument('[pattern]', 'regular expression for keys or senders'))
    .description('print notifications, decrypted, as they arrive; ends with Ctrl-C')
    .option('--since <duration>', 'begin with those of the last 10m, 1h, …')
    .addHelpText('after', '\nExample:\n  atedge monitor sensors --since 10m --json -a @alice')
    .action((pattern: string | undefined, options) => monitor(pattern, options, io))
}
