import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { inProcessPair } from '../../src/client/in-process.ts'
import { openLink } from '../../src/wire/link.ts'
import { manualClock } from '../support/clock.ts'

describe('a connection inside the process', () => {
  it('ends for the one side when the other one is destroyed', async () => {
    const [near, far] = inProcessPair()
    const ended = once(near, 'end')
    near.resume()
    far.destroy()
    await ended
  })

  it('first hands over what was written before', async () => {
    const [near, far] = inProcessPair()
    const heard = Promise.all([once(near, 'data'), once(near, 'end')])
    far.write('last words')
    far.destroy()
    const [[text]] = await heard
    expect(String(text)).toBe('last words')
  })

  it('ends a link at once', async () => {
    const [near, far] = inProcessPair()
    const link = openLink(near, { clock: manualClock() })
    const reply = link.request('scan')
    far.destroy()
    await expect(reply).rejects.toMatchObject({ code: 'AT0004' })
  })

  it('may be ended by both sides', async () => {
    const [near, far] = inProcessPair()
    near.resume().end()
    far.resume().end()
    await Promise.all([once(near, 'close'), once(far, 'close')])
  })
})
