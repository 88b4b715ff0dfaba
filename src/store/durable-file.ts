import { open, readFile, rename } from 'node:fs/promises'
import { dirname } from 'node:path'
import { crc32 } from 'node:zlib'
import { hasCode } from './refusal.ts'

// Small JSON files beside the database. Each carries a checksum, since a flipped bit in a name or number would be believed.

async function flush(path: string, content?: string): Promise<void> {
  const file = await open(path, content === undefined ? 'r' : 'w', 0o600)
  try {
    if (content !== undefined) await file.writeFile(content)
    await file.sync()
  } finally {
    await file.close()
  }
}

/** Replaces a file by JSON with a member `sum`; after a power cut it holds either the old or the new content. */
export async function writeDurably(path: string, members: Readonly<Record<string, unknown>>): Promise<void> {
  const sum = crc32(JSON.stringify(members))
  await flush(`${path}.new`, `${JSON.stringify({ ...members, sum })}\n`)
  await rename(`${path}.new`, path)
  await flush(dirname(path))
}

function parse(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    if (typeof value !== 'object' || value === null) return undefined
    const { sum, ...members } = value as Record<string, unknown>
    // Files of the first version have no sum.
    return sum === undefined || sum === crc32(JSON.stringify(members)) ? members : undefined
  } catch {
    return undefined
  }
}

/** @returns undefined when there is no such file; its members are undefined when they are not as they were written */
export async function readDurable(
  path: string,
): Promise<{ members: Readonly<Record<string, unknown>> | undefined } | undefined> {
  try {
    return { members: parse(await readFile(path, 'utf8')) }
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    if (hasCode(error, 'EIO') || hasCode(error, 'EISDIR')) return { members: undefined }
    throw error
  }
}
