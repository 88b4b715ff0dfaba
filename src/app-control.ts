import type { AtServer } from './app.ts'
import type { Clock } from './core/clock.ts'
import { AtError } from './core/errors.ts'
import { limits } from './core/limits.ts'
import type { Log } from './core/log.ts'
import { listenUnix } from './net/unix.ts'
import { type ControlCommand, type ControlCommands, createControl } from './server/control.ts'
import { openLink } from './wire/link.ts'

/** What `reload` reads anew, by name: certificates, say. What a function resolves with is shown to who asked. */
export type Reloads = Readonly<Record<string, () => Promise<unknown>>>

/** Reads everything anew; a part that fails keeps what it had, and says why. */
export async function reloadAll(reloads: Reloads): Promise<Readonly<Record<string, unknown>>> {
  const done = Object.entries(reloads).map(async ([name, reload]) => {
    try {
      return [name, (await reload()) ?? true] as const
    } catch (error) {
      return [name, { error: error instanceof Error ? error.message : String(error) }] as const
    }
  })
  return Object.fromEntries(await Promise.all(done))
}

/**
 * Runs one command of the atProtocol as the owner, `{"line":"scan"}`, and gives its reply line: `{"reply":"data:[…]"}`.
 * Whoever may use the control socket needs no keys; the values of records stay encrypted.
 */
export const verbCommand =
  (server: Pick<AtServer, 'activated' | 'connectAsOwner'>, clock: Clock): ControlCommand =>
  async ({ line }, { signal }) => {
    if (typeof line !== 'string' || line.trim() === '') throw new AtError('AT0003', '"line" has to be a command')
    if (/^\s*monitor\b/i.test(line)) throw new AtError('AT0022', 'monitor has no end: use `atedge monitor`')
    if (!(await server.activated())) throw new AtError('AT0401', 'it has no owner yet: run `atedge activate`')
    const link = openLink(server.connectAsOwner(), { clock, replyMs: limits.commandMs })
    const leave = (): void => link.close()
    signal.addEventListener('abort', leave)
    try {
      await link.ready
      return { reply: await link.request(line) }
    } finally {
      signal.removeEventListener('abort', leave)
      link.close()
    }
  }

/**
 * Answers commands on the control socket.
 * @returns a function that ends them and removes the socket
 * @throws Error that names the path when it cannot be used
 */
export async function startControl(options: {
  path: string
  commands: ControlCommands
  clock: Clock
  log: Log
}): Promise<() => Promise<void>> {
  const control = createControl(options)
  const listener = await listenUnix({
    path: options.path,
    maxSockets: limits.controlConnections,
    onConnection: control.handle,
  })
  return async () => {
    await control.close()
    await listener.close()
  }
}
