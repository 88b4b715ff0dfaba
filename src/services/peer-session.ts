import { type Link, replyData } from '../wire/link.ts'

/** A conversation with another atServer that several services share. */
export interface PeerSession {
  /**
   * Sends a command when its turn comes and waits for its reply line.
   * @throws AtError AT0004, AT0005, AT0011 or AT0023 when the connection failed, never for an `error:` line
   */
  request(line: string): Promise<string>
  /**
   * Whether the peer is of at_server 3.17 or later: it takes `eAtn` and answers pipelined lines one by one (page 07,
   * sections 1 and 12). Asked once, by `info:brief`; from then on such a peer is not waited for between commands.
   */
  isRecent(): Promise<boolean>
  /** True while a command is on its way or waits for its turn. */
  readonly busy: boolean
  readonly closed: boolean
  close(): void
}

interface Feature {
  readonly name?: unknown
  readonly status?: unknown
}

/** Reads the reply to `info:brief`; whatever cannot be read lists nothing. */
function lists(reply: string, feature: string): boolean {
  try {
    const { features } = JSON.parse(replyData(reply)) as { features?: unknown }
    if (!Array.isArray(features)) return false
    const entries = (features as (Feature | null)[]).filter((entry) => entry?.name === feature)
    return entries.length > 0 && entries.every((entry) => entry?.status !== 'Retired')
  } catch {
    return false
  }
}

/**
 * Shares a link. Servers before 3.16.6 take two lines that arrive together for one command, so commands go one at a time
 * until the peer is known to be newer.
 */
export function createPeerSession(link: Link): PeerSession {
  let last: Promise<unknown> = Promise.resolve()
  let waiting = 0
  let recent: Promise<boolean> | undefined
  let pipelines = false

  const send = async (line: string): Promise<string> => {
    waiting++
    try {
      return await link.request(line)
    } finally {
      waiting--
    }
  }

  const inTurn = async (line: string): Promise<string> => {
    waiting++
    const mine = last.then(() => link.request(line))
    last = mine.catch(() => {})
    try {
      return await mine
    } finally {
      waiting--
    }
  }

  const request = (line: string): Promise<string> => (pipelines ? send(line) : inTurn(line))

  return {
    request,
    isRecent() {
      recent ??= request('info:brief').then((reply) => {
        pipelines = lists(reply, 'notify.eAtn')
        return pipelines
      })
      return recent
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
