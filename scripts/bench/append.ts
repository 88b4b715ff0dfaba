import { open, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { absoluteRow, count, procNumber, type Row } from './table.ts'

const appended = 500

/** Bytes that the kernel writes for 200 of them at the end of a file, each synced: no store that syncs each change writes fewer. */
export async function syncedAppend(folder: string): Promise<number> {
  const path = join(folder, 'appended')
  const file = await open(path, 'a')
  const before = procNumber(process.pid, 'io', 'write_bytes')
  for (let index = 0; index < appended; index++) {
    await file.write('21.5 '.repeat(40))
    await file.datasync()
  }
  const after = procNumber(process.pid, 'io', 'write_bytes')
  await file.close()
  await rm(path)
  return (after - before) / appended
}

const bytes = (value: number): string => `${count(value)} bytes`

/** What a reading that is synced alone writes, beside a synced append; the budget is that of every durable reading. */
export const besideAppend = (what: string, value: number, append: number): Row => ({
  ...absoluteRow(what, value, 1_500, bytes),
  limit: `200 bytes appended to a file and synced ${bytes(append)}`,
  ratio: (value / append).toFixed(2),
})
