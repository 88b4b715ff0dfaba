import { type Member, startTestNetwork, type TestNetwork } from './network.ts'
import type { Client } from './server.ts'

/** A network whose one member is @alice, with a connection of her owner. */
export async function startAlice(
  options: Parameters<typeof startTestNetwork>[1] = {},
): Promise<{ network: TestNetwork; alice: Member; owner: Client }> {
  const network = await startTestNetwork(['@alice'], options)
  const alice = network.member('@alice')
  return { network, alice, owner: await alice.owner() }
}
