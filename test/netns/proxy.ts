import { connect, createServer, type Socket } from 'node:net'

/** What a bad line does to what passes over it. */
export interface Impairment {
  /** Each way, in milliseconds. */
  readonly delayMs: number
  /** Share of pieces that come a retransmission later, from 0 to 1. */
  readonly lossShare: number
  /** Nothing passes, and nobody is told. */
  readonly isCut: boolean
}

const retransmissionMs = 200

/**
 * Passes TCP connections on, as badly as it is told: in place of `tc netem` where the kernel has none.
 * @returns changes the line from now on
 */
export async function startProxy(
  listen: { host: string; port: number },
  to: { host: string; port: number },
): Promise<(impairment: Impairment) => void> {
  let now: Impairment = { delayMs: 0, lossShare: 0, isCut: false }
  let heal: (() => void)[] = []
  const whenWhole = (): Promise<void> => (now.isCut ? new Promise((resolve) => heal.push(resolve)) : Promise.resolve())

  const pass = (from: Socket, onto: Socket): void => {
    let turn: Promise<void> = Promise.resolve()
    from.on('data', (chunk) => {
      const lost = Math.random() < now.lossShare ? retransmissionMs : 0
      const due = new Promise<void>((resolve) => setTimeout(resolve, now.delayMs + lost))
      turn = turn.then(async () => {
        await due
        await whenWhole()
        if (!onto.destroyed) onto.write(chunk)
      })
    })
    from.on('end', () => void turn.then(() => onto.end()))
    from.on('error', () => onto.destroy())
    from.on('close', () => void turn.then(() => onto.end()))
  }

  const server = createServer((near) => {
    const far = connect(to)
    pass(near, far)
    pass(far, near)
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(listen, resolve)
  })
  return (next) => {
    now = next
    if (next.isCut) return
    for (const resolve of heal) resolve()
    heal = []
  }
}
