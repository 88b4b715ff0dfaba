import { test } from 'vitest'
import { asEnrolled, asOwner, asPeer, asPrimary, connectServers, raw, startServer } from '../support/server.ts'

test('x', async () => {
  const alice = await startServer({ enrollments: { e1: { namespaces: { wavi: 'r' } } } })
  const bob = await startServer({ atSign: '@bob' })
  connectServers(alice, bob)
  const c = await raw(alice)
  const say = async (who: Awaited<ReturnType<typeof raw>>, l: string) => console.log(l.slice(0, 80), '=>', JSON.stringify((await who.ask(l)).slice(0, 600)))
  for (const l of ['scan', 'info:brief:x', 'to:@alice', 'update:a@alice x', '', 'from:@bob:clientConfig:x', 'pol', 'cram:x', 'pkam:x', 'info'])
    await say(c, l)
  const o = await asOwner(alice)
  for (const l of ['scan', 'update:public:location@alice California', 'llookup:all:public:location@alice', 'stats', 'scan:cl', 'lookup:public:phone@carol','monitor']) {
    if (l === 'monitor') { o.write('monitor\n'); continue }
    await say(o, l)
  }
  const p = await asPrimary(alice)
  await say(p, 'llookup:public:location@alice')
  await say(p, 'notify:messageType:text:@bob:mail joe@example.com: ok')
  const e = await asEnrolled(alice, 'e1')
  await say(e, 'scan')
  const peer = await asPeer(alice, bob)
  await say(peer, 'lookup:x@alice')
  await say(peer, 'scan')
  await say(peer, 'notify:@alice:x.y@bob:v')
  console.log(await o.line())
})
