import { type Link, replyData } from '../wire/link.ts'

/** Features that decide how notifications are written to a peer. */
export interface PeerFeatures {
  readonly eAtn: boolean
  readonly eph: boolean
}

/** A conversation with another atServer that several services share. */
export interface PeerSession {
  /**
   * Sends a command when its turn comes and waits for its reply line.
   * @throws AtError AT0004, AT0005, AT0011 or AT0023 when the connection failed, never for an `error:` line
   */
  request(line: string): Promise<string>
  /**
   * What the peer lists, asked once, by `info:brief` (page 07, section 12). One with `eAtn` is of at_server 3.17 or later
   * and answers pipelined lines one by one; from then on it is not waited for between commands.
   */
  features(): Promise<PeerFeatures>
  /** True while a command is on its way or waits for its turn. */
  readonly busy: boolean
  readonly closed: boolean
  close(): void
}

interface Feature {
  readonly name?: unknown
  readonly status?: unknown
}

/** Reads the reply to `info:brief`: a refusal lists nothing; undefined for what cannot be read (page 07, section 12). */
function listed(reply: string): readonly (Feature | null)[] | undefined {
  if (reply.startsWith('error:')) return []
  try {
    const { features } = JSON.parse(replyData(reply)) as { features?: unknown }
    return Array.isArray(features) ? features : []
  } catch {
    return undefined
  }
}

function lists(features: readonly (Feature | null)[], name: string): boolean {
  const entries = features.filter((entry) => entry?.name === name)
  return entries.length > 0 && entries.every((entry) => entry?.status !== 'Retired')
}

/**
 * Shares a link. Servers before 3.16.6 take two lines that arrive together for one command, so commands go one at a time
 * until the peer is known to be newer.
 * @param onAnswer called for every answer
 */
export function createPeerSession(link: Link, onAnswer: () => void = () => {}): PeerSession {
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  let known: Promise<PeerFeatures> | undefined
  let pipelines = false

  const inTurn = (line: string): Promise<string> => {
    const mine = last.then(() => link.request(line))
    last = mine.catch(() => {})
    return mine
  }

  const isOver = (): void => {
    waiting--
  }

  const isAnswered = (): void => {
    isOver()
    onAnswer()
  }

  const request = (line: string): Promise<string> => {
    waiting++
    const reply = pipelines ? link.request(line) : inTurn(line)
    // Whoever waits for the reply hears of a failure.
    reply.then(isAnswered, isOver)
    return reply
  }

  return {
    request,
    features() {
      known ??= request('info:brief').then((reply) => {
        const read = listed(reply)
        // It is asked again when it matters.
        if (read === undefined) known = undefined
        const all = read ?? []
        const features = { eAtn: lists(all, 'notify.eAtn'), eph: lists(all, 'notify.eph') }
        pipelines = features.eAtn
        return features
      })
      return known
    },
    get busy() {
      return waiting > 0
    },
    get closed() {
      return link.closed
    },
    close: () => link.close(),
  }
}
