import type { Clock } from './core/clock.ts'
import { limits } from './core/limits.ts'
import type { Log } from './core/log.ts'
import { listenUnix } from './net/unix.ts'
import { type ControlCommands, createControl } from './server/control.ts'

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
