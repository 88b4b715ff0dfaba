import type { Duplex } from 'node:stream'
import { limits } from '../core/limits.ts'

/** Bytes on their way to one client. Each message is a whole reply or notification. */
export interface Output {
  push(message: string): void
  /** Writes what was pushed, as soon as the write before it has left. */
  flush(): void
  /** The same at the end of the turn, together with whatever else the turn brings. */
  flushSoon(): void
  /** Bytes that were pushed and have not left yet. */
  waiting(): number
  /** Runs once everything pushed so far has left. */
  whenFlushed(task: () => void): void
}

/** Messages that leave in one write. */
interface Write {
  text: string
  bytes: number
}

/** Bytes that stay with the LF and the prompt when a long reply is cut into TLS records. */
const tailBytes = 4_096

/** A microtask of its own for each flush; `queueMicrotask` would make an asynchronous resource as well. */
const turnEnds = Promise.resolve()

/**
 * Writes messages so that no TLS record boundary separates a reply's LF from its prompt: several short messages share a
 * record, and the tail of a long one gets a record of its own. A write waits for the one before it, because Node would
 * join waiting writes and cut them elsewhere. A stream of messages (`writableObjectMode`) gets each whole, by itself.
 */
export function createOutput(stream: Duplex, onDrained: () => void): Output {
  const isWholes = stream.writableObjectMode
  /** Writes to come: messages that share a record are joined already. */
  let queue: Write[] = []
  let waiting = 0
  /** Bytes of the write that has not left yet; a message has at least one. */
  let underWay = 0
  let scheduled = false
  let flushTasks: (() => void)[] = []

  const written = (): void => {
    waiting -= underWay
    underWay = 0
    pump()
  }

  const writeLong = (text: string, bytes: number): void => {
    const whole = Buffer.from(text)
    const cut = bytes - tailBytes
    stream.write(whole.subarray(0, cut), () => {
      if (!stream.destroyed) stream.write(whole.subarray(cut), written)
    })
  }

  const pump = (): void => {
    if (underWay > 0 || !stream.writable) return
    const first = queue[0]
    if (first === undefined) {
      const tasks = flushTasks
      flushTasks = []
      for (const task of tasks) task()
      onDrained()
      return
    }
    underWay = first.bytes
    if (queue.length === 1) queue = []
    else queue.shift()
    if (first.bytes > limits.tlsRecordBytes && !isWholes) writeLong(first.text, first.bytes)
    else stream.write(first.text, written)
  }

  return {
    push(message) {
      const bytes = Buffer.byteLength(message)
      waiting += bytes
      const last = queue[queue.length - 1]
      if (last === undefined || isWholes || last.bytes + bytes > limits.tlsRecordBytes) {
        queue.push({ text: message, bytes })
        return
      }
      last.text += message
      last.bytes += bytes
    },
    flushSoon() {
      if (scheduled) return
      scheduled = true
      void turnEnds.then(() => {
        scheduled = false
        pump()
      })
    },
    flush: pump,
    waiting: () => waiting,
    whenFlushed(task) {
      flushTasks.push(task)
      pump()
    },
  }
}
