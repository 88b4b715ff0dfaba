import type { Duplex } from 'node:stream'

// As much of MQTT 3.1.1 as a sensor and a listener need, with nothing that costs the load process time.

const packet = { connack: 2, publish: 3, puback: 4, suback: 9 } as const

/** A connected client. */
export interface MqttClient {
  /** Publishes with QoS 1. @param id 1 to 65535, free again once acknowledged */
  publish(topic: string, payload: Buffer, id: number): void
  subscribe(filter: string): Promise<void>
  /** Set by the caller. */
  onAcknowledged: (id: number) => void
  onMessage: (topic: string) => void
  close(): void
}

function encode(first: number, ...parts: readonly Buffer[]): Buffer {
  const body = Buffer.concat(parts)
  const length: number[] = []
  let rest = body.length
  do {
    length.push((rest & 127) | (rest > 127 ? 128 : 0))
    rest >>= 7
  } while (rest > 0)
  return Buffer.concat([Buffer.from([first, ...length]), body])
}

const uint16 = (value: number): Buffer => Buffer.from([value >> 8, value & 255])

const text = (value: string): Buffer => Buffer.concat([uint16(Buffer.byteLength(value)), Buffer.from(value)])

/** Cuts a stream into packets. */
function packets(take: (type: number, flags: number, body: Buffer) => void): (chunk: Buffer) => void {
  let held: Buffer = Buffer.alloc(0)
  const one = (from: number): number => {
    let length = 0
    for (let at = from + 1; at < held.length; at++) {
      const digit = held[at] ?? 0
      length += (digit & 127) << (7 * (at - from - 1))
      if (digit > 127) continue
      const start = at + 1
      if (held.length < start + length) return from
      const first = held[from] ?? 0
      take(first >> 4, first & 15, held.subarray(start, start + length))
      return start + length
    }
    return from
  }
  return (chunk) => {
    held = held.length === 0 ? chunk : Buffer.concat([held, chunk])
    let from = 0
    for (let next = one(from); next > from; next = one(from)) from = next
    held = held.subarray(from)
  }
}

/** Connects over a stream that is open. */
export async function connectMqtt(stream: Duplex, clientId: string): Promise<MqttClient> {
  let answered: (type: number) => void = () => undefined
  const answer = (type: number): Promise<void> =>
    new Promise((resolve, reject) => {
      answered = (got) => {
        if (got === type) resolve()
      }
      stream.once('close', () => reject(new Error('the MQTT broker closed the connection')))
    })
  const client: MqttClient = {
    publish: (topic, payload, id) => void stream.write(encode(0x32, text(topic), uint16(id), payload)),
    async subscribe(filter) {
      const done = answer(packet.suback)
      stream.write(encode(0x82, uint16(1), text(filter), Buffer.from([1])))
      await done
    },
    onAcknowledged: () => undefined,
    onMessage: () => undefined,
    close: () => void stream.destroy(),
  }
  stream.on('error', () => stream.destroy())
  stream.on(
    'data',
    packets((type, flags, body) => {
      if (type === packet.puback) client.onAcknowledged(body.readUInt16BE(0))
      else if (type === packet.publish) {
        const end = 2 + body.readUInt16BE(0)
        if ((flags & 6) !== 0) stream.write(encode(0x40, body.subarray(end, end + 2)))
        client.onMessage(body.toString('latin1', 2, end))
      } else answered(type)
    }),
  )
  const done = answer(packet.connack)
  stream.write(encode(0x10, text('MQTT'), Buffer.from([4, 2, 0, 60]), text(clientId)))
  await done
  return client
}
