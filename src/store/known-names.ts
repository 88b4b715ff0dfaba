// LevelDB looks for a name that is not there in one file after the other, and a file that was looked into in vain a hundred
// times it merges with the next level, for the sake of later readers: a notification that comes in costs more by the two
// questions whether it is there already than by being written. So what is not there is known here.

/** Which names the rows of a table have. */
export interface KnownNames {
  /** True when no row has this name, for sure. */
  isAbsent(name: string): boolean
  /** A row has it from now on. */
  add(name: string): void
  /** The database was asked for a name in vain: once that has happened often, all names are read. */
  missed(): void
  /** The database is another one now. */
  forget(): void
}

/** Names that a filter remembers; it takes some others for one of them. */
interface Filter {
  add(name: string): void
  mayHave(name: string): boolean
  isFull(): boolean
}

const bitsEach = 10
const probes = 5
const fewestBits = 2 ** 18
/** One MiB, for 800,000 names; of more, some more are asked of the database. */
const mostBits = 2 ** 23

/** A Bloom filter. @param expected names that it has room for at least, up to its largest size */
function createFilter(expected: number): Filter {
  const bits = Math.min(Math.max(2 ** Math.ceil(Math.log2(bitsEach * expected)), fewestBits), mostBits)
  const room = Math.max(bits / bitsEach, expected)
  const words = new Uint32Array(bits / 32)
  let count = 0
  let first = 0
  let step = 0

  function hash(name: string): void {
    let one = 0x811c9dc5
    let other = 0
    for (let at = 0; at < name.length; at += 1) {
      const code = name.charCodeAt(at)
      one = Math.imul(one ^ code, 0x01000193)
      other = Math.imul(other + code, 0x85ebca6b)
    }
    // The lowest bits depend on the lowest bits of the letters alone before the others are mixed in.
    first = one ^ (one >>> 15)
    step = (other ^ (other >>> 13)) | 1
  }

  return {
    add(name) {
      hash(name)
      count += 1
      for (let probe = 0; probe < probes; probe += 1) {
        const bit = (first + Math.imul(probe, step)) & (bits - 1)
        words[bit >>> 5] = (words[bit >>> 5] ?? 0) | (1 << (bit & 31))
      }
    },
    mayHave(name) {
      hash(name)
      for (let probe = 0; probe < probes; probe += 1) {
        const bit = (first + Math.imul(probe, step)) & (bits - 1)
        if (((words[bit >>> 5] ?? 0) & (1 << (bit & 31))) === 0) return false
      }
      return true
    },
    isFull: () => count > room,
  }
}

/** Questions in vain that are fewer than reading all names is worth. */
const missesBefore = 32
const fewestExpected = 16_384

/**
 * @param parts `names` reads all of them, as they are at the moment of the call, and may fail: then nothing is known until
 * `forget`; `count` says how many there are, about
 */
export function createKnownNames(parts: {
  readonly names: () => AsyncIterable<string>
  readonly count: () => number
}): KnownNames {
  let known: Filter | undefined
  let learning: Filter | undefined
  let misses = 0
  /** Names that were read last. */
  let found = 0
  /** The names could not be read. */
  let isVain = false

  async function learn(): Promise<void> {
    const filter = createFilter(2 * Math.max(parts.count(), found, fewestExpected))
    learning = filter
    found = 0
    try {
      for await (const name of parts.names()) {
        if (learning !== filter) return
        filter.add(name)
        found += 1
      }
      if (learning === filter) known = filter
    } catch {
      isVain ||= learning === filter
    }
    if (learning === filter) learning = undefined
  }

  return {
    isAbsent: (name) => known?.mayHave(name) === false,
    add(name) {
      known?.add(name)
      learning?.add(name)
      // Names of rows that are gone fill it as well.
      if (known?.isFull() === true && learning === undefined && !isVain) void learn()
    },
    missed() {
      misses += 1
      if (misses >= missesBefore && known === undefined && learning === undefined && !isVain) void learn()
    },
    forget() {
      known = undefined
      learning = undefined
      misses = 0
      isVain = false
    },
  }
}
