import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseTranscript, type Scene } from './parser.ts'

const folder = join(import.meta.dirname, 'transcripts')
const ending = '.transcript'

async function readFiles(): Promise<{ name: string; content: string }[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(ending)).sort()
  return Promise.all(names.map(async (name) => ({ name, content: await readFile(join(folder, name), 'utf8') })))
}

/** Every scene of every transcript, by file. @throws TranscriptError that names file and line */
export const readTranscripts = async (): Promise<Scene[]> =>
  (await readFiles()).flatMap(({ name, content }) => parseTranscript(name, content))

/** Every comment of every transcript, with its `#`. */
export const readComments = async (): Promise<string[]> =>
  (await readFiles()).flatMap(({ content }) => content.split('\n').filter((line) => /^#(?!#)/.test(line)))
