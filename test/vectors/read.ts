import { readFileSync } from 'node:fs'
import { join } from 'node:path'

/** Rows of a vector file: columns between tabs, `#` in front of a comment line. */
export function vectors(name: string): string[][] {
  const lines = readFileSync(join(import.meta.dirname, name), 'utf8').split('\n')
  return lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split('\t'))
}

/** The code and message of what `act` throws. */
export function refusal(act: () => unknown): { code: string; message: string } {
  try {
    act()
  } catch (error) {
    const { code, message } = error as { code: string; message: string }
    return { code, message }
  }
  throw new Error('nothing was refused')
}
