import { type Duplex, duplexPair } from 'node:stream'

/**
 * When `from` is gone, `to` still reads what was written before, and closes: a destroyed side of a pair tells the other one
 * nothing, which would wait, or work on, for nobody.
 */
function passOnClose(from: Duplex, to: Duplex): void {
  from.once('close', () => {
    if (to.destroyed) return
    if (to.readableEnded) {
      to.destroy()
      return
    }
    to.once('end', () => to.destroy())
    to.push(null)
  })
}

/** Two ends of a connection inside the process, which notice like sockets when the other one goes away. */
export function inProcessPair(): [near: Duplex, far: Duplex] {
  const [near, far] = duplexPair()
  passOnClose(near, far)
  passOnClose(far, near)
  return [near, far]
}
