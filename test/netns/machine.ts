import { type ChildProcess, spawn } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import type { Command, Machine } from './process.ts'

/** A machine that runs. */
export interface Running {
  command(command: Command): Promise<unknown>
  stop(): Promise<void>
}

/** Starts a machine in its namespace, if there are such, and waits until it is ready. */
export async function startMachine(machine: Machine, file: string, namespace: string | undefined): Promise<Running> {
  await writeFile(file, JSON.stringify(machine), { mode: 0o600 })
  const node = [process.execPath, '--import', 'tsx', join(import.meta.dirname, 'process.ts'), file]
  const [program = '', ...args] = namespace === undefined ? node : ['ip', 'netns', 'exec', namespace, ...node]
  const child: ChildProcess = spawn(program, args, { stdio: ['pipe', 'pipe', 'inherit'] })
  const ended = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const waiting = new Map<number, { resolve(value: unknown): void; reject(error: Error): void }>()
  let last = 0
  const expect = (id: number): Promise<unknown> =>
    new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject })
    })
  const ready = expect(0)
  void ended.then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`${machine.role} has ended`))
  })
  if (child.stdout !== null) {
    createInterface({ input: child.stdout }).on('line', (line) => {
      const { id = 0, value, error } = JSON.parse(line) as { id?: number; value?: unknown; error?: string }
      if (error === undefined) waiting.get(id)?.resolve(value)
      else waiting.get(id)?.reject(new Error(error))
      waiting.delete(id)
    })
  }
  await ready
  return {
    command(command) {
      const id = ++last
      child.stdin?.write(`${JSON.stringify({ id, ...command })}\n`)
      return expect(id)
    },
    async stop() {
      child.stdin?.end()
      await ended
    },
  }
}
