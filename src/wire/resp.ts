/** What Redis answers (RESP2, redis.io/docs/reference/protocol-spec): text, number, nothing, an error, or a list of these. */
export type RespValue = string | number | null | RespError | readonly RespValue[]

/** An answer that is an error. Its first word is its kind: `WRONGTYPE`, `NOAUTH`, `READONLY`. */
export class RespError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'RespError'
  }
}

/** Bounds of one answer: bytes held while it is incomplete, and lists inside lists. */
const mostBytes = 8_388_608
const deepest = 4

/** A command as Redis takes it: a list of binary-safe texts. */
export function formatCommand(words: readonly (string | number)[]): string {
  const texts = words.map(String)
  return `*${texts.length}\r\n${texts.map((text) => `$${Buffer.byteLength(text)}\r\n${text}\r\n`).join('')}`
}

/** Reads answers out of chunks. @throws Error for bytes that are no RESP2, and for an answer that is too large */
export interface RespReader {
  /** Answers completed by these bytes, in order. */
  push(chunk: Uint8Array): RespValue[]
}

const cr = 13
const broken = (what: string): Error => new Error(`it does not speak the Redis protocol: ${what}`)

/** A position in bytes; what it gives is undefined when more bytes are needed. */
interface Cursor {
  at: number
  line(): string | undefined
  text(length: number): string | undefined
}

const cursorOn = (bytes: Buffer): Cursor => ({
  at: 0,
  line() {
    const end = bytes.indexOf('\r\n', this.at)
    return end === -1 ? undefined : this.text(end - this.at)
  },
  text(length) {
    const end = this.at + length
    if (bytes.length < end + 2) return undefined
    if (bytes[end] !== cr) throw broken('a text has another length than it says')
    const text = bytes.toString('utf8', this.at, end)
    this.at = end + 2
    return text
  },
})

function lengthOf(text: string): number {
  const length = /^(?:-1|\d{1,8})$/.test(text) ? Number(text) : Number.NaN
  if (Number.isNaN(length) || length > mostBytes) throw broken(`"${text.slice(0, 32)}" is no length`)
  return length
}

function readList(cursor: Cursor, length: number, depth: number): RespValue[] | undefined {
  if (depth === deepest) throw broken('lists stand too deep inside one another')
  const list: RespValue[] = []
  for (let index = 0; index < length; index++) {
    const value = readValue(cursor, depth + 1)
    if (value === undefined) return undefined
    list.push(value)
  }
  return list
}

function readValue(cursor: Cursor, depth: number): RespValue | undefined {
  const line = cursor.line()
  if (line === undefined) return undefined
  const rest = line.slice(1)
  switch (line[0]) {
    case '+':
      return rest
    case '-':
      return new RespError(rest)
    case ':':
      return Number(rest)
    case '$': {
      const length = lengthOf(rest)
      return length === -1 ? null : cursor.text(length)
    }
    case '*': {
      const length = lengthOf(rest)
      return length === -1 ? null : readList(cursor, length, depth)
    }
    default:
      throw broken(`an answer begins with "${line.slice(0, 1)}"`)
  }
}

export function respReader(): RespReader {
  let held: Buffer = Buffer.alloc(0)
  return {
    push(chunk) {
      held = held.length === 0 ? Buffer.from(chunk) : Buffer.concat([held, chunk])
      const values: RespValue[] = []
      const cursor = cursorOn(held)
      let taken = 0
      while (taken < held.length) {
        const value = readValue(cursor, 0)
        if (value === undefined) break
        values.push(value)
        taken = cursor.at
      }
      held = held.subarray(taken)
      if (held.length > mostBytes) throw broken(`an answer is larger than ${mostBytes} bytes`)
      return values
    },
  }
}
