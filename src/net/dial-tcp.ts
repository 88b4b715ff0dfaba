import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { limits } from '../core/limits.ts'

/** Silence after which the kernel asks whether the other side is still there. */
const keepAliveMs = 60_000

/**
 * Opens a plain TCP connection, for services of the same site.
 * @param options `timeoutMs` is `limits.dialMs` unless told
 * @throws AtError AT0021 that names host, port and reason
 */
export function dialTcp(options: { host: string; port: number; clock: Clock; timeoutMs?: number }): Promise<Duplex> {
  const { host, port, clock, timeoutMs = limits.dialMs } = options
  return new Promise((resolve, reject) => {
    const socket = connect({ host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: keepAliveMs })
    const fail = (reason: string): void => {
      stopTimer()
      socket.destroy()
      reject(new AtError('AT0021', `Unable to connect to ${host}:${port}: ${reason}`))
    }
    const stopTimer = clock.after(timeoutMs, () => fail('timed out'))
    // A reset before the new owner listens for errors must not stop the process.
    socket.on('error', (error) => fail(error.message))
    socket.once('connect', () => {
      stopTimer()
      resolve(socket)
    })
  })
}
