import { type Duplex, duplexPair } from 'node:stream'
import { afterEach, describe, expect, it } from 'vitest'
import { AtError } from '../../src/core/errors.ts'
import { createLineBudget } from '../../src/wire/line-budget.ts'
import { type Link, type LinkOptions, openLink, replyData } from '../../src/wire/link.ts'
import { manualClock } from '../support/clock.ts'

const open: Link[] = []

afterEach(() => {
  for (const link of open.splice(0)) link.close()
})

/** A link and the other side as raw bytes. `heard` grows with what the link sends. */
function conversation(options: Partial<LinkOptions> = {}) {
  const clock = manualClock()
  const [near, far] = duplexPair()
  const heard: string[] = []
  far.on('data', (chunk) => heard.push(String(chunk)))
  far.on('error', () => {})
  const closes: (Error | undefined)[] = []
  const link = openLink(near, { clock, onClose: (error) => closes.push(error), ...options })
  open.push(link)
  return { clock, link, far, heard, closes }
}

/** Lets bytes travel through an in-process pair. */
const settle = async (): Promise<void> => {
  for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve))
}

async function say(far: Duplex, text: string | Uint8Array): Promise<void> {
  far.write(text)
  await settle()
}

async function sayByteByByte(far: Duplex, text: string): Promise<void> {
  for (const byte of Buffer.from(text)) await say(far, Buffer.of(byte))
}

const codeOf = async (promise: Promise<unknown>): Promise<string> => {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  return error instanceof AtError ? error.code : `no AtError: ${String(error)}`
}

describe('a link', () => {
  it('is ready at the greeting', async () => {
    const { link, far } = conversation()
    await say(far, '@')
    await expect(link.ready).resolves.toBeUndefined()
  })

  it('sends the lines of one turn in one write, those before an end too', async () => {
    const { link, far, heard } = conversation()
    await say(far, '@')
    const requests = [link.request('noop:0'), link.request('noop:1')]
    link.send('monitor')
    await settle()
    expect(heard).toEqual(['noop:0\nnoop:1\nmonitor\n'])
    requests.push(link.request('noop:2'))
    link.close()
    await Promise.allSettled(requests)
    await settle()
    expect(heard.slice(1)).toEqual(['noop:2\n'])
  })

  it('waits for each reply from when it is the next to come', async () => {
    const { link, far, clock, closes } = conversation({ replyMs: 1_000 })
    await say(far, '@')
    const first = link.request('noop:0')
    const second = codeOf(link.request('noop:1'))
    await settle()
    clock.advance(600)
    await say(far, 'data:ok\n@')
    await expect(first).resolves.toBe('data:ok')
    clock.advance(999)
    expect(closes).toEqual([])
    clock.advance(1)
    expect(await second).toBe('AT0023')
  })

  it('answers pipelined requests in order, prompts stripped', async () => {
    const { link, far, heard } = conversation()
    const replies = Promise.all([
      link.request('from:@alice'),
      link.request('cram:00'),
      link.request('llookup:x@alice'),
      link.request('stats'),
    ])
    await say(
      far,
      '@data:_1@alice:2\n@data:success\n@alice@error:AT0015-key not found : x\n@alice@data: [{"id":"1"}]\n@alice@',
    )
    expect(await replies).toEqual([
      'data:_1@alice:2',
      'data:success',
      'error:AT0015-key not found : x',
      'data: [{"id":"1"}]',
    ])
    expect(heard.join('')).toBe('from:@alice\ncram:00\nllookup:x@alice\nstats\n')
  })

  it('understands a whole session that arrives one byte at a time', async () => {
    const notifications: string[] = []
    const { link, far } = conversation({ onNotification: (line) => notifications.push(line) })
    const from = link.request('from:@bob')
    const pol = link.prove('pol')
    const lookup = link.request('lookup:x@alice')
    await sayByteByByte(far, '@data:proof:_1@bob:2\n@@bob@data:21.5 °C\r\n@bob@notification: {"id":"n"}\n')
    expect(await from).toBe('data:proof:_1@bob:2')
    expect(await pol).toBe('@bob@')
    expect(await lookup).toBe('data:21.5 °C')
    expect(notifications).toEqual(['notification: {"id":"n"}'])
  })

  it('resolves a proof with the new prompt however it is cut', async () => {
    for (const chunks of [['@', '@bob@'], ['@@bob@'], ['@@b', 'ob', '@'], ['@', '@😀🎉', '@']]) {
      const { link, far } = conversation()
      const from = link.request('from:@bob')
      const pol = link.prove('pol')
      await say(far, '@data:proof:x\n')
      await from
      for (const chunk of chunks) await say(far, chunk)
      expect(await pol).toBe(chunks.join('').replace(/^@/, ''))
    }
  })

  it('rejects a refused proof with the error of the other side and goes on', async () => {
    const { link, far } = conversation()
    const pol = expect(link.prove('pol')).rejects.toMatchObject({
      code: 'AT0401',
      message: 'Pol Authentication Failed',
    })
    const next = link.request('noop:0')
    await say(far, '@error:AT0401-Exception: Pol Authentication Failed\n@data:ok\n@')
    await pol
    expect(await next).toBe('data:ok')
  })

  it('closes when a proof is answered by data', async () => {
    const { link, far } = conversation()
    const pol = codeOf(link.prove('pol'))
    await say(far, '@data:success\n@')
    expect(await pol).toBe('AT0008')
    expect(link.closed).toBe(true)
  })

  it('tolerates prompts that come late and alone', async () => {
    const { link, far } = conversation()
    await say(far, '@')
    const first = link.request('llookup:a@alice')
    await say(far, 'data:1\n')
    expect(await first).toBe('data:1')
    await say(far, '@alice@')
    const second = link.request('llookup:b@alice')
    await say(far, 'data:mail me @ b@c: now\n')
    expect(await second).toBe('data:mail me @ b@c: now')
  })

  it('drops the further lines of a usage text of the reference', async () => {
    const { link, far } = conversation()
    const first = link.request('from:')
    const second = link.request('noop:0')
    await say(far, '@error:AT0003-Exception: Invalid syntax. syntax from:@<atSign> \n e.g from:@alice\n@data:ok\n@')
    expect(await first).toContain('AT0003')
    expect(await second).toBe('data:ok')
  })

  it('sends a command without a reply and hands over notifications', async () => {
    const lines: string[] = []
    const { link, far, heard } = conversation({ onNotification: (line) => lines.push(line) })
    await say(far, '@')
    link.send('monitor:0')
    const beat = link.request('noop:0')
    await say(far, 'notification: {"a":1}\ndata:ok\n@alice@notification: {"a":2}\n')
    expect(await beat).toBe('data:ok')
    expect(lines).toEqual(['notification: {"a":1}', 'notification: {"a":2}'])
    expect(heard.join('')).toBe('monitor:0\nnoop:0\n')
  })

  it('refuses commands with line breaks and sends nothing of them', async () => {
    const { link, far, heard } = conversation()
    await say(far, '@')
    for (const text of ['update:x@alice a\ndelete:y@alice', 'scan\r'])
      expect(await codeOf(link.request(text))).toBe('AT0003')
    expect(() => link.send('monitor\n')).toThrow('monitor may not hold a line break')
    await settle()
    expect(heard).toEqual([])
    expect(link.closed).toBe(false)
  })

  it('stops reading while paused', async () => {
    const lines: string[] = []
    const { link, far } = conversation({ onNotification: (line) => lines.push(line) })
    await say(far, '@')
    link.pause()
    await say(far, 'notification: {}\n')
    expect(lines).toHaveLength(0)
    link.resume()
    await settle()
    expect(lines).toHaveLength(1)
  })
})

describe('links whose long replies share memory', () => {
  it('let the longest give way to others, as something that may be tried again', async () => {
    const lines = createLineBudget(300_000)
    const [long, short] = [conversation({ lines }), conversation({ lines })]
    const [cutOff, answered] = [codeOf(long.link.request('lookup:all:x@bob')), short.link.request('lookup:all:x@carol')]
    await say(long.far, `@data:${'x'.repeat(200_000)}`)
    await say(short.far, `@data:${'x'.repeat(100_000)}`)
    await say(short.far, 'x\n@')
    await say(long.far, 'x\n@')
    expect(await cutOff).toBe('AT0028')
    expect(await answered).toHaveLength('data:'.length + 100_001)
    expect(lines.held()).toBe(0)
  })
})

describe('a link whose other side is silent', () => {
  it('gives up on a greeting that does not come', async () => {
    const { clock, link, closes } = conversation({ replyMs: 3_000 })
    clock.advance(2_999)
    expect(link.closed).toBe(false)
    clock.advance(1)
    await expect(link.ready).rejects.toMatchObject({ code: 'AT0023', message: 'No greeting within 3000 ms' })
    expect(closes).toHaveLength(1)
  })

  it('names the verb that was not answered, and nothing else of the command', async () => {
    const { clock, link, far } = conversation()
    await say(far, '@')
    const reply = link.request('pkam:enrollmentId:e1:c2VjcmV0', { replyMs: 500 })
    clock.advance(500)
    const error = await reply.catch((reason: unknown) => reason)
    expect(error).toMatchObject({ code: 'AT0023' })
    expect(String(error)).toContain('pkam')
    expect(String(error)).not.toContain('c2VjcmV0')
  })

  it('gives each pipelined request its own time once it is next', async () => {
    const { clock, link, far } = conversation({ replyMs: 1_000 })
    await say(far, '@')
    const first = link.request('a')
    const second = link.request('b')
    clock.advance(900)
    await say(far, 'data:1\n@')
    clock.advance(900)
    await say(far, 'data:2\n@')
    expect(await Promise.all([first, second])).toEqual(['data:1', 'data:2'])
    clock.advance(10_000)
    expect(link.closed).toBe(false)
  })
})

describe('a link that breaks', () => {
  it('rejects everything in flight when the other side goes away mid-line', async () => {
    const { link, far, closes } = conversation()
    const replies = [link.request('llookup:a@alice'), link.request('llookup:b@alice'), link.prove('pol')].map(codeOf)
    await say(far, '@data:half of a rep')
    far.end()
    expect(await Promise.all(replies)).toEqual(['AT0004', 'AT0004', 'AT0004'])
    expect(link.closed).toBe(true)
    expect(closes).toHaveLength(1)
    expect(await codeOf(link.request('scan'))).toBe('AT0004')
  })

  it('rejects what is in flight when it is closed here, and says goodbye', async () => {
    const { link, far, closes } = conversation()
    const ended = new Promise((resolve) => far.once('end', resolve))
    await say(far, '@')
    const reply = link.request('scan')
    link.close()
    expect(await codeOf(reply)).toBe('AT0004')
    await ended
    expect(closes).toEqual([undefined])
  })

  it('takes a reset for an end', async () => {
    const [near] = duplexPair()
    const link = openLink(near, { clock: manualClock() })
    const reply = link.request('scan')
    near.destroy(new Error('read ECONNRESET'))
    await expect(reply).rejects.toMatchObject({ code: 'AT0004', message: expect.stringContaining('ECONNRESET') })
  })
})

describe('a hostile other side', () => {
  it('may not send a line without end', async () => {
    const { link, far } = conversation({ maxReplyBytes: 1_000 })
    const reply = codeOf(link.request('scan'))
    await say(far, '@data:')
    for (let part = 0; part < 20; part++) far.write('x'.repeat(100))
    expect(await reply).toBe('AT0005')
    expect(link.closed).toBe(true)
  })

  it('may not greet with something else', async () => {
    const { link, far } = conversation()
    await say(far, 'HTTP/1.1 400 Bad Request\r\n')
    await expect(link.ready).rejects.toMatchObject({ code: 'AT0011', message: expect.stringContaining('greet') })
  })

  it('may refuse instead of greeting, and is heard', async () => {
    const { link, far } = conversation()
    await say(far, 'error:AT0012-Inbound connection limit exceeded\n')
    await expect(link.ready).rejects.toMatchObject({ code: 'AT0012', message: 'Inbound connection limit exceeded' })
  })

  it.each([
    ['an answer that nobody asked for', 'data:1\n', 'AT0011'],
    ['a line that is no reply', 'hello\n', 'AT0011'],
    ['a line behind a prompt that is no reply', '@alice@hello\n', 'AT0011'],
    ['an error that nobody asked for', 'error:AT0024-Server is paused : soon\n', 'AT0024'],
    ['bytes that are not UTF-8', Buffer.from([0xff, 0xfe, 0x0a]), 'AT0011'],
  ])('is cut off after %s', async (_name, bytes, code) => {
    const { link, far, closes } = conversation()
    await say(far, '@')
    await say(far, bytes)
    expect(link.closed).toBe(true)
    expect(closes[0]).toMatchObject({ code })
  })

  it('cannot make a proof out of a name with blanks or colons, or out of one that is too long', async () => {
    for (const prompt of ['@ @', '@a b@', `@${'x'.repeat(300)}@`]) {
      const { link, far } = conversation()
      const pol = codeOf(link.prove('pol'))
      await say(far, `@${prompt}`)
      far.end()
      expect(await pol).toBe('AT0004')
    }
  })

  it('leaves nobody waiting whatever it sends', async () => {
    for (const text of ['@\n', '@@@@@@\n', '@:', ':\n', '\n', '\0\0\0\n', '@data', 'error:\n', '@error:\n', '{}\n']) {
      const { link, far } = conversation()
      const reply = link.request('scan').catch(() => 'refused')
      await say(far, text)
      far.end()
      await settle()
      expect(await reply).toBeTypeOf('string')
      expect(link.closed).toBe(true)
    }
  })
})

describe('replyData', () => {
  it('gives the text behind data', () => {
    expect(replyData('data:17')).toBe('17')
    expect(replyData('data: [1]')).toBe('[1]')
    expect(replyData('data:')).toBe('')
    expect(replyData('data:data:x')).toBe('data:x')
  })

  it.each([
    ['error:AT0015-key not found : x@alice does not exist in keystore', 'AT0015', 'x@alice does not exist in keystore'],
    ['error:AT0015-Exception: @bob:x@alice does not exist', 'AT0015', '@bob:x@alice does not exist'],
    ['error:AT0401-Exception: a-b: c', 'AT0401', 'a-b: c'],
    ['error:AT0025:enrollment_id: 17 is denied', 'AT0025', 'enrollment_id: 17 is denied'],
    ['error:{"errorCode":"AT0009","errorDescription":"UnAuthorized client in request : no\\nway"}', 'AT0009', 'no way'],
    ['error:AT0099-new thing', 'AT0011', 'AT0099-new thing'],
    ['error:null:no stat 99', 'AT0011', 'null:no stat 99'],
    ['error:{"errorCode":"AT7777","errorDescription":"strange"}', 'AT0011', 'AT7777-strange'],
    ['error:{"broken', 'AT0011', '{"broken'],
    ['error:', 'AT0011', 'error without a text'],
    ['error:AT0003-a\u0000b\u2028c', 'AT0003', 'a b c'],
    ['nonsense', 'AT0011', 'The reply is neither data nor an error'],
  ])('throws what %s carries', (line, code, message) => {
    const error = ((): unknown => {
      try {
        return replyData(line)
      } catch (reason) {
        return reason
      }
    })()
    expect(error).toBeInstanceOf(AtError)
    expect(error).toMatchObject({ code, message, closes: false })
  })

  it('keeps the colon form and cuts endless texts', () => {
    expect(() => replyData(`error:AT0028:${'x'.repeat(100_000)}`)).toThrowError(/^x{1000}$/)
    expect(() => replyData('error:AT0026:pending')).toThrow(expect.objectContaining({ shape: 'colon' }))
  })
})
