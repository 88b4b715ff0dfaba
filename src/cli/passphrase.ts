import { readFile } from 'node:fs/promises'
import { createByteReader } from '../core/byte-reader.ts'
import { ExitError, type Io } from './io.ts'

/** What a passphrase must have at least; scrypt slows a guesser down and cannot do more. */
const shortest = 8
const longest = 1_024

/** The first line of a text, as `pass` and the like write files. */
const firstLine = (text: string): string => text.split(/\r?\n/, 1)[0] ?? ''

/** One line, and no wait for the end of the input: somebody may be typing. */
async function readLine({ streams }: Io): Promise<string> {
  const reader = createByteReader(streams.input)
  const line = await reader.takeLine(8 * longest)
  await reader.close()
  return firstLine(line.toString('utf8'))
}

async function given(file: string | undefined, io: Io): Promise<string | undefined> {
  if (file === '-') return readLine(io)
  if (file !== undefined) return firstLine(await readFile(file, 'utf8'))
  if (io.streams.inputIsTerminal) return undefined
  // `ssh pi atedge backup > x` has no terminal on this side, and somebody at the other one.
  io.err('Passphrase of the backup (there is no terminal here, so it may be visible): ')
  const text = await readLine(io)
  io.err('\n')
  return text
}

function judge(passphrase: string): string {
  const { length } = [...passphrase]
  if (length < shortest) throw new ExitError(1, `the passphrase is too short: ${shortest} characters at least`)
  if (length > longest) throw new ExitError(1, `the passphrase is too long: ${longest} characters at most`)
  return passphrase
}

/**
 * The passphrase of a new backup: of a file, of standard input, or asked twice at the terminal. Never of the command line,
 * which every user of the machine can read.
 * @param file its path; `-` is standard input
 */
export async function newPassphrase(file: string | undefined, io: Io): Promise<string> {
  const ready = await given(file, io)
  if (ready !== undefined) return judge(ready)
  const first = judge(await io.streams.ask('Passphrase for the backup: '))
  if ((await io.streams.ask('Again: ')) !== first) throw new ExitError(1, 'the two passphrases differ')
  return first
}

/** The passphrase of a backup that is there. */
export const knownPassphrase = async (file: string | undefined, io: Io): Promise<string> =>
  (await given(file, io)) ?? (await io.streams.ask('Passphrase of the backup: '))
