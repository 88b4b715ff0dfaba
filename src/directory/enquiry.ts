import type { Duplex } from 'node:stream'
import type { Clock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { lineSplitter } from '../wire/framing.ts'

/** Questions to one atDirectory, over a few connections that are used again. */
export interface Enquiries {
  /** @returns the directory's answer as it stands: `host:port` or `null`. @throws AtError AT0021, AT0023 */
  ask(name: string): Promise<string>
  close(): void
}

interface EnquiryOptions {
  readonly clock: Clock
  readonly dial: () => Promise<Duplex>
  readonly name: string
  readonly replyMs: number
}

/** One connection to a directory; one question at a time, because the reference reads one name per chunk. */
interface Conversation {
  ask(name: string): Promise<string>
  readonly closed: boolean
  close(): void
}

const answerBytes = 1_024
const keptMs = 5_000
const mostConnections = 8
/** Questions that wait for a connection; strangers make more of them than a slow directory answers. */
const mostWaiting = 1_000

function converse(stream: Duplex, { clock, name, replyMs }: EnquiryOptions): Conversation {
  const lines = lineSplitter(answerBytes)
  let settle: ((answer: string | AtError) => void) | undefined
  let closed = false

  const close = (error?: AtError): void => {
    if (closed) return
    closed = true
    settle?.(error ?? new AtError('AT0021', `${name} closed the connection`))
    stream.end()
    setImmediate(() => stream.destroy())
  }

  stream.on('data', (chunk: Uint8Array) => {
    for (const frame of closed ? [] : lines.push(chunk)) {
      // The prompt of the answer before stands in front of this one (page 05, 3.1).
      const text = frame.kind === 'line' ? frame.text.replace(/^@+/, '') : ''
      if (text === '' || settle === undefined) close(new AtError('AT0021', `${name} does not answer as an atDirectory`))
      else settle(text)
    }
  })
  stream.on('end', () => close())
  stream.on('close', () => close())
  stream.on('error', (cause) => close(new AtError('AT0021', `Connection to ${name} failed: ${cause.message}`)))

  return {
    ask: (question) =>
      new Promise((resolve, reject) => {
        const stopTimer = clock.after(replyMs, () => {
          close(new AtError('AT0023', `${name} did not answer within ${replyMs} ms`))
        })
        settle = (answer) => {
          stopTimer()
          settle = undefined
          if (answer instanceof AtError) reject(answer)
          else resolve(answer)
        }
        stream.write(`${question}\n`)
      }),
    get closed() {
      return closed
    },
    close: () => {
      if (!closed) stream.write('@exit\n')
      close()
    },
  }
}

export function createEnquiries(options: EnquiryOptions): Enquiries {
  const { clock, dial, name } = options
  const idle = new Map<Conversation, () => void>()
  const waiting: (() => void)[] = []
  let busy = 0
  let closed = false

  const acquire = async (): Promise<Conversation> => {
    for (const [conversation, stopTimer] of idle) {
      idle.delete(conversation)
      stopTimer()
      if (!conversation.closed) return conversation
    }
    try {
      return converse(await dial(), options)
    } catch (cause) {
      const reason = cause instanceof AtError ? cause.message : `Unable to connect to ${name}: ${String(cause)}`
      throw new AtError('AT0021', `the atDirectory cannot be asked: ${reason}`, { cause })
    }
  }

  const keep = (conversation: Conversation): void => {
    const drop = (): void => {
      idle.delete(conversation)
      conversation.close()
    }
    idle.set(conversation, clock.after(keptMs, drop))
  }

  const ask = async (question: string): Promise<string> => {
    const conversation = await acquire()
    const answer = await conversation.ask(question)
    // The reference punishes the second miss on a connection with 3 seconds and the third with its end (page 05, 3.2).
    if (answer === 'null' || closed) conversation.close()
    else keep(conversation)
    return answer
  }

  return {
    async ask(question) {
      if (waiting.length >= mostWaiting) {
        throw new AtError('AT0021', `${name} is asked more than it answers: ${mostWaiting} questions wait`)
      }
      if (busy < mostConnections) busy++
      else await new Promise<void>((resolve) => waiting.push(resolve))
      try {
        return await ask(question)
      } finally {
        // The place goes to whoever waits longest.
        const next = waiting.shift()
        if (next === undefined) busy--
        else next()
      }
    },
    close() {
      closed = true
      for (const [conversation, stopTimer] of idle) {
        stopTimer()
        conversation.close()
      }
      idle.clear()
    },
  }
}
