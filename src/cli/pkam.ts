import type { Command } from 'commander'
import { signRsa } from '../crypto/signing.ts'
import { type ConnectOptions, findTarget, readKeys, withConnection } from './connect.ts'
import { ExitError, type Io, print } from './io.ts'

/** Only a challenge of the owner's own `from` is signed, so that nobody can have something else signed (page 05, section 0). */
const challengeShape = /^_[0-9a-f-]{36}(@[^:\s]+):[0-9a-f-]{36}$/

async function pkam(text: string, options: ConnectOptions & { json?: boolean }, io: Io): Promise<void> {
  const challenge = text.trim().replace(/^data:/, '')
  const target = await findTarget(options, io)
  target.close()
  if (challengeShape.exec(challenge)?.[1] !== target.atSign) {
    throw new ExitError(
      1,
      `"${challenge.slice(0, 64)}" is not a challenge for ${target.atSign}: paste what from:${target.atSign} answered`,
    )
  }
  const { pkamPrivateKey, enrollmentId } = await readKeys(target)
  const enrollment = enrollmentId === undefined ? '' : `enrollmentId:${enrollmentId}:`
  const command = `pkam:${enrollment}${signRsa(pkamPrivateKey, challenge)}`
  print(io, options.json, { command }, () => command)
}

/** `atedge pkam`. */
export function addPkamCommand(program: Command, io: Io): void {
  withConnection(program.command('pkam').argument('<challenge>', 'answer to from:, with or without data:'))
    .description('sign a challenge for a login by hand, as at_pkam does')
    .addHelpText('after', '\nExample:\n  atedge pkam -a @alice data:_0f6c1b9e-…@alice:7b1d3f5a-…')
    .action((challenge: string, options) => pkam(challenge, options, io))
}
