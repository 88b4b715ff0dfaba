/** A set of texts in fixed memory that forgets none, and now and then takes a text for one that it holds. */
export interface TextFilter {
  add(text: string): void
  /** False for no text that was added. */
  mayHold(text: string): boolean
}

/** 16 KiB: with 10,000 texts one other in a hundred is taken for one of them. */
const words = 4_096
const bitsPerText = 3

/** Two numbers out of a text, by FNV-1a and by a multiplication of its own. */
function hashes(text: string): readonly [number, number] {
  let first = 0x811c9dc5
  let second = 0x9747b28c
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index)
    first = Math.imul(first ^ code, 0x01000193)
    second = Math.imul(second ^ code, 0x5bd1e995)
    second ^= second >>> 15
  }
  return [first, second | 1]
}

/** Makes an empty set. */
export function createTextFilter(): TextFilter {
  const bits = new Uint32Array(words)
  const bitOf = ([first, second]: readonly [number, number], time: number): readonly [number, number] => {
    const bit = (first + Math.imul(time, second)) >>> 0
    return [(bit >>> 5) % words, 1 << (bit & 31)]
  }
  return {
    add(text) {
      const pair = hashes(text)
      for (let time = 0; time < bitsPerText; time++) {
        const [word, mask] = bitOf(pair, time)
        bits[word] = (bits[word] ?? 0) | mask
      }
    },
    mayHold(text) {
      const pair = hashes(text)
      for (let time = 0; time < bitsPerText; time++) {
        const [word, mask] = bitOf(pair, time)
        if (((bits[word] ?? 0) & mask) === 0) return false
      }
      return true
    },
  }
}
