import { describe, expect, it } from 'vitest'
import { createClients } from '../../src/directory/clients.ts'
import { manualClock } from '../support/clock.ts'

const world = () => {
  const clock = manualClock()
  return { clock, clients: createClients({ clock, connections: 2, perSecond: 10 }) }
}

describe('a client of the directory', () => {
  it('has so many connections at one time', () => {
    const { clients } = world()
    const first = clients.admit('192.0.2.1')
    clients.admit('192.0.2.1')
    expect(clients.admit('192.0.2.1')).toBeUndefined()
    expect(clients.admit('192.0.2.2')).toBeDefined()
    first?.leave()
    first?.leave()
    expect(clients.admit('::ffff:192.0.2.1')).toBeDefined()
    expect(clients.admit('192.0.2.1')).toBeUndefined()
  })

  it('is one client in all of its IPv6 network', () => {
    const { clients } = world()
    clients.admit('2001:db8:0:7::1')
    clients.admit('2001:db8:0:7:ffff::2')
    expect(clients.admit('2001:db8::7:0:0:0:3')).toBeUndefined()
    expect(clients.admit('2001:db8:0:8::1')).toBeDefined()
    expect(clients.admit('::1')).toBeDefined()
  })

  it('waits when it asks faster than it may, whatever connections it uses', () => {
    const { clock, clients } = world()
    const one = clients.admit('192.0.2.1')
    expect(one?.take(10)).toBe(0)
    expect(one?.take(1)).toBe(100)
    const other = clients.admit('192.0.2.1')
    expect(other?.take(1)).toBe(200)
    clock.advance(200)
    expect(one?.take(1)).toBe(100)
    clock.advance(60_000)
    expect(one?.take(10)).toBe(0)
  })

  it('shares what it may between lines and HTTP', () => {
    const { clients } = world()
    const share = clients.admit('192.0.2.1')
    expect(share?.take(10)).toBe(0)
    expect(clients.take('::ffff:192.0.2.1', 1)).toBe(100)
    expect(clients.take('192.0.2.9', 1)).toBe(0)
  })

  it('is refused by HTTP only what is too much, however long it keeps asking too fast', () => {
    const { clock, clients } = world()
    clients.admit('192.0.2.1')
    let answered = 0
    for (let request = 0; request < 200; request++) {
      if (clients.take('192.0.2.1', 1) === 0) answered++
      clock.advance(50)
    }
    expect(answered).toBeGreaterThanOrEqual(100)
    expect(answered).toBeLessThanOrEqual(110)
  })

  it('does not escape by hanging up', () => {
    const { clock, clients } = world()
    const first = clients.admit('192.0.2.1')
    first?.take(20)
    first?.leave()
    expect(clients.admit('192.0.2.1')?.take(1)).toBe(1_100)
    clock.advance(60_000)
    expect(clients.admit('192.0.2.1')?.take(10)).toBe(0)
  })
})
