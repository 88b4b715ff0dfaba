import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { version } from '../../src/version.ts'
import { cli } from '../support/cli.ts'

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'atedge-cli-'))
})
afterAll(() => rm(folder, { recursive: true, force: true }))

const commands = [
  ...[
    'init',
    'serve',
    'activate',
    'network',
    'demo',
    'get',
    'put',
    'delete',
    'scan',
    'notify',
    'monitor',
    'status',
    'pkam',
    'reload',
    'verb',
    'directory',
  ],
]

describe('the command line', () => {
  it.each(commands)('atedge %s --help shows an example', async (command) => {
    const { status, out } = await cli([command, '--help'])
    expect(status).toBe(0)
    expect(out).toMatch(new RegExp(`Example:\\n {2}atedge ${command}`))
  })

  it('prints its version', async () => {
    expect(await cli(['--version'])).toMatchObject({ status: 0, out: `${version}\n` })
  })

  it.each([
    [['bogus'], "unknown command 'bogus'"],
    [['get'], "missing required argument 'key'"],
    [['get', 'x@alice', '--bogus'], "unknown option '--bogus'"],
    [['network'], "required option '--atsigns"],
    [['network', '--atsigns', '@a', '--port-base', 'x'], 'expected a port from 1 to 65400'],
  ])('refuses %j with status 2 and says why', async (args, why) => {
    expect(await cli(args)).toMatchObject({ status: 2, err: expect.stringContaining(why) })
  })

  it.each([
    [['get', 'x.wavi'], 'say which atSign to act as'],
    [['get', 'x.wavi', '-a', '@a b'], 'invalid @sign'],
    [['get', 'x.wavi', '-a', '@alice', '-n', '/nowhere'], 'network.json is missing'],
    [['get', 'x.wavi', '-a', '@nokeys', '--server', 'localhost:1'], 'there are no keys at'],
    [['serve', '-c', '/nowhere/atedge.yaml'], '/nowhere/atedge.yaml'],
  ])('%j ends with status 1 and says what to do', async (args, why) => {
    expect(await cli(args)).toMatchObject({ status: 1, err: expect.stringContaining(why) })
  })
})

describe('atedge init', () => {
  it('makes configuration, certificates and a secret once, and shows the same secret again', async () => {
    const config = join(folder, 'new', 'atedge.yaml')
    const args = ['init', '@device', '-c', config, '--data', join(folder, 'data'), '--host', 'device.local']
    const first = await cli([...args, '--json'])
    expect(first.status).toBe(0)
    const { cram } = JSON.parse(first.out) as { cram: string }
    expect(cram).toMatch(/^[0-9a-f]{128}$/)
    const again = await cli(args)
    expect(again.out).toContain(cram)
    expect(again.out).toContain('█')
    expect(await readFile(config, 'utf8')).toContain("atSign: '@device'")
    expect((await cli(['config', 'check', '-c', config])).out).toContain('is right: @device, 1 rules')
  })

  it('does not touch a device of another atSign', async () => {
    const config = join(folder, 'other.yaml')
    await writeFile(config, `atSign: '@other'\ndataDir: ${folder}\n`)
    expect(await cli(['init', '@device', '-c', config])).toMatchObject({
      status: 1,
      err: expect.stringContaining('is for @other, not for @device'),
    })
  })
})

describe('atedge config check', () => {
  it('names file, line and setting', async () => {
    const config = join(folder, 'wrong.yaml')
    await writeFile(config, "atSign: '@d'\nbridge:\n  rules:\n    - topic: a/#/b\n      key: x\n")
    expect(await cli(['config', 'check', '-c', config])).toMatchObject({
      status: 1,
      err: `atedge: ${config}:4: bridge.rules[0].topic: # may only be the last level\n`,
    })
  })
})
