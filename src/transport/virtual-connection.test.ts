import { describe, expect, it } from 'vitest'
import { BrokerUnavailableError, ConfigError, ConnectionLostError, DeliveryLostError } from '../errors.js'
import { Collector, message, toQueue } from './collector.conformance.js'
import { MemoryBroker, MemoryStore } from './memory-store.js'
import type { Claimed, Settling, Stored } from './queue-store.js'
import { VirtualConnection } from './virtual-connection.js'

/** The memory store, with a record of its settlings and ways to go wrong. */
class ObservedStore extends MemoryStore {
  readonly settlings: { readonly how: Settling; readonly count: number }[] = []
  hangs = false
  fails: Error | undefined

  override async push(messages: readonly Stored[]): Promise<void> {
    if (this.hangs) await new Promise(() => {})
    return super.push(messages)
  }

  override async settle(claimed: readonly Claimed[], how: Settling): Promise<readonly Claimed[]> {
    this.settlings.push({ how, count: claimed.length })
    if (this.hangs) await new Promise(() => {})
    if (this.fails !== undefined) throw this.fails
    return super.settle(claimed, how)
  }
}

function open(
  store = new ObservedStore(new MemoryBroker()),
  closeTimeoutMs = 5000,
): { store: ObservedStore; connection: VirtualConnection } {
  return { store, connection: new VirtualConnection({ store, shownUrl: 'memory://', closeTimeoutMs }) }
}

async function held(connection: VirtualConnection, count: number): Promise<Collector> {
  await connection.publish(
    toQueue(
      'q',
      Array.from({ length: count }, (_, index) => `m${index}`),
    ),
  )
  const collector = new Collector()
  await connection.consume(['q'], collector.options(0))
  await collector.count(count)
  return collector
}

describe('VirtualConnection', () => {
  it('settles what one tick settles in one call to the store for each kind', async () => {
    const { store, connection } = open()
    const { deliveries } = await held(connection, 50)
    await Promise.all(deliveries.map((d, index) => (index < 40 ? d.ack() : d.reject({ requeue: false }))))
    expect(store.settlings).toEqual([
      { how: 'ack', count: 40 },
      { how: 'drop', count: 10 },
    ])
    await connection.close()
  })

  it('closes within its bound when the store does not answer, and its deliveries are lost', async () => {
    const { store, connection } = open(undefined, 50)
    const { deliveries } = await held(connection, 2)
    store.hangs = true
    const acked = deliveries[0]!.ack()
    const lost = expect(acked).rejects.toBeInstanceOf(DeliveryLostError)
    await connection.close()
    await expect(deliveries[1]!.ack()).rejects.toBeInstanceOf(DeliveryLostError)
    await lost
    expect(await connection.closed).toBeUndefined()
  })

  it('lets go of a publish whose signal aborts while the store does not answer', async () => {
    const { store, connection } = open()
    store.hangs = true
    const abort = new AbortController()
    const publishing = connection.publish(toQueue('q', ['a']), { signal: abort.signal })
    abort.abort(new Error('five seconds are over'))
    await expect(publishing).rejects.toThrow('five seconds are over')
    await connection.close()
  })

  it('dies whole with its store: closed tells the cause, deliveries are lost, work is refused', async () => {
    const { store, connection } = open()
    const { deliveries } = await held(connection, 2)
    const cause = new BrokerUnavailableError('the plug was pulled')
    store.fails = cause
    await expect(deliveries[0]!.ack()).rejects.toBeInstanceOf(DeliveryLostError)
    const closed = await connection.closed
    expect(closed).toBeInstanceOf(ConnectionLostError)
    expect(closed?.cause).toBe(cause)
    await expect(deliveries[1]!.ack()).rejects.toBeInstanceOf(DeliveryLostError)
    await expect(connection.publish(toQueue('q', ['a']))).rejects.toBeInstanceOf(ConnectionLostError)
    await connection.close()
  })

  it('ends when its store says that it is lost, without waiting for a settling', async () => {
    const { store, connection } = open()
    await held(connection, 1)
    store.onLost?.(new Error('gone'))
    expect((await connection.closed)?.cause).toMatchObject({ message: 'gone' })
  })

  it('renews what it holds and returns what others left, as often as the store asks', async () => {
    const store = new ObservedStore(new MemoryBroker())
    const renewed: number[] = []
    let restores = 0
    const seen = new Collector()
    const leases = {
      intervalMs: 5,
      async renew(claimed: readonly Claimed[]) {
        renewed.push(claimed.length)
        seen.options(0).onDeliveries([])
        return []
      },
      async restoreExpired() {
        restores += 1
        if (restores === 2) throw new Error('one bad round')
        return 0
      },
    }
    const leasing = Object.assign(store, { leases })
    const { connection } = open(leasing)
    await held(connection, 3)
    await seen.until(() => renewed.length >= 3)
    expect(renewed.every((count) => count === 3)).toBe(true)
    expect(restores).toBeGreaterThanOrEqual(3)
    await connection.close()
    const rounds = restores
    await new Promise((resolve) => setImmediate(resolve))
    expect(restores).toBe(rounds)
  })

  it('goes on when a consumer throws, and keeps its deliveries for the close', async () => {
    const broker = new MemoryBroker()
    const { connection } = open(new ObservedStore(broker))
    let calls = 0
    const collector = new Collector()
    const options = collector.options(0)
    await connection.consume(['q'], {
      ...options,
      onDeliveries(deliveries) {
        calls += 1
        options.onDeliveries(deliveries)
        if (calls === 1) throw new Error('a bug in the consumer')
      },
    })
    await connection.publish(toQueue('q', ['a']))
    await collector.count(1)
    await connection.publish(toQueue('q', ['b']))
    await collector.count(2)
    await connection.close()
    expect(broker.length('q')).toBe(2)
  })

  it('refuses what a broker without AMQP has not: exchange bindings and headers exchanges', async () => {
    const { connection } = open()
    const bound = { from: 'a', to: { exchange: 'b' }, routingKey: '' }
    await expect(connection.declare({ exchanges: [], queues: [], bindings: [bound] })).rejects.toBeInstanceOf(
      ConfigError,
    )
    const headers = { name: 'h', type: 'headers' as const, durable: true }
    await expect(
      connection.declare({ exchanges: [headers], queues: [], bindings: [] }),
    ).rejects.toBeInstanceOf(ConfigError)
    await connection.close()
  })

  it('hands a fanout to a store that broadcasts, and copies nothing', async () => {
    const sent: string[] = []
    const store = Object.assign(new ObservedStore(new MemoryBroker()), {
      async broadcast(exchange: string, routingKey: string) {
        sent.push(`${exchange}/${routingKey}`)
      },
    })
    const { connection } = open(store)
    await connection.declare({
      exchanges: [{ name: 'pidbox', type: 'fanout', durable: false }],
      queues: [],
      bindings: [{ from: 'pidbox', to: { queue: 'q' }, routingKey: '' }],
    })
    await connection.publish([{ envelope: message('x'), to: { exchange: 'pidbox', routingKey: 'k' } }])
    expect(sent).toEqual(['pidbox/k'])
    expect(await connection.queueLength('q')).toBe(0)
    await connection.close()
  })
})
