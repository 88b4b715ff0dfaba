import { Duplex } from 'node:stream'

/** The server's end of a connection, which remembers every write as a socket would see it. */
export interface Recorder {
  readonly stream: Duplex
  /** One entry for each write; what was waiting together is one, as in Node's sockets. */
  readonly writes: Buffer[]
  /** Bytes of the client, in one piece. */
  send(bytes: string | Uint8Array): void
  /** Resolves with the bytes since the last call, once there are some and they end with this text. */
  until(end: string): Promise<string>
}

/** @param writeLater takes what completes a write; by default it is complete in the next turn */
export function recorder(writeLater: (done: () => void) => void = setImmediate): Recorder {
  const writes: Buffer[] = []
  let watch = (): void => {}
  let seen = 0
  const record = (bytes: Buffer, done: () => void): void => {
    writes.push(bytes)
    watch()
    writeLater(done)
  }
  const stream = new Duplex({
    read() {},
    write: (chunk: Buffer, _encoding, done) => record(chunk, done),
    writev: (chunks, done) => record(Buffer.concat(chunks.map(({ chunk }) => chunk as Buffer)), done),
  })
  return {
    stream,
    writes,
    send: (bytes) => void stream.push(Buffer.from(bytes)),
    until: (end) =>
      new Promise((resolve) => {
        watch = () => {
          const text = Buffer.concat(writes.slice(seen)).toString('utf8')
          if (text === '' || !text.endsWith(end)) return
          seen = writes.length
          watch = () => {}
          resolve(text)
        }
        watch()
      }),
  }
}
