import { parseArgs } from 'node:util'
import { type AtSign, parseAtSign } from '../../src/core/at-sign.ts'
import { recast, type Scene } from './parser.ts'
import { type RemoteOwner, remoteWorld } from './remote-world.ts'
import { missingFor, playScene } from './runner.ts'
import { readTranscripts } from './transcripts.ts'

const usage = `Replays the conformance transcripts against an atServer.

npm run conformance -- --host localhost --port 7401 --atsign @alice [--keys @alice_key.atKeys] [--ca ca.pem]
  [--peer-host localhost --peer-port 7402 --peer-atsign @bob --peer-keys @bob_key.atKeys] [--only TEXT]

Without --keys only what needs no login is replayed. --only picks by file or heading.
Records are written in namespaces of their own, n and eight digits, and stay.`

const flags = [
  'host',
  'port',
  'atsign',
  'keys',
  'ca',
  'peer-host',
  'peer-port',
  'peer-atsign',
  'peer-keys',
  'only',
] as const
type Flags = Partial<Record<(typeof flags)[number], string>>

function readOwner(prefix: '' | 'peer-', given: Flags): RemoteOwner | undefined {
  const { [`${prefix}host` as const]: host, [`${prefix}port` as const]: port = '6464' } = given
  const { [`${prefix}atsign` as const]: atSign, [`${prefix}keys` as const]: keys } = given
  if (host === undefined || atSign === undefined) return undefined
  return { host, port: Number(port), atSign: parseAtSign(atSign), keys }
}

/** Why a scene is left out, or undefined for one that is played. */
function reasonToSkip(
  scene: Scene,
  cast: Scene | undefined,
  world: Parameters<typeof missingFor>[1],
): string | undefined {
  if (scene.stage !== 'any') return 'is for an atServer that is there for tests only'
  if (cast === undefined) return 'spells @alice in its own way'
  const missing = missingFor(cast, world)
  return missing.length === 0 ? undefined : `needs ${missing.join(', ')}`
}

/**
 * Replays what can be replayed with what is given.
 * @param args as on the command line
 * @param print gets one line a scene, then a summary
 * @returns the exit status: 0 when nothing differs, 1 when something does, 2 for wrong usage
 */
export async function replayAgainst(args: readonly string[], print: (line: string) => void): Promise<number> {
  const options = Object.fromEntries(flags.map((name) => [name, { type: 'string' as const }]))
  const given = parseArgs({ args: [...args], options }).values as Flags
  const alice = readOwner('', given)
  if (alice === undefined) {
    print(usage)
    return 2
  }
  const bob = readOwner('peer-', given)
  const world = await remoteWorld({ alice, bob, ca: given.ca })
  const names = new Map<string, AtSign>([['@alice', alice.atSign]])
  if (bob !== undefined) names.set('@bob', bob.atSign)
  const counts = { passed: 0, differ: 0, skipped: 0 }
  for (const scene of await readTranscripts()) {
    const label = `${scene.file}: ${scene.title}`
    if (given.only !== undefined && !label.includes(given.only)) continue
    const cast = recast(scene, names)
    const reason = reasonToSkip(scene, cast, world)
    if (reason !== undefined || cast === undefined) {
      counts.skipped++
      print(`skip  ${label} (${reason})`)
      continue
    }
    try {
      await playScene(cast, world)
      counts.passed++
      print(`ok    ${label}`)
    } catch (error) {
      counts.differ++
      print(`DIFF  ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  print(`${counts.passed} scenes passed, ${counts.differ} differ, ${counts.skipped} were left out`)
  return counts.differ === 0 ? 0 : 1
}
