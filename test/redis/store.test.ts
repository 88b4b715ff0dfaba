import { describe, expect, it } from 'vitest'
import type { AtSign } from '../../src/core/at-sign.ts'
import { systemClock } from '../../src/core/clock.ts'
import { AtError } from '../../src/core/errors.ts'
import type { Log } from '../../src/core/log.ts'
import type { RedisSettings } from '../../src/directory/redis-connection.ts'
import { createRedisStore } from '../../src/directory/redis-store.ts'
import { dialTcp } from '../../src/net/dial-tcp.ts'
import { manualClock } from '../support/clock.ts'
import { closeLater, type RedisServer, redisCli, redisServer, sentinel, until } from './servers.ts'

type Settings = Partial<Omit<RedisSettings, 'dial' | 'clock'>>

/** A store as one directory process has it; `logs` are its lines. */
async function storeOn(settings: Settings, { clock = systemClock, own = [] as [AtSign, string][] } = {}) {
  const logs: string[] = []
  const log: Log = (_level, message, members) => void logs.push(`${message} ${JSON.stringify(members)}`)
  const dial: RedisSettings['dial'] = (address) => dialTcp({ ...address, clock: systemClock })
  const whole = { ...{ servers: [], sentinels: [], primary: 'edge', database: 0, dial, clock }, ...settings }
  const store = createRedisStore({ settings: whole, log, own })
  closeLater(() => store.close())
  await store.ready
  /** What it answers: an address, `none`, or the code of the error. */
  const get = async (atSign: AtSign): Promise<string> => {
    try {
      return (await store.get(atSign)) ?? 'none'
    } catch (error) {
      return error instanceof AtError ? error.code : String(error)
    }
  }
  return { store, logs, get }
}

const isReplicaInStep = async (replica: RedisServer): Promise<boolean> =>
  (await replica.run('info', 'replication')).includes('master_link_status:up')

const replicaOf = async (primary: RedisServer): Promise<RedisServer> => {
  const replica = await redisServer(['--replicaof', primary.host, String(primary.port)])
  await until(() => isReplicaInStep(replica))
  return replica
}

describe('entries in Redis', () => {
  it('are what the reference keeps: a string under the bare atSign', async () => {
    const redis = await redisServer()
    await redis.run('set', 'alice', 'alice.example:6464')
    const { store, get } = await storeOn({ servers: [redis] })
    expect(await get('@alice')).toBe('alice.example:6464')
    expect(await store.replace('@bob', 'bob.example:6464', undefined)).toBe(true)
    expect(await redis.run('get', 'bob')).toBe('bob.example:6464')
    expect(await store.remove('@bob')).toBe(true)
    expect(await store.remove('@bob')).toBe(false)
    expect(await redis.run('get', 'bob')).toBe('')
  })

  it('are nothing else: values and keys of other kinds are left alone', async () => {
    const redis = await redisServer()
    await redis.run('set', 'ping', 'pong')
    await redis.run('set', 'Alice', 'upper.example:1')
    await redis.run('set', 'a key', 'space.example:1')
    await redis.run('set', 'long', 'x'.repeat(100_000))
    await redis.run('rpush', 'list', 'list.example:1')
    await redis.run('eval', "for i=0,1199 do redis.call('set', 'n'..i, 'n.example:'..(i+1)) end", 0)
    const { store, get } = await storeOn({ servers: [redis] })
    for (const atSign of ['@ping', '@alice', '@long', '@list', '@nobody'] as const)
      expect(await get(atSign)).toBe('none')
    const list = await store.list()
    expect(list).toHaveLength(1_200)
    expect(list).toContainEqual({ atSign: '@n7', address: 'n.example:8' })
  })

  it('are changed only from the address that was judged', async () => {
    const redis = await redisServer()
    const { store, get } = await storeOn({ servers: [redis] })
    expect(await store.replace('@alice', 'a:1', undefined)).toBe(true)
    expect(await store.replace('@alice', 'b:2', undefined)).toBe(false)
    expect(await store.replace('@alice', 'b:2', 'other:9')).toBe(false)
    expect(await store.replace('@alice', 'b:2', 'a:1')).toBe(true)
    expect(await get('@alice')).toBe('b:2')
    expect(await store.remove('@alice', 'a:1')).toBe(false)
    expect(await redis.run('get', 'alice')).toBe('b:2')
    expect(await store.remove('@alice', 'b:2')).toBe(true)
    expect(await get('@alice')).toBe('none')
  })

  it('are answered from memory until Redis tells of a change, whoever makes it', async () => {
    const redis = await redisServer()
    await redis.run('set', 'alice', 'a:1')
    const [one, two] = [await storeOn({ servers: [redis] }), await storeOn({ servers: [redis] })]
    expect(await one.get('@alice')).toBe('a:1')
    expect(await one.get('@bob')).toBe('none')
    const asked = async (): Promise<string | undefined> =>
      /cmdstat_getrange:calls=(\d+)/.exec(await redis.run('info', 'commandstats'))?.[1]
    const before = await asked()
    for (let round = 0; round < 100; round++) await one.get('@alice')
    expect(one.store.get('@alice')).toBe('a:1')
    expect(await asked()).toBe(before)
    await two.store.replace('@alice', 'b:2', 'a:1')
    await two.store.replace('@bob', 'bob:1', undefined)
    await until(async () => (await one.get('@alice')) === 'b:2' && (await one.get('@bob')) === 'bob:1')
    await redis.run('pexpire', 'alice', 50)
    await until(async () => (await one.get('@alice')) === 'none')
    expect(one.store.status()).toMatchObject({ redis: { connected: true, primary: true, notifications: true } })
  })

  it('are asked for every five seconds where Redis may not be told to tell, and that is said', async () => {
    const redis = await redisServer(['--user', 'edge', 'on', '>secret', '~*', '&*', '+@all', '-config'])
    const clock = manualClock()
    const account = { username: 'edge', password: async () => 'secret' }
    const { store, logs, get } = await storeOn({ servers: [redis], ...account }, { clock })
    await redis.run('set', 'alice', 'a:1')
    expect(await get('@alice')).toBe('a:1')
    await redis.run('set', 'alice', 'b:2')
    expect(await get('@alice')).toBe('a:1')
    // In steps, each of which waits for what was asked before on the same connection.
    for (const name of ['@n1', '@n2', '@n3'] as const) {
      clock.advance(1_700)
      expect(await get(name)).toBe('none')
    }
    expect(await get('@alice')).toBe('b:2')
    expect(logs.join()).toContain('set notify-keyspace-events Kg$xe')
    expect(store.status()).toMatchObject({ redis: { notifications: false } })
  })

  it('that went and came back are found within five seconds by all where Redis does not tell, which is said once', async () => {
    const redis = await redisServer(['--user', 'edge', 'on', '>secret', '~*', '&*', '+@all', '-config'])
    const account = { username: 'edge', password: async () => 'secret' }
    const [oneClock, twoClock] = [manualClock(), manualClock()]
    const one = await storeOn({ servers: [redis], ...account }, { clock: oneClock })
    const two = await storeOn({ servers: [redis], ...account }, { clock: twoClock })
    /** Lets five seconds pass at the second one, while Redis answers. */
    const fiveSeconds = async (): Promise<void> => {
      for (const name of ['@n1', '@n2', '@n3'] as const) {
        twoClock.advance(1_700)
        await two.get(name)
      }
    }
    await one.store.replace('@alice', 'a:1', undefined)
    expect(await two.get('@alice')).toBe('a:1')
    await one.store.remove('@alice')
    expect(await two.get('@alice')).toBe('a:1')
    await fiveSeconds()
    expect(await two.get('@alice')).toBe('none')
    await one.store.replace('@alice', 'b:2', undefined)
    expect(await two.get('@alice')).toBe('none')
    await fiveSeconds()
    expect(await two.get('@alice')).toBe('b:2')
    expect(two.logs.filter((line) => line.includes('it does not tell of changes'))).toHaveLength(1)
  })

  it('are told of again when somebody has switched the events off', async () => {
    const redis = await redisServer()
    const { store, logs, get } = await storeOn({ servers: [redis] })
    await store.replace('@alice', 'a:1', undefined)
    expect(await get('@alice')).toBe('a:1')
    await redis.run('config', 'set', 'notify-keyspace-events', '')
    await redis.run('set', 'alice', 'b:2')
    await until(async () => (await get('@alice')) === 'b:2')
    expect(logs.join()).toContain('it does not tell of changes any more')
    expect(store.status()).toMatchObject({ redis: { notifications: true } })
  })

  it('of one host are at most a hundred, and those of others are not concerned', async () => {
    const redis = await redisServer()
    await redis.run('eval', "for i=1,99 do redis.call('set', 'n'..i, 'Greedy.lan:'..i) end", 0)
    const { store } = await storeOn({ servers: [redis] })
    expect(await store.replace('@last', 'greedy.lan:1', undefined)).toBe(true)
    const tooMany = { code: 'AT0022', message: 'greedy.lan has 100 entries already, and may have no more' }
    await expect(store.replace('@more', 'greedy.lan:1', undefined)).rejects.toMatchObject(tooMany)
    expect(await store.replace('@last', 'greedy.lan:2', 'greedy.lan:1')).toBe(true)
    expect(await store.replace('@other', 'other.lan:1', undefined)).toBe(true)
    await expect(store.replace('@other', 'greedy.lan:1', 'other.lan:1')).rejects.toMatchObject(tooMany)
  })

  it('keep the flags that Redis had', async () => {
    const redis = await redisServer(['--notify-keyspace-events', 'El'])
    await storeOn({ servers: [redis] })
    const [, flags = ''] = (await redis.run('config', 'get', 'notify-keyspace-events')).split('\n')
    expect([...flags].sort().join('')).toBe([...'ElKg$xe'].sort().join(''))
  })
})

describe('a Redis that is away', () => {
  it('is waited for: the directory starts without it and has its entries once it is there', async () => {
    const redis = await redisServer([], { starts: false })
    const { store, logs, get } = await storeOn({ servers: [redis] }, { own: [['@device', 'device.lan:6464']] })
    expect(await get('@alice')).toBe('AT0021')
    await expect(store.replace('@alice', 'a:1', undefined)).rejects.toThrow('Redis does not answer')
    expect(store.status()).toMatchObject({ redis: { connected: false } })
    expect(logs.join()).toContain('the directory answers from memory')
    await redis.start()
    await until(async () => (await get('@device')) === 'device.lan:6464')
    await until(async () => store.replace('@alice', 'a:1', undefined).catch(() => false))
    expect(await get('@alice')).toBe('a:1')
  })

  it('leaves what is known; what changed meanwhile is seen when it is back', async () => {
    const redis = await redisServer()
    const { store, get } = await storeOn({ servers: [redis] })
    await store.replace('@alice', 'a:1', undefined)
    expect(await get('@alice')).toBe('a:1')
    expect(await get('@bob')).toBe('none')
    await redis.kill()
    await until(() => store.status()['redis'] !== undefined && !JSON.stringify(store.status()).includes('true'))
    expect(await get('@alice')).toBe('a:1')
    expect(await get('@bob')).toBe('AT0021')
    await redis.start()
    await redis.run('set', 'alice', 'b:2')
    await until(async () => (await get('@alice')) === 'b:2')
    expect(await get('@bob')).toBe('none')
  })
})

describe('a replicated Redis', () => {
  it('is read at its replica while the primary is down, and written again at the one that takes over', async () => {
    const primary = await redisServer()
    const replica = await replicaOf(primary)
    const { store, get } = await storeOn({ servers: [primary, replica] })
    await store.replace('@alice', 'a:1', undefined)
    await until(async () => (await replica.run('get', 'alice')) === 'a:1')
    await primary.kill()
    await until(() => JSON.stringify(store.status()).includes(`127.0.0.1:${replica.port}`))
    expect(await get('@alice')).toBe('a:1')
    expect(await get('@nobody')).toBe('none')
    await expect(store.replace('@bob', 'b:1', undefined)).rejects.toThrow('only a replica of Redis answers')
    await replica.run('replicaof', 'NO', 'ONE')
    await until(async () => store.replace('@bob', 'b:1', undefined).catch(() => false))
    expect(await get('@bob')).toBe('b:1')
  })

  it('is followed when the primary steps down and stays connected', async () => {
    const primary = await redisServer()
    const replica = await replicaOf(primary)
    const { store, get } = await storeOn({ servers: [primary, replica] })
    await replica.run('replicaof', 'NO', 'ONE')
    await primary.run('replicaof', replica.host, replica.port)
    await until(async () => store.replace('@alice', 'a:1', undefined).catch(() => false))
    expect(await replica.run('get', 'alice')).toBe('a:1')
    await replica.run('set', 'alice', 'b:2')
    await until(async () => (await get('@alice')) === 'b:2')
  })

  it('is followed where the Sentinels say', async () => {
    const primary = await redisServer()
    const replica = await replicaOf(primary)
    const watcher = await sentinel(primary)
    const { store, get } = await storeOn({ servers: [], sentinels: [{ host: '127.0.0.1', port: 1 }, watcher] })
    await store.replace('@alice', 'a:1', undefined)
    await until(async () =>
      (await redisCli(watcher.port, ['sentinel', 'replicas', 'edge'])).includes(String(replica.port)),
    )
    await until(async () => (await replica.run('get', 'alice')) === 'a:1')
    await primary.kill()
    await until(async () => store.replace('@bob', 'b:1', undefined).catch(() => false))
    expect(await replica.run('get', 'bob')).toBe('b:1')
    expect(await get('@alice')).toBe('a:1')
  })

  it.each([
    ['have no password', [], undefined, undefined],
    ['have a password of their own', ['requirepass other'], 'other', undefined],
    [
      'have users of their own',
      ['user default off', 'user watcher on >other allchannels +sentinel|get-master-addr-by-name'],
      'other',
      'watcher',
    ],
  ])('with a password is found by Sentinels that %s', async (_what, lines, sentinelPassword, sentinelUsername) => {
    const primary = await redisServer(['--requirepass', 'secret'])
    const watcher = await sentinel(primary, ['sentinel auth-pass edge secret', ...lines])
    const { store, logs } = await storeOn({
      ...{ servers: [], sentinels: [watcher], password: async () => 'secret' },
      sentinelUsername,
      sentinelPassword: sentinelPassword === undefined ? undefined : async () => sentinelPassword,
    })
    expect(logs.join()).not.toContain('does not answer')
    expect(await store.replace('@alice', 'a:1', undefined)).toBe(true)
    expect(await store.get('@alice')).toBe('a:1')
  })
})
