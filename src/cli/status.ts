import type { Command } from 'commander'
import { systemClock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { describeCertificate } from '../provision/certificate.ts'
import { type Link, openLink, replyData } from '../wire/link.ts'
import { type ConnectOptions, findTarget, type Target, withConnection } from './connect.ts'
import { ExitError, type Io, print } from './io.ts'

/** Exit statuses that users of `at_activate status` know. */
const exitStatus = { activated: 0, notActivated: 1, serverUnreachable: 2, notInDirectory: 3, directoryUnreachable: 4 }

async function isActivated(link: Link, atSign: string): Promise<boolean> {
  try {
    replyData(await link.request(`lookup:publickey${atSign}`))
    return true
  } catch (error) {
    if (error instanceof AtError && error.code === 'AT0015') return false
    throw error
  }
}

const said = (error: unknown): string => (error instanceof Error ? error.message : String(error))

/** Connects in two steps, so that the exit status says which one failed. */
async function connect(target: Target): Promise<Link> {
  const address = await target.locate().catch((error: unknown) => {
    const unknown = error instanceof AtError && error.code === 'AT0007'
    throw new ExitError(unknown ? exitStatus.notInDirectory : exitStatus.directoryUnreachable, said(error))
  })
  const stream = await target.dial(address).catch((error: unknown) => {
    throw new ExitError(exitStatus.serverUnreachable, said(error))
  })
  return openLink(stream, { clock: systemClock })
}

interface Info {
  readonly version: string
  readonly uptimeAsWords: string
}

async function status(options: ConnectOptions & { json?: boolean }, io: Io): Promise<void> {
  const target = await findTarget(options, io)
  const link = await connect(target)
  try {
    await link.ready
    const info = JSON.parse(replyData(await link.request('info'))) as Info
    const activated = await isActivated(link, target.atSign)
    const { mtls_fullchain } = JSON.parse(replyData(await link.request('info:mtls'))) as { mtls_fullchain?: string }
    const expires = mtls_fullchain === undefined ? undefined : describeCertificate(mtls_fullchain).notAfter
    const report = {
      ...{ atSign: target.atSign, activated, version: info.version, uptime: info.uptimeAsWords },
      ...(expires === undefined ? {} : { certificateExpires: new Date(expires).toISOString() }),
    }
    print(io, options.json, report, () =>
      Object.entries(report)
        .map(([name, value]) => `${name.padEnd(20)}${value}`)
        .join('\n'),
    )
    if (!activated) throw new ExitError(exitStatus.notActivated, `${target.atSign} is not activated yet`)
  } finally {
    link.close()
    target.close()
  }
}

/** `atedge status`. */
export function addStatusCommand(program: Command, io: Io): void {
  withConnection(program.command('status'))
    .description('ask an atServer how it is; needs no login')
    .addHelpText(
      'after',
      '\nExit status: 0 activated, 1 not activated, 2 atServer unreachable, 3 not in the directory, 4 directory unreachable' +
        '\n\nExample:\n  atedge status -a @alice --json',
    )
    .action((options) => status(options, io))
}
