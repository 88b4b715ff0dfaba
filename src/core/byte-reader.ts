/** Takes exact numbers of bytes from a stream; holds what was asked for and one chunk more at most. */
export interface ByteReader {
  /** The next bytes; fewer only when the stream ends before. */
  take(bytes: number): Promise<Buffer>
  /** The same without taking them. */
  peek(bytes: number): Promise<Buffer>
  /** Everything up to and with the next LF; what is there when the stream ends or `longest` bytes came without one. */
  takeLine(longest: number): Promise<Buffer>
  isAtEnd(): Promise<boolean>
  /** Everything behind, as it comes. */
  rest(): AsyncGenerator<Buffer>
  /** Lets go of the stream, read to its end or not. */
  close(): Promise<void>
}

const lf = 0x0a

/** @param chunks the stream, however it is cut */
export function createByteReader(chunks: AsyncIterable<Uint8Array>): ByteReader {
  const source = chunks[Symbol.asyncIterator]()
  let held: Buffer = Buffer.alloc(0)

  /** Joins once, however many chunks it takes. @returns false when the stream ended before */
  async function fill(bytes: number): Promise<boolean> {
    const parts = [held]
    let size = held.length
    while (size < bytes) {
      const { value, done } = await source.next()
      if (done === true) break
      parts.push(Buffer.from(value.buffer, value.byteOffset, value.byteLength))
      size += value.byteLength
    }
    if (parts.length > 1) held = Buffer.concat(parts)
    return size >= bytes
  }

  function cut(bytes: number): Buffer {
    const taken = held.subarray(0, bytes)
    held = held.subarray(bytes)
    return taken
  }

  return {
    async take(bytes) {
      await fill(bytes)
      return cut(bytes)
    },
    async peek(bytes) {
      await fill(bytes)
      return held.subarray(0, bytes)
    },
    async takeLine(longest) {
      for (let searched = 0; ; ) {
        const end = held.indexOf(lf, searched)
        if (end !== -1 && end < longest) return cut(end + 1)
        searched = held.length
        if (searched >= longest || !(await fill(searched + 1))) return cut(longest)
      }
    },
    isAtEnd: async () => !(await fill(1)),
    async *rest() {
      while (await fill(1)) yield cut(held.length)
    },
    close: async () => void (await source.return?.()),
  }
}
