import type { Command } from 'commander'
import { parseAtSign } from '../core/at-sign.ts'
import { systemClock } from '../core/clock.ts'
import { AtError } from '../core/errors.ts'
import { describeCertificate } from '../provision/certificate.ts'
import { type Link, openLink, replyData } from '../wire/link.ts'
import { readConfig } from './config.ts'
import { type ConnectOptions, findTarget, type Target, withConnection } from './connect.ts'
import { ControlError, callControl } from './control.ts'
import { ExitError, type Io, print } from './io.ts'
import { isReadable, standardConfig } from './local.ts'

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

type StatusOptions = ConnectOptions & { readonly json?: boolean }

type Report = Readonly<Record<string, unknown>> & {
  /** Missing for a directory without an atServer. */
  readonly activated?: boolean
}

const isPlain = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** One line a value, parts inside parts joined by dots. */
function rows(value: unknown, name = ''): string[] {
  if (!isPlain(value)) return [`${name.padEnd(28)} ${typeof value === 'string' ? value : JSON.stringify(value)}`]
  return Object.entries(value).flatMap(([key, inner]) => rows(inner, name === '' ? key : `${name}.${key}`))
}

function show(report: Report, options: StatusOptions, io: Io): void {
  print(io, options.json, report, () => rows(report).join('\n'))
  if (report.activated === false)
    throw new ExitError(exitStatus.notActivated, `${report['atSign']} is not activated yet`)
}

/** The configuration of the device on this machine, when it is the one that is asked for. */
async function localConfig({
  config,
  network,
  server,
  rootServer,
  atsign,
}: StatusOptions): Promise<string | undefined> {
  if (network !== undefined || server !== undefined || rootServer !== undefined) return undefined
  if (config !== undefined || atsign !== undefined) return config
  return (await isReadable(standardConfig)) ? standardConfig : undefined
}

/** What the device on this machine says of itself; undefined when it has to be asked over TLS. */
async function askLocally(options: StatusOptions): Promise<Report | undefined> {
  const file = await localConfig(options)
  if (file === undefined) return undefined
  const { atSign, control } = await readConfig(file)
  if (options.atsign !== undefined && parseAtSign(options.atsign) !== atSign) return undefined
  try {
    return (await callControl(control.path, 'status')) as Report
  } catch (error) {
    if (error instanceof ControlError && ['unreachable', 'forbidden'].includes(error.code)) return undefined
    throw error
  }
}

async function status(options: StatusOptions, io: Io): Promise<void> {
  const local = await askLocally(options)
  if (local !== undefined) show(local, options, io)
  else await askOverTls(options, io)
}

async function askOverTls(options: StatusOptions, io: Io): Promise<void> {
  const target = await findTarget(options, io)
  const link = await connect(target)
  try {
    await target.greet(link, target.atSign)
    const info = JSON.parse(replyData(await link.request('info'))) as Info
    const activated = await isActivated(link, target.atSign)
    const { mtls_fullchain } = JSON.parse(replyData(await link.request('info:mtls'))) as { mtls_fullchain?: string }
    const expires = mtls_fullchain === undefined ? undefined : describeCertificate(mtls_fullchain).notAfter
    const report = {
      ...{ atSign: target.atSign, activated, version: info.version, uptime: info.uptimeAsWords },
      ...(expires === undefined ? {} : { certificateExpires: new Date(expires).toISOString() }),
    }
    show(report, options, io)
  } finally {
    link.close()
    target.close()
  }
}

/** `atedge status`. */
export function addStatusCommand(program: Command, io: Io): void {
  withConnection(program.command('status'))
    .description('ask an atServer how it is; needs no login. On the device itself it tells more')
    .addHelpText(
      'after',
      '\nExit status: 0 activated, 1 not activated, 2 atServer unreachable, 3 not in the directory, 4 directory unreachable' +
        '\n\nExample:\n  atedge status -a @alice --json\n  atedge status -c ./atedge.yaml',
    )
    .action((options) => status(options, io))
}
