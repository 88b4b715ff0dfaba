import { once } from 'node:events'
import { link, mkdir, mkdtemp, rename, rm, stat } from 'node:fs/promises'
import { createConnection, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { startControl } from '../../src/app-control.ts'
import { callControl } from '../../src/cli/control.ts'
import { AtError } from '../../src/core/errors.ts'
import { limits } from '../../src/core/limits.ts'
import { silent as log } from '../../src/core/log.ts'
import type { ControlCommands } from '../../src/server/control.ts'
import { manualClock } from '../support/clock.ts'

const closers: (() => Promise<unknown>)[] = []
afterEach(async () => {
  for (const close of closers.splice(0).reverse()) await close()
})

async function someFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'atedge-control-'))
  closers.push(() => rm(folder, { recursive: true, force: true }))
  return folder
}

/** A control socket with these commands, on a real Unix socket. */
async function world(commands: ControlCommands) {
  const clock = manualClock()
  const path = join(await someFolder(), 'control', 'control.sock')
  const close = await startControl({ path, commands, clock, log })
  closers.push(close)
  return { clock, path, close, call: callControl.bind(undefined, path) }
}

async function rawly(path: string): Promise<{ socket: Socket; answer: Promise<string> }> {
  const socket = createConnection({ path })
  await once(socket, 'connect')
  let text = ''
  socket.on('data', (chunk) => {
    text += chunk
  })
  return { socket, answer: once(socket, 'close').then(() => text) }
}

const until = async (condition: () => boolean): Promise<void> => {
  while (!condition()) await pause(2)
}

describe('a command on the control socket', () => {
  it('gets its arguments and gives a result', async () => {
    const { call } = await world({ add: async ({ a, b }) => ({ sum: Number(a) + Number(b) }), quiet: async () => {} })
    expect(await call('add', { a: 1, b: 2 })).toEqual({ sum: 3 })
    expect(await call('quiet')).toBeNull()
  })

  it('tells progress and streams bytes before its result, in order', async () => {
    const bytes = Buffer.alloc(300_000, 'abc')
    const { call } = await world({
      async backup(_args, { progress, data }) {
        progress({ done: 0, total: 2, step: 'reading' })
        await data(bytes)
        progress({ done: 2, total: 2, step: 'done' })
        return 'whole'
      },
    })
    const steps: string[] = []
    const pieces: Uint8Array[] = []
    const result = await call(
      'backup',
      {},
      { onProgress: ({ step }) => void steps.push(step), onData: (piece) => void pieces.push(piece) },
    )
    expect({ result, steps, bytes: Buffer.concat(pieces).equals(bytes) }).toEqual({
      result: 'whole',
      steps: ['reading', 'done'],
      bytes: true,
    })
  })

  it('waits while the client does not take what it sends', async () => {
    let sent = 0
    let ended = false
    const { call } = await world({
      noop: async () => {},
      async stream(_args, { data }) {
        for (; sent < 200; sent++) await data(Buffer.alloc(65_536))
        ended = true
      },
    })
    let release = (): void => {}
    const held = new Promise<void>((resolve) => {
      release = resolve
    })
    const done = call('stream', {}, { onData: () => held })
    await until(() => sent > 0)
    // As much as kernel and stream buffers hold, and no more.
    for (let turn = 0; turn < 20; turn++) await call('noop')
    expect(sent).toBeLessThan(100)
    release()
    await done
    expect(ended).toBe(true)
  })

  it('is cancelled when the client goes away', async () => {
    let reason: unknown
    const { call } = await world({
      wait: (_args, { signal, progress }) => {
        progress({ done: 0, step: 'waiting' })
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            reason = signal.reason
            reject(signal.reason)
          })
        })
      },
    })
    const abort = new AbortController()
    const done = call('wait', {}, { signal: abort.signal, onProgress: () => abort.abort(new Error('enough')) })
    await expect(done).rejects.toThrow('enough')
    await until(() => reason !== undefined)
    expect(String(reason)).toContain('gone away')
  })

  it('is cancelled when the device stops', async () => {
    let aborted = false
    const { call, close } = await world({
      wait: (_args, { signal, progress }) => {
        progress({ done: 0, step: 'waiting' })
        return new Promise((_resolve, reject) => {
          signal.addEventListener('abort', () => {
            aborted = true
            reject(signal.reason)
          })
        })
      },
    })
    let begun = false
    const done = call('wait', {}, { onProgress: () => (begun = true) }).catch((error: unknown) => String(error))
    await until(() => begun)
    await close()
    expect(aborted).toBe(true)
    expect(await done).toContain('hung up before it answered')
  })

  it.each([
    [new AtError('AT0015', 'no such thing'), 'AT0015', 'no such thing'],
    [new Error('the disk is full'), 'failed', 'the disk is full'],
  ])('that throws %s is told so', async (error, code, message) => {
    const { call } = await world({ fail: () => Promise.reject(error) })
    await expect(call('fail')).rejects.toMatchObject({ code, message })
  })

  it('passes on what the caller itself throws', async () => {
    const { call } = await world({ stream: (_args, { data }) => data(Buffer.from('x')) })
    const full = new Error('no space left')
    await expect(call('stream', {}, { onData: () => Promise.reject(full) })).rejects.toBe(full)
  })
})

describe('the control socket', () => {
  it.each([
    ['no JSON', 'status\n', 'one line of JSON'],
    ['no command', '{"args":{}}\n', '"command" has to be a text'],
    ['arguments that are none', '{"command":"status","args":[1]}\n', '"args" has to be an object'],
    ['an unknown command', '{"command":"reboot"}\n', '"reboot" is no command of this device; it knows status'],
    ['a name that every object has', '{"command":"constructor"}\n', 'is no command'],
    ['bytes that are no text', Buffer.from([0xff, 0x0a]), 'UTF-8'],
    ['too deep a request', `${'['.repeat(100)}\n`, 'levels deep'],
    ['a line that is too long', 'x'.repeat(limits.controlLineBytes), 'at most 65536 bytes'],
  ])('refuses %s by name and hangs up', async (_what, bytes, message) => {
    const { path } = await world({ status: async () => 'fine' })
    const { socket, answer } = await rawly(path)
    socket.write(bytes)
    const { error } = JSON.parse(await answer) as { error: { message: string } }
    expect(error.message).toContain(message)
  })

  it('answers one request a connection and takes it byte by byte', async () => {
    const { path } = await world({ status: async () => 'fine' })
    const { socket, answer } = await rawly(path)
    for (const byte of Buffer.from('{"command":"status"}\n{"command":"status"}\n')) socket.write(Buffer.of(byte))
    expect(await answer).toBe('{"result":"fine"}\n')
  })

  it('hangs up on a client that says nothing', async () => {
    const { clock, path, call } = await world({ status: async () => 'fine' })
    const { answer } = await rawly(path)
    await call('status')
    clock.advance(limits.controlRequestMs)
    expect(await answer).toContain('no request came within 5000 ms')
  })

  it('takes so many connections and no more', async () => {
    const { path, call } = await world({ status: async () => 'fine' })
    const silent = await Promise.all(Array.from({ length: limits.controlConnections }, () => rawly(path)))
    await expect(call('status')).rejects.toMatchObject({ code: 'lost' })
    silent[0]?.socket.destroy()
    await silent[0]?.answer
    await until(() => silent[0]?.socket.destroyed === true)
    let answer: unknown
    while (answer === undefined) answer = await call('status').catch(() => undefined)
    expect(answer).toBe('fine')
    for (const { socket } of silent) socket.destroy()
  })
})

describe('the folder of the socket', () => {
  it('is made for its owner and group; the socket goes when the device stops', async () => {
    const { path, close } = await world({})
    expect((await stat(join(path, '..'))).mode & 0o777).toBe(0o750)
    expect((await stat(path)).mode & 0o777).toBe(0o660)
    await close()
    await expect(stat(path)).rejects.toThrow('ENOENT')
    await expect(callControl(path, 'status')).rejects.toMatchObject({
      code: 'unreachable',
      message: expect.stringContaining('does `atedge serve` run?'),
    })
  })

  it('is refused when everybody may enter it', async () => {
    const folder = join(await someFolder(), 'open')
    await mkdir(folder, { mode: 0o755 })
    const start = startControl({ path: join(folder, 'c.sock'), commands: {}, clock: manualClock(), log })
    await expect(start).rejects.toThrow('everybody may enter')
  })

  it('may hold the socket of a dead process, not that of a live one', async () => {
    const folder = join(await someFolder(), 'control')
    await mkdir(folder, { mode: 0o750 })
    const path = join(folder, 'c.sock')
    const other = createServer().listen({ path })
    await once(other, 'listening')
    const start = () => startControl({ path, commands: { status: async () => 'mine' }, clock: manualClock(), log })
    await expect(start()).rejects.toThrow('belongs to another process that runs')
    await leaveDead(path, other)
    closers.push(await start())
    expect(await callControl(path, 'status')).toBe('mine')
  })

  it('may not be so deep that the name of the socket is cut', async () => {
    const path = join(tmpdir(), 'x'.repeat(100), 'c.sock')
    await expect(startControl({ path, commands: {}, clock: manualClock(), log })).rejects.toThrow('set control.path')
  })
})

/** Ends a listener and leaves its socket behind, as a killed process does. */
async function leaveDead(path: string, listener: ReturnType<typeof createServer>): Promise<void> {
  await link(path, `${path}.dead`)
  await new Promise((resolve) => listener.close(resolve))
  await rename(`${path}.dead`, path)
}
