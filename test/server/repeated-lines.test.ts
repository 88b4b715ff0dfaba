import { expect, test } from 'vitest'
import { asEnrolled, asOwner, raw, startServer } from '../support/server.ts'

test('a line that came before is judged anew for whoever sends it now', async () => {
  const alice = await startServer({
    enrollments: { mine: { namespaces: { wavi: 'rw' } }, other: { namespaces: { buzz: 'rw' } } },
  })
  const owner = await asOwner(alice)
  await owner.ask('update:phone.wavi@alice 1')
  const line = 'llookup:phone.wavi@alice'
  const [mine, other, stranger] = [await asEnrolled(alice, 'mine'), await asEnrolled(alice, 'other'), await raw(alice)]
  for (let time = 0; time < 3; time++) {
    expect(await owner.ask(line)).toBe('data:1\n@alice@')
    expect(await mine.ask(line)).toBe('data:1\n@alice@')
    expect(await other.ask(line)).toMatch(/^error:AT0009-.*enrollment ID other/)
    expect(await stranger.ask(line)).toMatch(/^error:AT0401-/)
  }
})

test('a lookup that came before means the record of whoever sends it now', async () => {
  const alice = await startServer()
  const owner = await asOwner(alice)
  await owner.ask('update:public:city@alice Paris')
  await owner.ask('update:@alice:city@alice home')
  const stranger = await raw(alice)
  for (let time = 0; time < 2; time++) {
    expect(await stranger.ask('lookup:city@alice')).toBe('data:Paris\n@')
    expect(await owner.ask('lookup:city@alice')).toBe('data:home\n@alice@')
  }
})

test('what a line asks for is found as it is now', async () => {
  const owner = await asOwner(await startServer())
  for (const value of ['1', '2', '3']) {
    await owner.ask(`update:k.wavi@alice ${value}`)
    expect(await owner.ask('llookup:k.wavi@alice')).toBe(`data:${value}\n@alice@`)
  }
  await owner.ask('delete:k.wavi@alice')
  expect(await owner.ask('llookup:k.wavi@alice')).toMatch(/^error:AT0015-/)
})
