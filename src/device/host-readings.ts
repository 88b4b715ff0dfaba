import { statfs } from 'node:fs/promises'
import { freemem, loadavg, totalmem, uptime } from 'node:os'

/** One figure about the device itself. */
export interface HealthReading {
  readonly quantity: string
  readonly value: number
  /** `°C`, `%`, `s`, or empty for a bare number. */
  readonly unit: string
}

interface Probe {
  readonly quantity: string
  readonly unit: string
  readonly digits: number
  /** Undefined where the machine has no such thing. */
  read(directory: string): Promise<number | undefined> | number
}

const percent = (part: number, whole: number): number | undefined => (whole > 0 ? (100 * part) / whole : undefined)

async function diskUsed(directory: string): Promise<number | undefined> {
  const { blocks, bfree, bavail } = await statfs(directory)
  // As df counts: blocks that only root may take are neither used nor free.
  return percent(blocks - bfree, blocks - bfree + bavail)
}

async function cpuTemperature(): Promise<number | undefined> {
  // Loaded on first use: it is large, and start-up need not wait for it.
  const { default: information } = await import('systeminformation')
  const { main } = await information.cpuTemperature()
  return main !== null && main > -60 ? main : undefined
}

const probes: readonly Probe[] = [
  { quantity: 'cpu_temperature', unit: '°C', digits: 1, read: cpuTemperature },
  { quantity: 'load', unit: '', digits: 2, read: () => loadavg()[0] ?? Number.NaN },
  { quantity: 'memory_used', unit: '%', digits: 1, read: async () => percent(totalmem() - freemem(), totalmem()) },
  { quantity: 'disk_used', unit: '%', digits: 1, read: diskUsed },
  { quantity: 'uptime', unit: 's', digits: 0, read: () => uptime() },
]

async function probed({ quantity, unit, digits, read }: Probe, directory: string): Promise<HealthReading[]> {
  try {
    const value = await read(directory)
    if (value === undefined || !Number.isFinite(value)) return []
    return [{ quantity, unit, value: Number(value.toFixed(digits)) }]
  } catch {
    return []
  }
}

/**
 * The host readings: CPU temperature, 1-minute load, memory used, disk used and uptime. What a machine does not have is left
 * out; nothing fails.
 * @param directory a folder on the file system whose fill is of interest
 */
export async function readHealth(directory: string): Promise<HealthReading[]> {
  return (await Promise.all(probes.map((probe) => probed(probe, directory)))).flat()
}

/** A rule of the bridge that turns one host reading into a record `<quantity>.host`. */
export interface HealthRule {
  readonly topic: string
  readonly key: string
  readonly value: string
  readonly unit?: string
  readonly recipients: readonly string[]
}

/** The rules for everything that `publishHealth` sends below `topic`. */
export const healthRules = (topic: string, recipients: readonly string[]): HealthRule[] =>
  probes.map(({ quantity, unit }) => ({
    topic: `${topic}/${quantity}`,
    key: `${quantity}.host`,
    value: '$.value',
    ...(unit === '' ? {} : { unit }),
    recipients,
  }))
