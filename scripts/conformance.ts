import { replayAgainst } from '../test/conformance/replay.ts'

// `npm run conformance`: the transcripts against an atServer somewhere.
process.exitCode = await replayAgainst(process.argv.slice(2), (line) => process.stdout.write(`${line}\n`)).catch(
  (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return 2
  },
)
