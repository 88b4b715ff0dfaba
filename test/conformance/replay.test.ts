import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createAtKeys, writeKeysFile } from '../../src/crypto/keys-file.ts'
import { startTestNetwork, temporaryDirectory } from '../support/network.ts'
import { replayAgainst } from './replay.ts'

/** An atServer of another name than the transcripts have, with its keys and the authority's certificate in files. */
async function someServer() {
  const network = await startTestNetwork(['@sensor7'])
  const member = network.member('@sensor7')
  const folder = await temporaryDirectory()
  const files = { keys: join(folder, 'key.atKeys'), ca: join(folder, 'ca.pem') }
  const keys = await createAtKeys('@sensor7')
  await writeKeysFile(files.keys, keys)
  await writeFile(files.ca, network.certificate.ca)
  const owner = await member.owner()
  await owner.ask(`update:privatekey:at_pkam_publickey ${keys.pkamPublicKey}`)
  owner.leave()
  const where = ['--host', 'localhost', '--port', `${member.port}`, '--atsign', '@sensor7', '--ca', files.ca]
  return { open: where, owner: [...where, '--keys', files.keys] }
}

test('transcripts are replayed against an atServer that is only known by its address, atSign and keys', async () => {
  const server = await someServer()
  const lines: string[] = []
  expect(await replayAgainst([...server.owner, '--only', 'update-meta'], (line) => lines.push(line))).toBe(0)
  expect(lines.at(-1)).toMatch(/^4 scenes passed, 0 differ, 0 were left out$/)

  const skipped: string[] = []
  expect(await replayAgainst([...server.open, '--only', 'update-meta'], (line) => skipped.push(line))).toBe(0)
  expect(skipped[0]).toMatch(/^skip {2}update-meta\.transcript: page 03, 6: .* \(needs alice\)$/)
})

test('without an address the usage is shown', async () => {
  const lines: string[] = []
  expect(await replayAgainst([], (line) => lines.push(line))).toBe(2)
  expect(lines[0]).toMatch(/npm run conformance -- --host/)
})
