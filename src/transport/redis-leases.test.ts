import { describe, expect, it } from 'vitest'
import { noRedis, type RedisServer } from '../../interop-tests/redis-server.js'
import { type Clock, systemClock } from '../clock.js'
import { ConnectionLostError, DeliveryLostError, LeaseLostError } from '../errors.js'
import { Collector, toQueue } from './collector.conformance.js'
import type { RedisClient } from './redis-client.js'
import { useRedis } from './redis-rig.conformance.js'
import { createRedisTransport } from './redis-transport.js'
import type { Connection } from './transport.js'

/** The machine's clock, until the process "was frozen": then it has jumped, as it looks to a process that thaws. */
class JumpingClock implements Clock {
  readonly #real = systemClock()
  #wall = 0
  #monotonic = 0
  readonly after = this.#real.after

  now(): number {
    return this.#real.now() + this.#wall
  }
  monotonic(): number {
    return this.#real.monotonic() + this.#monotonic
  }
  jump(ms: { readonly wall: number; readonly monotonic: number }): void {
    this.#wall += ms.wall
    this.#monotonic += ms.monotonic
  }
}

describe.skipIf(noRedis)(`leases over Redis (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  let admin: RedisClient
  let queue: string
  let clock: JumpingClock
  let connections: Connection[]

  useRedis((rig) => {
    ;({ server, admin, queue, connections } = rig)
    clock = new JumpingClock()
  })

  async function holding(
    count: number,
    visibilityTimeout: number,
  ): Promise<{ connection: Connection; collector: Collector }> {
    const transportOptions = { visibility_timeout: visibilityTimeout }
    const connection = await createRedisTransport().connect(server.url, { transportOptions, clock })
    connections.push(connection)
    const texts = Array.from({ length: count }, (_, at) => `m${at}`)
    await connection.publish(toQueue(queue, texts))
    const collector = new Collector()
    await connection.consume([queue], collector.options(0))
    await collector.count(count)
    return { connection, collector }
  }
  const causeOf = async (connection: Connection): Promise<Error> => {
    const lost = await connection.closed
    expect(lost).toBeInstanceOf(ConnectionLostError)
    return lost?.cause as Error
  }

  it.each([
    ['frozen: both clocks have jumped', { wall: 55_000, monotonic: 55_000 }],
    ['asleep with its machine: only the wall clock has', { wall: 55_000, monotonic: 0 }],
    ['frozen while its wall clock was set back', { wall: -5000, monotonic: 55_000 }],
  ])('PUB-074 holds nothing any more after it was %s, and its connection ends', async (_, jump) => {
    const { connection, collector } = await holding(3, 60)
    expect(collector.deliveries.map((delivery) => delivery.isHeld?.())).toEqual([true, true, true])
    clock.jump(jump)
    expect(collector.deliveries.map((delivery) => delivery.isHeld?.())).toEqual([false, false, false])
    expect(await causeOf(connection)).toBeInstanceOf(LeaseLostError)
    await expect(collector.deliveries[0]?.ack()).rejects.toBeInstanceOf(DeliveryLostError)
    // The server still has them, for whoever looks after the timeout.
    expect(await admin.run('HLEN', 'unacked')).toBe(3)
  })

  it('PUB-074 holds on through a pause that is shorter than its lease', async () => {
    const { collector } = await holding(2, 60)
    clock.jump({ wall: 50_000, monotonic: 50_000 })
    expect(collector.deliveries.map((delivery) => delivery.isHeld?.())).toEqual([true, true])
    await collector.deliveries[0]?.ack()
    expect(collector.deliveries[0]?.isHeld?.()).toBe(false)
  })

  it('PUB-074 ends the connection when a renewal finds that others took a message', async () => {
    const { connection, collector } = await holding(3, 1.2)
    const [tag] = (await admin.run('HKEYS', 'unacked')) as string[]
    await admin.run('HDEL', 'unacked', tag as string)
    const cause = await causeOf(connection)
    expect(cause).toBeInstanceOf(LeaseLostError)
    expect(cause.message).toContain('1 of 3')
    expect(collector.deliveries.map((delivery) => delivery.isHeld?.())).toEqual([false, false, false])
  })

  it('PUB-074 ends the connection when a lease ran out by the clock of the server', async () => {
    const { connection } = await holding(1, 2)
    const tags = (await admin.run('HKEYS', 'unacked')) as string[]
    await admin.run('ZADD', 'unacked_index', 1000, tags[0] as string)
    expect(await causeOf(connection)).toBeInstanceOf(LeaseLostError)
    // It was not renewed: somebody may be restoring it.
    expect(await admin.run('ZSCORE', 'unacked_index', tags[0] as string)).toBe('1000')
  })

  it('PUB-074 takes no settled message for one that others took', async () => {
    const { connection, collector } = await holding(1500, 1)
    let ended = false
    void connection.closed.then(() => (ended = true))
    const start = clock.monotonic()
    // Some are always on their way while a renewal is.
    for (const delivery of collector.deliveries) {
      await delivery.ack()
      if (clock.monotonic() - start > 1500) break
    }
    expect(ended).toBe(false)
    expect(collector.deliveries.at(-1)?.isHeld?.()).toBe(clock.monotonic() - start > 1500)
  })

  it('PUB-074 puts back the index entry of a message that it holds, so that its death would not lose it', async () => {
    const { collector } = await holding(1, 1)
    const [tag = ''] = (await admin.run('HKEYS', 'unacked')) as string[]
    await admin.run('ZREM', 'unacked_index', tag)
    await expect.poll(() => admin.run('ZSCORE', 'unacked_index', tag), { timeout: 10_000 }).not.toBeNull()
    expect(collector.deliveries[0]?.isHeld?.()).toBe(true)
  })
})
