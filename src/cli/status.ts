import type { Command } from 'commander'
import { systemClock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { describeCertificate } from '../provision/certificate.ts'
import { type Link, openLink, replyData } from '../wire/link.ts'
import { type ConnectOptions, findTarget, withConnection } from './connect.ts'
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

/** Why an atServer cannot be reached, as the status that `at_activate` gives. */
function unreachable(error: unknown): ExitError {
  const message = error instanceof Error ? error.message : String(error)
  if (error instanceof AtError && error.code === 'AT0007') return new ExitError(exitStatus.notInDirectory, message)
  const ofDirectory = error instanceof AtError && /directory/i.test(message)
  return new ExitError(ofDirectory ? exitStatus.directoryUnreachable : exitStatus.serverUnreachable, message)
}

interface Info {
  readonly version: string
  readonly uptimeAsWords: string
}

async function status(options: ConnectOptions & { json?: boolean }, io: Io): Promise<void> {
  const target = await findTarget(options, io)
  const link = await target.connect().then(
    (stream) => openLink(stream, { clock: systemClock }),
    (error: unknown) => {
      throw unreachable(error)
    },
  )
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
