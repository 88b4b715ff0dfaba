import { Duplex } from 'node:stream'
import type { WebSocket } from 'ws'
import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import type { Log } from '../core/log.ts'

/** Ends a WebSocket whose other side is gone: it answers no ping. One that is not read now cannot be heard. */
function watch(socket: WebSocket, clock: Clock): void {
  let heard = true
  const hear = (): void => {
    heard = true
  }
  const beat = (): void => {
    if (!heard && !socket.isPaused) {
      socket.terminate()
      return
    }
    heard = false
    socket.ping()
    cancel = clock.after(limits.webSocketPingMs, beat)
  }
  let cancel = clock.after(limits.webSocketPingMs, beat)
  socket.on('message', hear)
  socket.on('pong', hear)
  socket.on('close', () => cancel())
}

/**
 * A WebSocket as a stream. What comes in is bytes, whatever the messages were. What goes out keeps its borders: one
 * write is one message, text of a string and binary of bytes (page 07, 18.3).
 */
export function webSocketStream(socket: WebSocket, { clock, log }: { clock: Clock; log: Log }): Duplex {
  const stream = new Duplex({
    writableObjectMode: true,
    read: () => socket.resume(),
    write(message: string | Uint8Array, _encoding, done) {
      // Who said goodbye hears nothing more; what was asked for before is still done.
      if (socket.readyState !== socket.OPEN) done()
      else socket.send(message, { binary: typeof message !== 'string' }, done)
    },
    final(done) {
      socket.close(1000)
      done()
    },
    destroy(error, done) {
      socket.terminate()
      done(error)
    },
  })
  socket.on('message', (bytes) => {
    // `ws` hands over one Buffer unless told otherwise.
    if (!stream.push(bytes)) socket.pause()
  })
  socket.on('error', (error) => log('debug', 'a WebSocket failed', { reason: error.message }))
  socket.on('close', () => stream.push(null))
  watch(socket, clock)
  return stream
}
