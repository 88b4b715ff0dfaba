import { mkdir, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { type Network, startNetwork } from '../app-network.ts'
import { type AtSign, parseAtSign } from '../core/at-sign.ts'
import { systemClock } from '../core/clock.ts'
import { createLog } from '../device/log.ts'
import { version } from '../version.ts'
import { networkFileName } from './connect.ts'
import { ExitError, type Io, tellOfMapping } from './io.ts'

/** `@alice,@bob` as atSigns, each once. */
export function parseAtSigns(text: string): AtSign[] {
  const atSigns = [...new Set(text.split(',').map((name) => parseAtSign(name.trim())))]
  if (atSigns.length > 100) throw new InvalidArgumentError('at most 100 atSigns')
  return atSigns
}

/** A port below 65400, so that the ports behind it exist. */
export function parsePortBase(text: string): number {
  const port = Number(text)
  if (!Number.isInteger(port) || port < 1 || port > 65_400) {
    throw new InvalidArgumentError('expected a port from 1 to 65400')
  }
  return port
}

/**
 * The line that scripts wait for.
 * @param shown spells a path the way the caller spelled the folder
 */
export const readyLine = (network: Network, shown: (path: string) => string) => ({
  event: 'ready',
  directory: network.directory,
  ca: shown(network.ca),
  atServers: network.members.map(({ atSign, host, port, keys, cram }) => ({
    ...{ atSign, host, port },
    ...(keys === undefined ? {} : { keys: shown(keys) }),
    ...(cram === undefined ? {} : { cram }),
  })),
})

/** Leaves beside the data what other commands need to find the network; never a secret. */
export async function writeNetworkFile(folder: string, network: Network): Promise<void> {
  const { atServers, ...rest } = readyLine(network, (path) => path)
  const open = atServers.map(({ cram: _secret, ...member }) => member)
  await writeFile(join(folder, networkFileName), `${JSON.stringify({ ...rest, atServers: open }, null, 2)}\n`)
}

/** What a person is told when the network is up. */
function describe(network: Network, folder: string): string {
  const rows = network.members.map(
    ({ atSign, host, port, keys, cram }) => `  ${atSign.padEnd(16)} ${host}:${port}  ${keys ?? `cram ${cram}`}`,
  )
  return [
    `atDirectory      ${network.directory.host}:${network.directory.port}`,
    `authority        ${network.ca}`,
    'atServers',
    ...rows,
    `Try: atedge scan -n ${folder} -a ${network.members[0]?.atSign ?? '@alice'}`,
    'Ctrl-C stops it; started again on the same folder it keeps everything.',
    '',
  ].join('\n')
}

async function network(
  options: { atsigns: AtSign[]; data: string; portBase: number; activate: boolean; json?: boolean; logLevel: string },
  io: Io,
): Promise<void> {
  const folder = resolve(options.data)
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const log = createLog(options.logLevel === 'debug' ? 'debug' : 'warn', false)
  tellOfMapping(io, log)
  const running = await startNetwork({
    atSigns: options.atsigns,
    directory: folder,
    portBase: options.portBase,
    activate: options.activate,
    clock: systemClock,
    log,
    version,
    ...(options.json ? {} : { progress: (step: string) => io.err(`… ${step}\n`) }),
  }).catch((error: Error) => {
    throw new ExitError(1, error.message)
  })
  await writeNetworkFile(folder, running)
  const shown = (path: string): string => join(options.data, relative(folder, path))
  io.out(options.json ? `${JSON.stringify(readyLine(running, shown))}\n` : describe(running, folder))
  await io.stopped
  await running.close()
}

/** `atedge network`. */
export function addNetworkCommand(program: Command, io: Io): void {
  program
    .command('network')
    .description('run a whole private atPlatform on this machine: authority, directory, one atServer per atSign')
    .requiredOption('--atsigns <list>', 'atSigns, separated by commas', parseAtSigns)
    .option('--data <folder>', 'where everything is kept', './atedge-network')
    .option('--port-base <port>', 'port of the directory; atServers take the ports behind it', parsePortBase, 7400)
    .option('--no-activate', 'leave the atSigns for another SDK to activate; prints their CRAM secrets')
    .option('--json', 'print one JSON line when everything answers')
    .option('--log-level <level>', 'warn or debug', 'warn')
    .addHelpText('after', '\nExample:\n  atedge network --atsigns @alice,@bob --data ./net --port-base 7400 --json')
    .action((options) => network(options, io))
}
