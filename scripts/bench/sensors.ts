import { once } from 'node:events'
import { connect } from 'node:net'
import { connectMqtt, type MqttClient } from './mqtt.ts'
import { sleep } from './numbers.ts'

/** Sensors at one end, and at the other somebody who is told which sensor's reading has arrived. */
export interface SensorPath {
  readonly sensors: readonly MqttClient[]
  /** Set by the load. */
  onArrival: (place: number) => void
  close(): void
}

/** More places than readings in flight: the place of a reading tells which one it is. */
const places = 1_000
const reading = Buffer.from('21.5 '.repeat(40))

export async function connectSensors(count: number, port: number): Promise<MqttClient[]> {
  const one = async (index: number): Promise<MqttClient> => {
    const socket = connect({ host: '127.0.0.1', port, noDelay: true })
    await once(socket, 'connect')
    return connectMqtt(socket, `sensor${index}`)
  }
  return Promise.all(Array.from({ length: count }, (_, index) => one(index)))
}

/** The place in `sensors/p17/temperature` and in `@peer:temperature.p17.sensors@device`. */
export const placeIn = (name: string): number => Number(/[/.]p(\d+)[/.]/.exec(name)?.[1] ?? -1)

/** Publishes numbered readings and remembers when each left. */
function createPublisher(path: SensorPath): { publish(): void; leftAt(place: number): number } {
  const left = new Float64Array(places)
  let count = 0
  return {
    publish() {
      const place = count % places
      const sensor = path.sensors[count % path.sensors.length]
      left[place] = performance.now()
      sensor?.publish(`sensors/p${place}/temperature`, reading, (count % 60_000) + 1)
      count++
    },
    leftAt: (place) => left[place] ?? 0,
  }
}

const drainMs = 5_000

/** Waits for the readings under way, so that they do not disturb the next run. */
async function drained(waiting: () => number): Promise<void> {
  for (let waited = 0; waiting() > 0; waited += 10) {
    if (waited > drainMs) throw new Error(`${waiting()} readings never arrived`)
    await sleep(10)
  }
}

/** Keeps some readings under way. @returns arrivals a second */
export async function flood(path: SensorPath, { inFlight, ms }: { inFlight: number; ms: number }): Promise<number> {
  const { publish } = createPublisher(path)
  let arrived = 0
  let ending = false
  let waiting = inFlight
  path.onArrival = () => {
    arrived++
    if (ending) waiting--
    else publish()
  }
  const began = performance.now()
  for (let index = 0; index < inFlight; index++) publish()
  await sleep(ms)
  const rate = (1_000 * arrived) / (performance.now() - began)
  ending = true
  await drained(() => waiting)
  return rate
}

/** Publishes at a fixed rate. @returns milliseconds that each reading was under way */
export async function trickle(
  path: SensorPath,
  { perSecond, ms }: { perSecond: number; ms: number },
): Promise<number[]> {
  const { publish, leftAt } = createPublisher(path)
  const took: number[] = []
  path.onArrival = (place) => took.push(performance.now() - leftAt(place))
  const began = performance.now()
  let published = 0
  while (performance.now() - began < ms) {
    for (const due = ((performance.now() - began) * perSecond) / 1_000; published < due; published++) publish()
    await sleep(1)
  }
  await drained(() => published - took.length)
  return took
}

/** Publishes one after another on one topic each, waiting for the acknowledgement: each reading is a group of its own. */
export async function oneByOne(sensor: MqttClient, topic: (index: number) => string, count: number): Promise<void> {
  for (let index = 0; index < count; index++) {
    await new Promise<void>((resolve) => {
      sensor.onAcknowledged = () => resolve()
      sensor.publish(topic(index), reading, (index % 60_000) + 1)
    })
  }
  sensor.onAcknowledged = () => undefined
}
