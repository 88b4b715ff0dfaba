import { beforeAll, describe, expect, test } from 'vitest'
import { startWorld } from './network-world.ts'
import { missingFor, playScene, type World } from './runner.ts'
import { readTranscripts } from './transcripts.ts'

// Every transcript is replayed over TLS against our own atServers. What a transcript proves stands in its headings.

let world: World
beforeAll(async () => {
  world = await startWorld()
})

const scenes = await readTranscripts()

for (const file of new Set(scenes.map((scene) => scene.file))) {
  describe(file, () => {
    for (const scene of scenes.filter((candidate) => candidate.file === file)) {
      test(scene.title, async () => {
        const stage = scene.stage === 'fresh' ? await startWorld() : world
        expect(missingFor(scene, stage)).toEqual([])
        await playScene(scene, stage)
      })
    }
  })
}
