import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join, relative, resolve } from 'node:path'
import { stripVTControlCharacters } from 'node:util'
import type { Command } from 'commander'
import { startDeviceBridge } from '../app-device.ts'
import { type Network, startNetwork } from '../app-network.ts'
import { type AtClient, connectAtClient } from '../client/client.ts'
import { tlsTransport } from '../client/transport.ts'
import { parseConfig } from '../config/load.ts'
import { systemClock } from '../core/clock.ts'
import { silent } from '../core/log.ts'
import { readKeysFile } from '../crypto/keys-file.ts'
import { createLog } from '../device/log.ts'
import { dialAtSign, resolverFor } from '../directory/locate.ts'
import { version } from '../version.ts'
import { ExitError, type Io } from './io.ts'
import { parsePortBase, writeNetworkFile } from './network.ts'

const device = '@device'
const peer = '@alice'
const stranger = '@mallory'
/** The MQTT port lies this far behind the directory's: 7400 gives 7483. */
const mqttOffset = 83

/** One reading as the peer decrypted it. Times in milliseconds since the epoch. */
interface Row {
  readonly value: string
  readonly unit: string
  /** When the sensor took it. */
  readonly taken: number
  readonly arrived: number
  readonly count: number
}

const demoConfig = (dataDir: string, mqttPort: number): string => `# The device of \`atedge demo\`.
atSign: '${device}'
dataDir: ${JSON.stringify(dataDir)}
bridge:
  keys: ${JSON.stringify(join(dataDir, 'keys', `${device}_key.atKeys`))}
  namespace: sensors
  broker: { host: 127.0.0.1, port: ${mqttPort} }
  rules:
    # What you publish on sensors/<place>/<quantity> becomes a record that only ${peer} can read.
    - topic: sensors/+place/+quantity
      key: '{quantity}.{place}'
      recipients: ['${peer}']
health:
  interval: 2s
  recipients: ['${peer}']
`

/** A reading out of a notification's value: the bridge's JSON, or whatever else was shared. */
function rowOf(value: string, now: number, count: number): Row {
  try {
    const { value: reading, unit, time } = JSON.parse(value) as Record<string, unknown>
    const taken = Date.parse(String(time))
    return {
      value: String(reading),
      unit: typeof unit === 'string' ? unit : '',
      taken: Number.isNaN(taken) ? now : taken,
      arrived: now,
      count,
    }
  } catch {
    return { value, unit: '', taken: now, arrived: now, count }
  }
}

/** Text from the network goes to a terminal: escape sequences and line breaks stay out, length is bounded. */
const safe = (text: string, width: number): string => {
  const plain = stripVTControlCharacters(text).replaceAll(/[\p{C}\p{Z}]+/gu, ' ')
  return plain.length > width ? `${plain.slice(0, width - 1)}…` : plain.padEnd(width)
}

const header = ['reading', 'value', 'unit', 'on its way', 'readings'] as const

function table(rows: ReadonlyMap<string, Row>): string {
  const line = (cells: readonly string[]): string =>
    `  ${safe(cells[0] ?? '', 34)} ${safe(cells[1] ?? '', 14)} ${safe(cells[2] ?? '', 6)} ${safe(cells[3] ?? '', 11)} ${cells[4] ?? ''}`
  const body = [...rows].map(([key, { value, unit, taken, arrived, count }]) =>
    line([key, value, unit, `${Math.max(0, arrived - taken)} ms`, String(count)]),
  )
  return [line(header), `  ${'─'.repeat(76)}`, ...body].join('\n')
}

function instructions(program: string, folder: string, mqttPort: number): string {
  const near = relative(process.cwd(), folder)
  const net = `-n ${near === '' || near.startsWith('..') ? folder : near}`
  const key = `temperature.kitchen.sensors${device}`
  return [
    'Try in another terminal:',
    `  publish     npx mqtt pub -h 127.0.0.1 -p ${mqttPort} -t sensors/kitchen/temperature -m 21.5`,
    `              mosquitto_pub -h 127.0.0.1 -p ${mqttPort} -t sensors/kitchen/temperature -m 21.5`,
    `  as ${peer}   ${program} get ${key} -a ${peer} ${net}`,
    `  a stranger  ${program} get ${key} -a ${stranger} ${net}`,
    `  no login    ${program} get ${key} --anonymous ${net}`,
    `  watch       ${program} monitor -a ${peer} ${net} --since 10m`,
    'Ctrl-C ends the demo; its data stays in the folder.',
  ].join('\n')
}

/** A client of a network member over TLS, as an app on another machine would connect. */
async function connectMember(network: Network, atSign: typeof peer): Promise<AtClient> {
  const member = network.members.find((candidate) => candidate.atSign === atSign)
  if (member?.keys === undefined) throw new ExitError(1, `${atSign} has no keys in this network`)
  const dial = tlsTransport(await readFile(network.ca, 'utf8'), systemClock)
  const { host, port } = network.directory
  const resolver = resolverFor([`${host}:${port}`], { clock: systemClock, dial })
  const keys = await readKeysFile(member.keys, atSign)
  const connect = () => dialAtSign(resolver, dial, atSign)
  return connectAtClient({ atSign, keys, connect, clock: systemClock })
}

/** Repaints the screen on a terminal; elsewhere every reading is a line, so that it can be piped. */
function createScreen(io: Io, note: string): { show(rows: ReadonlyMap<string, Row>, key: string): void } {
  if (!io.isTerminal) {
    io.out(`${note}\n\n  ${header.join('  ')}\n`)
    return {
      show(rows, key) {
        const row = rows.get(key)
        if (row !== undefined)
          io.out(`  ${safe(key, 34)} ${safe(row.value, 14)} ${safe(row.unit, 6)} ${row.arrived - row.taken} ms\n`)
      },
    }
  }
  const title = `What ${peer} reads from ${device}: MQTT → bridge → encrypted atRecord → ${peer}'s atServer → decrypted`
  return {
    show(rows) {
      io.out(`\u001b[2J\u001b[H${title}\n\n${table(rows)}\n\n${note}\n`)
    },
  }
}

async function demo(options: { data: string; portBase: number; logLevel: string }, io: Io): Promise<void> {
  const folder = resolve(options.data)
  const mqttPort = options.portBase + mqttOffset
  const log = options.logLevel === 'debug' ? createLog('debug', false) : silent
  await mkdir(folder, { recursive: true, mode: 0o700 })
  const network = await startNetwork({
    atSigns: [device, peer, stranger],
    directory: folder,
    portBase: options.portBase,
    activate: true,
    clock: systemClock,
    log,
    version,
    progress: (step) => io.err(`… ${step}\n`),
  }).catch((error: Error) => {
    throw new ExitError(1, error.message)
  })
  const closers: (() => Promise<unknown>)[] = [() => network.close()]
  try {
    await writeNetworkFile(folder, network)
    const configFile = join(folder, 'device.yaml')
    await writeFile(configFile, demoConfig(folder, mqttPort))
    const config = parseConfig(demoConfig(folder, mqttPort), configFile)
    const alice = await connectMember(network, peer)
    closers.push(() => alice.close())
    const stop = new AbortController()
    void io.stopped.then(() => stop.abort())
    const watching = watch(alice, stop.signal, createScreen(io, instructions(io.program, folder, mqttPort)))
    const member = network.members[0]
    if (member?.keys === undefined) throw new ExitError(1, `${device} has no keys`)
    const keys = await readKeysFile(member.keys, device)
    const bridge = await startDeviceBridge(member.server, keys, { config, clock: systemClock, log, version })
    closers.push(bridge.close)
    await Promise.race([io.stopped, watching])
    stop.abort()
  } finally {
    for (const close of closers.reverse()) await close()
  }
}

/** Shows what arrives at the peer, until it is stopped. */
async function watch(client: AtClient, signal: AbortSignal, screen: ReturnType<typeof createScreen>): Promise<void> {
  const rows = new Map<string, Row>()
  for await (const { key, value, problem } of client.monitor({ signal })) {
    const name = key.slice(key.indexOf(':') + 1)
    // The pair key that opens the readings is announced too; it is not one of them.
    if (name.startsWith('shared_key@')) continue
    rows.set(name, rowOf(problem ?? value ?? '', Date.now(), (rows.get(name)?.count ?? 0) + 1))
    screen.show(rows, name)
  }
}

/** `atedge demo`. */
export function addDemoCommand(program: Command, io: Io): void {
  program
    .command('demo')
    .description(`watch readings of this machine travel from ${device} to ${peer}, end to end encrypted`)
    .option('--data <folder>', 'where the demo keeps its data', './.atedge/demo')
    .option('--port-base <port>', 'first of the ports it uses', parsePortBase, 7400)
    .option('--log-level <level>', 'silent or debug', 'silent')
    .addHelpText('after', '\nExample:\n  atedge demo --port-base 7400')
    .action((options) => demo(options, io))
}
