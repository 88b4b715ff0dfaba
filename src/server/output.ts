import type { Duplex } from 'node:stream'
import { limits } from '../core/limits.ts'
import type { Turn } from './turn.ts'

/** Bytes on their way to one client. Each message is a whole reply or notification. */
export interface Output {
  /** @param bytes of the message, where they are known */
  push(message: string, bytes?: number): void
  /** Writes what was pushed, together with what else this turn brings, as soon as the write before it has left. */
  flush(): void
  /** Bytes that were pushed and have not left yet, or a record more while a write is under way. */
  waiting(): number
  /** Writes what was pushed at once. The task runs when that has left, but for a last record that the stream still has. */
  whenFlushed(task: () => void): void
}

/** Messages that leave in one write. */
interface Write {
  text: string
  bytes: number
}

/** Bytes that stay with the LF and the prompt when a long reply is cut into TLS records. */
const tailBytes = 4_096

/**
 * Writes messages so that no TLS record boundary separates a reply's LF from its prompt: several short messages share a
 * record, and the tail of a long one gets a record of its own. A write waits for the one before it, because Node would
 * join waiting writes and cut them elsewhere. A stream of messages (`writableObjectMode`) gets each whole, by itself.
 * @param onDrained called when nothing waits any more, after more than one write was needed
 */
export function createOutput(stream: Duplex, turn: Turn, onDrained: () => void): Output {
  const isWholes = stream.writableObjectMode
  /** Writes to come, but for the last: messages that share a record are joined already. */
  const queue: Write[] = []
  /** The last write to come, which may grow still; empty when there is none. */
  let text = ''
  let textBytes = 0
  let waiting = 0
  /** Bytes of the write that has not left yet; a message has at least one. */
  let underWay = 0
  /** Bytes of the last write of which nobody hears when it has left. */
  let unheard = 0
  let scheduled = false
  let flushTasks: (() => void)[] = []

  /** Each character of ASCII is one byte in Latin 1 as well, which Node writes faster. */
  const writeText = ({ text: whole, bytes }: Write, onLeft?: () => void): void => {
    stream.write(whole, bytes === whole.length && !isWholes ? 'latin1' : 'utf8', onLeft)
  }

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

  const takeLast = (): Write => {
    const last = { text, bytes: textBytes }
    text = ''
    textBytes = 0
    return last
  }

  /** The usual case, one short answer and nothing before it: hearing when it has left would cost more than it tells. */
  const writeUnheard = (): boolean => {
    if (textBytes === 0 || textBytes > limits.tlsRecordBytes || isWholes) return false
    if (queue.length > 0 || flushTasks.length > 0 || stream.writableLength > 0) return false
    const last = takeLast()
    unheard = last.bytes
    waiting -= last.bytes
    writeText(last)
    return true
  }

  const nextWrite = (): Write | undefined => queue.shift() ?? (textBytes === 0 ? undefined : takeLast())

  const pump = (): void => {
    if (underWay > 0 || !stream.writable) return
    const next = nextWrite()
    if (next === undefined) {
      const tasks = flushTasks
      flushTasks = []
      for (const task of tasks) task()
      onDrained()
      return
    }
    underWay = next.bytes
    // Behind one write that is under way the stream joins no other with this one.
    if (next.bytes > limits.tlsRecordBytes && !isWholes) writeLong(next.text, next.bytes)
    else writeText(next, written)
  }

  const pumpNow = (): void => {
    scheduled = false
    if (underWay === 0 && stream.writable && !writeUnheard()) pump()
  }

  return {
    push(message, bytes = Buffer.byteLength(message)) {
      waiting += bytes
      if (textBytes > 0 && (isWholes || textBytes + bytes > limits.tlsRecordBytes)) {
        queue.push(takeLast())
        text = message
        textBytes = bytes
        return
      }
      text = textBytes === 0 ? message : text + message
      textBytes += bytes
    },
    flush() {
      // Nothing to write is nothing to be told of either: whoever then looks for more to say would do so in every turn.
      if (scheduled || underWay > 0 || textBytes === 0) return
      scheduled = true
      turn.atEnd(pumpNow)
    },
    waiting: () => (stream.writableLength > 0 ? waiting + unheard : waiting),
    whenFlushed(task) {
      flushTasks.push(task)
      pump()
    },
  }
}
