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
  for (let time = 0; time < 6; time++) {
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
    for (let time = 0; time < 5; time++) {
      expect(await owner.ask('llookup:k.wavi@alice')).toBe(`data:${value}\n@alice@`)
    }
  }
  await owner.ask('delete:k.wavi@alice')
  expect(await owner.ask('llookup:k.wavi@alice')).toMatch(/^error:AT0015-/)
})

test('a known answer waits for those before it, and gives way to what is written before it', async () => {
  const owner = await asOwner(await startServer())
  await owner.ask('update:k.wavi@alice 1')
  const line = 'llookup:k.wavi@alice'
  for (let time = 0; time < 5; time++) await owner.ask(line)
  owner.write(`${line}\nnoop:0\n${line}\nupdate:k.wavi@alice 2\n${line}\n`)
  const told: string[] = []
  for (let reply = 0; reply < 5; reply++) told.push(await owner.reply())
  expect(told.map((text) => text.slice(0, 7))).toEqual(['data:1\n', 'data:ok', 'data:1\n', 'data:2\n', 'data:2\n'])
})

test('a known answer does not outlive its record', async () => {
  const alice = await startServer()
  const owner = await asOwner(alice)
  await owner.ask('update:k.wavi@alice 1')
  for (let time = 0; time < 5; time++) await owner.ask('llookup:k.wavi@alice')
  await owner.ask('update:ttl:1000:k.wavi@alice 2')
  for (let time = 0; time < 5; time++) expect(await owner.ask('llookup:k.wavi@alice')).toBe('data:2\n@alice@')
  alice.clock.advance(2_000)
  expect(await owner.ask('llookup:k.wavi@alice')).toMatch(/^error:AT0015-/)
})
