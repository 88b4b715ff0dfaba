import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { parseTranscript, type Scene } from './parser.ts'

const folder = join(import.meta.dirname, 'transcripts')
const ending = '.transcript'

/** Every scene of every transcript, by file. @throws TranscriptError that names file and line */
export async function readTranscripts(): Promise<Scene[]> {
  const names = (await readdir(folder)).filter((name) => name.endsWith(ending)).sort()
  const scenes: Scene[] = []
  for (const name of names) scenes.push(...parseTranscript(name, await readFile(join(folder, name), 'utf8')))
  return scenes
}
