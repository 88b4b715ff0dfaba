import { expect, test } from 'vitest'
import { asOwner, raw, startServer } from '../support/server.ts'

test('stream is refused in words, and the connection stays open (page 07, 2.2)', async () => {
  const alice = await startServer()
  for (const line of [
    'stream:init@bob namespace:wavi 1 photo.jpg 1024',
    'stream:receive 1',
    'stream',
    'STREAM:done x',
  ]) {
    const owner = await asOwner(alice)
    expect(await owner.ask(line)).toMatch(
      /^error:AT0003-Invalid syntax : stream is not served any more; [^\n]*\n@alice@$/,
    )
    expect(await owner.ask('noop:0')).toBe('data:ok\n@alice@')
    expect(await (await raw(alice)).ask(line)).toMatch(
      /^error:AT0003-Exception: stream is not served any more; [^\n]*\n@$/,
    )
  }
})
