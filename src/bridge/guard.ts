import { Duplex } from 'node:stream'
import { limitPackets } from './packet-limit.ts'

/** A connection of a sensor, from wherever it was accepted. */
export type Connection = Duplex & { readonly remoteAddress?: string | undefined }

/** A connection behind a guard: what the broker reads and writes instead of it. */
export interface Guarded {
  readonly stream: Duplex
  /** Stops reading until `release`; what was read already still arrives. */
  hold(): void
  release(): void
}

/**
 * Puts two bounds in front of the broker that it lacks: a packet of more than `packetBytes` ends the connection before it is
 * gathered, and reading can be stopped while messages wait for their commit.
 */
export function guard(socket: Connection, packetBytes: number): Guarded {
  const fits = limitPackets(packetBytes)
  let held = false
  const stream = new Duplex({
    read() {
      if (!held) socket.resume()
    },
    write: (chunk, _encoding, done) => void socket.write(chunk, done),
    // Acknowledgements come in three pieces each: to join them costs less than to have the socket write them all.
    writev: (chunks, done) => void socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done),
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.destroy()
      done(error)
    },
  })
  socket.on('data', (chunk: Buffer) => {
    if (!fits(chunk)) stream.destroy(new Error(`a packet is longer than ${packetBytes} bytes`))
    else if (!stream.push(chunk) || held) socket.pause()
  })
  socket.on('end', () => stream.push(null))
  socket.on('error', (error) => stream.destroy(error))
  // After a clean end the broker still reads what has arrived, and ends the stream by itself.
  socket.on('close', () => {
    if (!socket.readableEnded) stream.destroy()
  })
  return {
    stream,
    hold() {
      held = true
      socket.pause()
    },
    release() {
      if (!held) return
      held = false
      socket.resume()
    },
  }
}
