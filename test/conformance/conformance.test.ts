import { beforeAll, describe, expect, test } from 'vitest'
import { startWorld } from './network-world.ts'
import type { Scene } from './parser.ts'
import { missingFor, playScene, type World } from './runner.ts'
import { readTranscripts } from './transcripts.ts'

// Every transcript is replayed over TLS against our own atServers. What a transcript proves stands in its headings.

let world: World
beforeAll(async () => {
  world = await startWorld()
})

/** Made for the first scene that asks for it; each fills other room. */
let small: Promise<World> | undefined

async function stageOf({ stage }: Scene): Promise<World> {
  if (stage === 'small') {
    small ??= startWorld('small')
    return small
  }
  return stage === 'fresh' ? startWorld() : world
}

const scenes = await readTranscripts()

for (const file of new Set(scenes.map((scene) => scene.file))) {
  describe(file, () => {
    for (const scene of scenes.filter((candidate) => candidate.file === file)) {
      test(scene.title, async () => {
        const stage = await stageOf(scene)
        expect(missingFor(scene, stage)).toEqual([])
        await playScene(scene, stage)
      })
    }
  })
}
