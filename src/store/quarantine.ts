import type { Clock } from '../core/clock.ts'
import { limits } from '../core/limits.ts'
import type { Database } from './database.ts'
import { tables } from './layout.ts'
import type { Writer } from './writer.ts'

/** Keeps the bytes of damaged values for whoever looks into it; the rows themselves stay until they are written anew. */
export interface Quarantine {
  /** Bytes that are not as they were written. Kept with the next flush, while there is room. */
  take(full: string, bytes: Uint8Array): void
  /** Stores what was taken. */
  flush(writer: Writer): Promise<void>
  count(): number
}

/** @returns a quarantine that knows what is in it already */
export async function openQuarantine(database: Database, clock: Clock): Promise<Quarantine> {
  const { prefix } = tables.quarantine
  const kept = new Set<string>()
  const taken = new Map<string, Uint8Array>()
  try {
    for await (const key of database.keys({ prefix, limit: limits.quarantined })) kept.add(key.slice(prefix.length))
  } catch {
    // Damage here too; what can be read is known.
  }
  return {
    take(full, bytes) {
      if (kept.has(full) || taken.has(full) || full.startsWith(prefix)) return
      if (kept.size + taken.size < limits.quarantined) taken.set(full, bytes.slice(0, limits.quarantinedBytes))
    },
    async flush(writer) {
      if (taken.size === 0 || database.readOnly() !== undefined) return
      const rows = [...taken]
      taken.clear()
      for (const [full] of rows) kept.add(full)
      await writer.write(async (draft) => {
        for (const [full, bytes] of rows) {
          draft.put(tables.quarantine, full, { at: clock.now(), bytes: Buffer.from(bytes).toString('base64') })
        }
      }, 'none')
    },
    count: () => kept.size + taken.size,
  }
}
