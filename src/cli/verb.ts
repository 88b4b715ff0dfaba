import type { Command } from 'commander'
import { ExitError, type Io, print } from './io.ts'
import { callDevice, type LocalOptions, withLocal } from './local.ts'

async function verb(line: string, options: LocalOptions, io: Io): Promise<void> {
  const { reply } = (await callDevice(options, 'verb', { line })) as { reply: string }
  print(io, options.json, { reply }, () => reply)
  if (reply.startsWith('error:')) throw new ExitError(1, 'the atServer has refused it')
}

/** `atedge verb`. */
export function addVerbCommand(program: Command, io: Io): void {
  withLocal(program.command('verb').argument('<command>', 'one command of the atProtocol, in quotes'))
    .description('have the device on this machine run a command as its owner, without keys')
    .addHelpText(
      'after',
      `
Who may use the control socket is the owner here: root, and members of the group of its folder. Values stay encrypted.

Example:
  atedge verb 'scan'
  atedge verb 'llookup:all:public:publickey@device' -c ./atedge.yaml --json`,
    )
    .action((line: string, options) => verb(line, options, io))
}
