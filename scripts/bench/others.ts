import { mkdir, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import type { Fixture } from './fixture.ts'
import { dial, type Target } from './load.ts'
import { connectMqtt } from './mqtt.ts'
import { connectSensors, placeIn, type SensorPath } from './sensors.ts'
import { findProgram, freePorts, type Program, type World } from './world.ts'

// The programs that set the limits.

/** The bare line echo. @param reply its answer to every line */
export async function startEcho({ world, files, trust }: Fixture, reply: string): Promise<Target> {
  const port = await freePorts(1)
  const script = join(import.meta.dirname, 'echo.ts')
  const tsx = import.meta.resolve('tsx')
  await world.start(process.execPath, ['--import', tsx, script, `${port}`, files.chain, files.key, reply], /^ready/)
  return { port, trust }
}

/** Redis over TLS that syncs before it answers; undefined when it is not installed. */
export async function startRedis({ world, files, trust }: Fixture): Promise<Target | undefined> {
  const redis = findProgram('redis-server')
  if (redis === undefined) return undefined
  const [port, folder] = [await freePorts(1), join(world.folder, 'redis')]
  await mkdir(folder)
  const settings = {
    ...{ port: '0', 'tls-port': `${port}`, bind: '127.0.0.1', dir: folder, save: '' },
    ...{ 'tls-cert-file': files.chain, 'tls-key-file': files.key, 'tls-ca-cert-file': files.ca },
    ...{ 'tls-auth-clients': 'no', appendonly: 'yes', appendfsync: 'always' },
  }
  const args = Object.entries(settings).flatMap(([name, value]) => [`--${name}`, value])
  await world.start(redis, args, /Ready to accept connections/)
  return { port, trust }
}

async function startMosquitto(world: World, path: string, name: string, lines: readonly string[]): Promise<Program> {
  const config = join(world.folder, `${name}.conf`)
  // No queue may cut the flow, and no small packet may wait for another.
  const common = [
    ...['allow_anonymous true', 'persistence false', 'set_tcp_nodelay true', `user ${userInfo().username}`],
    ...['max_inflight_messages 0', 'max_queued_messages 0'],
  ]
  await writeFile(config, [...common, ...lines, ''].join('\n'))
  return world.start(path, ['-c', config, '-v'], /mosquitto version .* running/)
}

/** Sensors at one Mosquitto, a listener over TLS at another, a TLS bridge between; undefined when it is not installed. */
export async function startMosquittoPath(fixture: Fixture, sensors: number): Promise<SensorPath | undefined> {
  const mosquitto = findProgram('mosquitto')
  if (mosquitto === undefined) return undefined
  const { world, files, trust } = fixture
  const port = await freePorts(2)
  const tls = [`cafile ${files.ca}`, `certfile ${files.chain}`, `keyfile ${files.key}`]
  await startMosquitto(world, mosquitto, 'far', [`listener ${port + 1} 127.0.0.1`, ...tls])
  const bridge = [
    'connection far',
    `address localhost:${port + 1}`,
    'topic sensors/# out 1',
    `bridge_cafile ${files.ca}`,
  ]
  await startMosquitto(world, mosquitto, 'near', [`listener ${port} 127.0.0.1`, ...bridge])
  const listener = await connectMqtt(await dial({ port: port + 1, trust }), 'listener')
  await listener.subscribe('sensors/#')
  const path: SensorPath = {
    sensors: await connectSensors(sensors, port),
    onArrival: () => undefined,
    close: () => listener.close(),
  }
  listener.onMessage = (topic) => path.onArrival(placeIn(topic))
  return path
}

/** A Node process that does nothing. */
export const startEmptyNode = (world: World): Promise<Program> =>
  world.start(process.execPath, ['-e', 'console.log("ready"); setInterval(() => {}, 1e6)'], /^ready/)
