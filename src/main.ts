import { homedir } from 'node:os'
import { relative } from 'node:path'
import { text } from 'node:stream/consumers'
import { runCli } from './cli/main.ts'
import { createStreams } from './cli/streams.ts'
import { readTables } from './store/level.ts'

const stopped = new Promise<void>((resolve) => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve())
})
// A reader that went away (`| head`) ends the output, not the program with a stack trace. A command that writes bytes says so itself.
process.stdout.on('error', () => {
  if (process.exitCode === undefined) process.exit(0)
})

const script = process.argv[1] ?? 'atedge'
const program = script.endsWith('.mjs') ? `node ${relative(process.cwd(), script)}` : 'atedge'

process.exitCode = await runCli(process.argv.slice(2), {
  out: (line) => process.stdout.write(line),
  err: (line) => process.stderr.write(line),
  isTerminal: process.stdout.isTTY === true,
  columns: () => process.stdout.columns ?? 80,
  stopped,
  onHangup: (task) => process.on('SIGHUP', task),
  readInput: () => text(process.stdin),
  streams: createStreams(process),
  mapsTables: await readTables(),
  home: homedir(),
  program,
})
