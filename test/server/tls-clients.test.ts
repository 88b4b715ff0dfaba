import { beforeAll, expect, test } from 'vitest'
import { connectOffering } from '../support/https.ts'
import { type Member, startTestNetwork, type TestNetwork, until } from '../support/network.ts'

const ok = 'data:ok\n@'
const invalid = 'error:AT0003-Exception: invalid command\n@'

let network: TestNetwork
let alice: Member
beforeAll(async () => {
  network = await startTestNetwork(['@alice'])
  alice = network.member('@alice')
})

/** A greeted connection over TLS. */
async function open() {
  const { client } = await connectOffering(alice, network)
  await client.take(/^@/)
  return client
}

test('a TLS client that closes its side behind its commands gets every answer, in their order', async () => {
  const client = await open()
  Object.assign(client.stream, { allowHalfOpen: true })
  let all: string | undefined
  void client.closed.then((text) => {
    all = text
  })
  client.stream.end('noop:200\nbogus\nto:@nobody\nnoop:0\n')
  await until(() => {
    network.clock.advance(100)
    return all !== undefined
  })
  expect(all).toMatch(new RegExp(`^${ok}${invalid}error:AT0007-[^\n]*\n@${ok}$`))
})

test('a slow command of one TLS client delays no other, and its own next ones come behind it', async () => {
  const [slow, quick] = [await open(), await open()]
  slow.write('noop:5000\nbogus\n')
  for (let i = 0; i < 20; i++) expect(await quick.ask('noop:0')).toBe(ok)
  expect(slow.chunks).toEqual(['@'])
  const answers = Promise.all([slow.reply(), slow.reply()])
  let answered = false
  void answers.then(() => {
    answered = true
  })
  await until(() => {
    network.clock.advance(1_000)
    return answered
  })
  expect(await answers).toEqual([ok, invalid])
})
