import { type Duplex, duplexPair } from 'node:stream'

/** Ends what `to` can still read when `from` is gone: a destroyed side of a pair tells the other one nothing. */
function passOnClose(from: Duplex, to: Duplex): void {
  from.once('close', () => {
    if (!to.readableEnded && !to.destroyed) to.push(null)
  })
}

/** Two ends of a connection inside the process, which notice like sockets when the other one goes away. */
export function inProcessPair(): [near: Duplex, far: Duplex] {
  const [near, far] = duplexPair()
  passOnClose(near, far)
  passOnClose(far, near)
  return [near, far]
}
