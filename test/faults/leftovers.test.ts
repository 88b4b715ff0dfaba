import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { markOf, removeLeftovers } from './leftovers.ts'
import { place } from './settings.ts'

test('what a run has left that was killed is removed, and nothing else', async () => {
  const folder = await place()
  const child = spawn(process.execPath, ['-e', 'setInterval(() => {}, 1000)'], { stdio: 'ignore' })
  if (child.pid === undefined) throw new Error('no process')
  const theirs = `${markOf(child.pid)}abc`
  const others = [`${markOf(process.pid)}abc`, 'atedge-faults-abc', `atedge-faults-1-${child.pid}-abc`, 'other']
  for (const name of [theirs, ...others]) {
    await mkdir(join(folder, name, 'store'), { recursive: true })
    await writeFile(join(folder, name, 'store', 'file'), name)
  }
  await removeLeftovers([folder, join(folder, 'missing')])
  expect((await readdir(folder)).sort()).toEqual([theirs, ...others].sort())
  child.kill('SIGKILL')
  await once(child, 'exit')
  await removeLeftovers([folder])
  expect((await readdir(folder)).sort()).toEqual(others.sort())
})
