/**
 * What every transport promises (surface TST-022). Each implementation's test calls `describeTransport`; a promise that
 * a broker cannot show is skipped with the reason in the test's name.
 */
import { randomUUID } from 'node:crypto'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { ConfigError, ConnectionLostError, DeliveryLostError } from '../errors.js'
import { ackAndForget, Collector, message, textOf, toQueue } from './collector.conformance.js'
import type { Connection, Delivery, Subscription } from './transport.js'

/** One broker of its own for one test. */
export interface TransportHarness {
  /** A new session with the broker; the harness closes those that are left. */
  connect(): Promise<Connection>
  /** Lets a consumer of `queue` take `count` messages and die without a word. Resolves when it is dead. */
  killHolder?(queue: string, count: number): Promise<void>
  /** True where AMQP's own rules hold: a requeued message goes back to its place, and `*` matches one word of a key. */
  readonly isAmqp?: boolean
  /** Puts bytes into a queue that are no envelope. */
  putGarbage?(queue: string, bytes: Uint8Array): Promise<void>
  /** Ends everything and checks that nothing is left. */
  end(): Promise<void>
}

/** Reasons for promises that this broker cannot show. */
export interface TransportSkips {
  readonly killHolder?: string
  readonly putGarbage?: string
  readonly park?: string
}

const numbers = (count: number): string[] => Array.from({ length: count }, (_, index) => `m${index}`)

/** Runs the suite against one transport. */
export function describeTransport(
  name: string,
  makeHarness: () => Promise<TransportHarness>,
  skips: TransportSkips = {},
): void {
  describe(`transport ${name}`, () => {
    let harness: TransportHarness
    let connection: Connection
    let queue: string

    beforeEach(async () => {
      harness = await makeHarness()
      connection = await harness.connect()
      queue = `q-${randomUUID()}`
    })
    afterEach(() => harness.end())

    async function consume(
      options: { prefetch?: number; noAck?: boolean; from?: Connection; each?: (d: Delivery) => void } = {},
    ): Promise<{ collector: Collector; subscription: Subscription }> {
      const collector = new Collector(options.each)
      const from = options.from ?? connection
      const how = collector.options(options.prefetch ?? 0, options.noAck ?? false)
      return { collector, subscription: await from.consume([queue], how) }
    }
    // AMQP answers neither acks nor rejects: a count asked for behind one may overtake it.
    const lengthOf = async (count: number): Promise<void> => {
      const check = async (): Promise<void> => expect(await connection.queueLength(queue)).toBe(count)
      if (harness.isAmqp) await vi.waitFor(check, { timeout: 2000, interval: 10 })
      else await check()
    }

    it('TST-022 hands over messages in the order in which they were published, whole', async () => {
      const texts = numbers(200)
      await connection.publish(toQueue(queue, texts.slice(0, 120)))
      for (const text of texts.slice(120)) await connection.publish(toQueue(queue, [text]))
      const { collector } = await consume()
      await collector.count(200)
      expect(collector.texts).toEqual(texts)
      const [first] = collector.deliveries
      expect(first).toMatchObject({ queue, address: { exchange: '', routingKey: queue }, redelivered: false })
      expect(first?.envelope).toMatchObject({
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        properties: { correlationId: 'm0', deliveryMode: 2 },
      })
    })

    it('carries any bytes and headers it does not know', async () => {
      const body = Uint8Array.from({ length: 256 }, (_, index) => index)
      const headers = { lang: 'ts', nested: { list: [1, null, 'é'] } }
      const envelope = { ...message('x', headers), body, contentEncoding: 'binary' }
      await connection.publish([{ envelope, to: { exchange: '', routingKey: queue } }])
      const got = await connection.get(queue)
      expect([...(got?.envelope.body ?? [])]).toEqual([...body])
      expect(got?.envelope.headers).toEqual(headers)
      await got?.ack()
    })

    it('hands over what comes while it waits', async () => {
      const { collector } = await consume()
      const other = await harness.connect()
      await other.publish(toQueue(queue, ['a']))
      await collector.count(1)
      await other.publish(toQueue(queue, ['b', 'c']))
      await collector.count(3)
      expect(collector.texts).toEqual(['a', 'b', 'c'])
    })

    it('WRK-021 never has more unsettled deliveries out than the prefetch count, and goes on as they are settled', async () => {
      await connection.publish(toQueue(queue, numbers(40)))
      let out = 0
      let most = 0
      const each = (delivery: Delivery): void => {
        out += 1
        most = Math.max(most, out)
        setImmediate(() => {
          out -= 1
          ackAndForget(delivery)
        })
      }
      const { collector } = await consume({ prefetch: 3, each })
      await collector.count(40)
      expect(most).toBeLessThanOrEqual(3)
      await lengthOf(0)
    })

    it('WRK-018 prefetches without limit when the count is 0', async () => {
      await connection.publish(toQueue(queue, numbers(300)))
      const { collector } = await consume({ prefetch: 0 })
      await collector.count(300)
    })

    it('WRK-019 follows a prefetch count that changes while it consumes, both ways', async ({ skip }) => {
      if (!connection.capabilities.livePrefetch)
        skip('this broker gives each consumer a count of its own, for good')
      await connection.publish(toQueue(queue, numbers(10)))
      const { collector, subscription } = await consume({ prefetch: 1 })
      await collector.count(1)
      await subscription.setPrefetch(4)
      await collector.count(4)
      await lengthOf(6)
      await subscription.setPrefetch(1)
      await collector.deliveries[0]?.ack()
      await collector.deliveries[1]?.ack()
      await collector.deliveries[2]?.ack()
      expect(collector.deliveries.length).toBe(4)
      await collector.deliveries[3]?.ack()
      await collector.count(5)
      await lengthOf(5)
    })

    it('shares one prefetch window between all queues of a subscription', async ({ skip }) => {
      if (!connection.capabilities.livePrefetch)
        skip('this broker gives each consumer a count of its own, for good')
      const second = `${queue}-second`
      await connection.publish([...toQueue(queue, numbers(5)), ...toQueue(second, numbers(5))])
      const collector = new Collector()
      await connection.consume([queue, second], collector.options(4))
      await collector.count(4)
      const waiting = (await connection.queueLength(queue)) + (await connection.queueLength(second))
      expect(waiting).toBe(6)
    })

    it('WRK-017 adds and cancels queues while it consumes', async () => {
      const second = `${queue}-second`
      await connection.publish(toQueue(second, ['second']))
      const { collector, subscription } = await consume()
      await subscription.addQueue(second)
      await collector.count(1)
      await subscription.cancelQueue(second)
      await connection.publish([...toQueue(second, ['unwanted']), ...toQueue(queue, ['wanted'])])
      await collector.count(2)
      expect(collector.texts).toEqual(['second', 'wanted'])
      expect(await connection.queueLength(second)).toBe(1)
    })

    it('is done with a message once it was acknowledged or dropped', async () => {
      await connection.publish(toQueue(queue, ['acked', 'dropped']))
      const { collector } = await consume()
      await collector.count(2)
      await collector.deliveries[0]?.ack()
      await collector.deliveries[1]?.reject({ requeue: false })
      await connection.close()
      connection = await harness.connect()
      await lengthOf(0)
      expect(await connection.get(queue)).toBeUndefined()
    })

    it('puts a requeued message behind what waits (AMQP: back into its place), marked redelivered', async () => {
      await connection.publish(toQueue(queue, ['a', 'b', 'c']))
      const first = await connection.get(queue)
      await first?.reject({ requeue: true })
      const { collector } = await consume()
      await collector.count(3)
      const order = harness.isAmqp ? ['a', 'b', 'c'] : ['b', 'c', 'a']
      expect(collector.texts).toEqual(order)
      const redelivered = collector.deliveries.map((delivery) => delivery.redelivered)
      expect(redelivered).toEqual(order.map((text) => text === 'a'))
    })

    it('settles a delivery once: a second time, or after the connection ended, it is lost', async () => {
      await connection.publish(toQueue(queue, ['a', 'b']))
      const { collector } = await consume()
      await collector.count(2)
      await collector.deliveries[0]?.ack()
      await expect(collector.deliveries[0]?.ack()).rejects.toBeInstanceOf(DeliveryLostError)
      await expect(collector.deliveries[0]?.reject({ requeue: true })).rejects.toBeInstanceOf(
        DeliveryLostError,
      )
      await connection.close()
      await expect(collector.deliveries[1]?.ack()).rejects.toBeInstanceOf(DeliveryLostError)
      connection = await harness.connect()
      await lengthOf(1)
    })

    it('tells one who watches an acknowledgement of its end, after the call has returned', async () => {
      await connection.publish(toQueue(queue, ['a', 'b', 'c']))
      const { collector } = await consume()
      await collector.count(3)
      // Where it is absent, `ack` does.
      if (collector.deliveries[0]?.ackFor === undefined) return
      const end = (at: number): Promise<unknown> =>
        new Promise((resolve, reject) => {
          let hasReturned = false
          const settle = (how: unknown): void => {
            if (hasReturned) resolve(how)
            else reject(new Error('told while it was being called'))
          }
          collector.deliveries[at]?.ackFor?.({
            onAcknowledged: () => settle('acknowledged'),
            onUnacknowledged: settle,
          })
          hasReturned = true
        })
      expect(await Promise.all([end(0), end(1), end(0)])).toEqual([
        'acknowledged',
        'acknowledged',
        expect.any(DeliveryLostError),
      ])
      await connection.close()
      expect(await end(2)).toBeInstanceOf(DeliveryLostError)
      connection = await harness.connect()
      await lengthOf(1)
    })

    it('WRK-071 returns what was not settled at close, in its order and in front, marked redelivered', async () => {
      const texts = numbers(20)
      await connection.publish(toQueue(queue, texts))
      const { collector } = await consume({ prefetch: 8 })
      await collector.count(8)
      await collector.deliveries[2]?.ack()
      await connection.close()
      expect(await connection.closed).toBeUndefined()
      connection = await harness.connect()
      await lengthOf(19)
      const { collector: next } = await consume()
      await next.count(19)
      expect(next.texts).toEqual(texts.filter((text) => text !== 'm2'))
      // The acknowledgement made room for one more, which may or may not have been handed over.
      const flags = next.deliveries.filter((d) => textOf(d) !== 'm8').map((d) => d.redelivered)
      expect(flags).toEqual([...Array(7).fill(true), ...Array(11).fill(false)])
    })

    it('leaves nothing behind when it is closed while it takes', async () => {
      await connection.publish(toQueue(queue, numbers(150)))
      const { collector } = await consume({ prefetch: 0 })
      await collector.count(1)
      await connection.close()
      const handed = collector.deliveries.length
      connection = await harness.connect()
      await lengthOf(150)
      expect(collector.deliveries.length).toBe(handed)
    })

    it('hands over nothing after a subscription was cancelled, while its deliveries can still be settled', async () => {
      await connection.publish(toQueue(queue, ['a']))
      const { collector, subscription } = await consume()
      await collector.count(1)
      await subscription.cancel()
      await connection.publish(toQueue(queue, ['b']))
      await collector.deliveries[0]?.ack()
      await lengthOf(1)
      expect(collector.texts).toEqual(['a'])
    })

    it('hands over without settling when nothing is to be acknowledged', async () => {
      await connection.publish(toQueue(queue, ['a', 'b', 'c']))
      const { collector } = await consume({ noAck: true, prefetch: 1 })
      await collector.count(3)
      await collector.deliveries[0]?.ack()
      await connection.close()
      connection = await harness.connect()
      await lengthOf(0)
    })

    it('never gives one message to two consumers, nor loses one', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.integer({ min: 1, max: 120 }),
          fc.array(fc.integer({ min: 0, max: 9 }), { minLength: 2, maxLength: 4 }),
          async (count, prefetches) => {
            queue = `q-${randomUUID()}`
            const seen: string[] = []
            const connections = await Promise.all(prefetches.map(() => harness.connect()))
            const collectors = await Promise.all(
              connections.map(async (from, index) => {
                const each = (delivery: Delivery): void => {
                  seen.push(textOf(delivery))
                  ackAndForget(delivery)
                }
                const { collector } = await consume({ from, prefetch: prefetches[index] ?? 0, each })
                return collector
              }),
            )
            const texts = numbers(count)
            await connection.publish(toQueue(queue, texts))
            await Promise.race(collectors.map((collector) => collector.until(() => seen.length >= count)))
            await Promise.all(connections.map((each) => each.close()))
            expect(seen.toSorted()).toEqual(texts.toSorted())
            await lengthOf(0)
          },
        ),
        { numRuns: 25 },
      )
    })

    it('gets one message without waiting, and nothing from an empty queue', async () => {
      expect(await connection.get(queue)).toBeUndefined()
      await connection.publish(toQueue(queue, ['a', 'b']))
      const got = await connection.get(queue)
      expect(got && textOf(got)).toBe('a')
      await got?.ack()
      await lengthOf(1)
    })

    it('purges what waits and leaves what is held', async () => {
      await connection.publish(toQueue(queue, numbers(12)))
      const held = await connection.get(queue)
      await lengthOf(11)
      expect(await connection.purge(queue)).toBe(11)
      await lengthOf(0)
      expect(await connection.purge(queue)).toBe(0)
      await held?.reject({ requeue: true })
      await lengthOf(1)
    })

    it('keeps queues apart whose names end alike', async () => {
      await connection.publish([...toQueue(`a.${queue}`, ['not mine']), ...toQueue(queue, ['mine'])])
      await lengthOf(1)
      expect(await connection.purge(queue)).toBe(1)
      expect(await connection.get(queue)).toBeUndefined()
      expect(await connection.queueLength(`a.${queue}`)).toBe(1)
    })

    describe('exchanges', () => {
      const declare = async (
        type: 'direct' | 'topic' | 'fanout',
        rows: readonly (readonly [string, string])[],
      ) => {
        const exchange = `x-${randomUUID()}`
        const topology = {
          exchanges: [{ name: exchange, type, durable: true }],
          queues: rows.map(([name]) => ({
            name,
            durable: true,
            exclusive: false,
            autoDelete: false,
            arguments: {},
          })),
          bindings: rows.map(([name, routingKey]) => ({ from: exchange, to: { queue: name }, routingKey })),
        }
        await connection.declare(topology)
        await connection.declare(topology)
        return exchange
      }
      const publish = (exchange: string, routingKey: string): Promise<void> =>
        connection.publish([
          { envelope: message(routingKey), to: { exchange, routingKey }, mandatory: false },
        ])

      it('WRK-016 PUB-048 route by equal keys through a direct exchange, and drop what nothing is bound to', async () => {
        const exchange = await declare('direct', [[queue, 'key']])
        await publish(exchange, 'key')
        await publish(exchange, 'other')
        await lengthOf(1)
        const got = await connection.get(queue)
        expect(got?.address).toEqual({ exchange, routingKey: 'key' })
        await got?.ack()
      })

      it('PUB-051 copy a message to each queue bound with the same key', async () => {
        const second = `${queue}-second`
        const exchange = await declare('direct', [
          [queue, 'celery'],
          [second, 'celery'],
        ])
        await publish(exchange, 'celery')
        await lengthOf(1)
        expect(await connection.queueLength(second)).toBe(1)
      })

      it('PUB-054 lead from the default exchange to the queue of that name without any declaration', async () => {
        await publish('', queue)
        await lengthOf(1)
      })

      it('match topics as kombu does, where * also matches across dots (AMQP: one word)', async () => {
        const all = `${queue}-all`
        const exchange = await declare('topic', [
          [queue, 'task.*'],
          [all, '#'],
        ])
        for (const key of ['task.sent', 'task.a.b', 'worker.online', 'task']) await publish(exchange, key)
        await lengthOf(harness.isAmqp ? 1 : 2)
        expect(await connection.queueLength(all)).toBe(4)
      })

      it('copy a fanout message to every bound queue whatever its key', async () => {
        expect(connection.capabilities.fanout).toBe(true)
        const second = `${queue}-second`
        const exchange = await declare('fanout', [
          [queue, ''],
          [second, 'x'],
        ])
        // Where fanout is a subscription, a queue hears from its first consumer on.
        const collectors = await Promise.all(
          [queue, second].map(async (each) => {
            const collector = new Collector()
            await connection.consume([each], collector.options(0))
            return collector
          }),
        )
        await publish(exchange, 'anything')
        for (const collector of collectors) await collector.count(1)
      })

      it('reach a queue that another connection declared', async () => {
        const exchange = await declare('direct', [[queue, 'key']])
        const other = await harness.connect()
        await other.publish([{ envelope: message('x'), to: { exchange, routingKey: 'key' } }])
        await lengthOf(1)
      })

      it('forget a queue that is deleted, until it is declared again', async () => {
        const exchange = await declare('direct', [[queue, 'key']])
        await publish(exchange, 'key')
        await connection.deleteQueue(queue)
        await lengthOf(0)
        await publish(exchange, 'key')
        await lengthOf(0)
        await connection.declare({
          exchanges: [],
          queues: [{ name: queue, durable: true, exclusive: false, autoDelete: false, arguments: {} }],
          bindings: [{ from: exchange, to: { queue }, routingKey: 'key' }],
        })
        await publish(exchange, 'key')
        await lengthOf(1)
      })

      it('refuse another type for an exchange that is declared', async () => {
        const exchange = await declare('direct', [])
        const again = {
          exchanges: [{ name: exchange, type: 'fanout' as const, durable: true }],
          queues: [],
          bindings: [],
        }
        await expect(connection.declare(again)).rejects.toBeInstanceOf(ConfigError)
      })
    })

    const unparked = skips.park === undefined ? '' : ` (skipped: ${skips.park})`
    describe.skipIf(skips.park !== undefined)(`parking${unparked}`, () => {
      /** Takes one message and parks it until `ms` from now; returns that moment. */
      const parkOne = async (from: Connection, ms: number): Promise<number> => {
        const delivery = await from.get(queue)
        const untilMs = Date.now() + ms
        await delivery?.park?.(untilMs)
        await expect(delivery?.ack()).rejects.toBeInstanceOf(DeliveryLostError)
        return untilMs
      }

      it('WRK-039 keeps a parked message from the one that parked it, and hands it out whole in time', async () => {
        await connection.publish(toQueue(queue, ['a']))
        const untilMs = await parkOne(connection, 1500)
        expect(await connection.get(queue)).toBeUndefined()
        await lengthOf(0)
        expect(await connection.purge(queue)).toBe(0)
        const { collector } = await consume({ from: await harness.connect() })
        await collector.count(1)
        // How early is the broker's affair.
        expect(Date.now()).toBeLessThan(untilMs + 1000)
        expect(collector.deliveries[0]).toMatchObject({
          queue,
          address: { exchange: '', routingKey: queue },
          envelope: { contentType: 'application/json', properties: { correlationId: 'a' } },
        })
        await collector.deliveries[0]?.ack()
        await lengthOf(0)
      })

      it('WRK-039 gives parked messages to another when the connection that parked them is gone', async () => {
        const texts = numbers(30)
        await connection.publish(toQueue(queue, texts))
        const parker = await harness.connect()
        const { collector } = await consume({ from: parker })
        await collector.count(30)
        const untilMs = Date.now() + 1500
        await Promise.all(collector.deliveries.slice(0, 20).map((delivery) => delivery.park?.(untilMs)))
        await parker.close()
        // What was held is back at once, what was parked is not.
        await lengthOf(10)
        const { collector: next } = await consume()
        await next.count(30)
        expect(next.texts.toSorted()).toEqual(texts.toSorted())
      })

      it('WRK-039 makes room in the prefetch window for each message that is parked', async () => {
        await connection.publish(toQueue(queue, numbers(50)))
        const each = (delivery: Delivery): void => {
          if (textOf(delivery) === 'm49') ackAndForget(delivery)
          else void delivery.park?.(Date.now() + 3_600_000)
        }
        const { collector } = await consume({ prefetch: 2, each })
        await collector.count(50)
        expect(collector.texts).toEqual(numbers(50))
        await lengthOf(0)
      })

      it('WRK-039 hands out nothing that is due later than the consumer wants, but to another that does', async () => {
        await connection.publish(toQueue(queue, ['far', 'near']))
        await parkOne(connection, 3_600_000)
        const { collector, subscription } = await consume({ prefetch: 1 })
        await collector.count(1)
        const [near] = collector.deliveries
        if (subscription.takeParked === undefined) {
          await near?.park?.(Date.now() + 400)
          await collector.count(2)
          expect(collector.texts).toEqual(['near', 'near'])
          return
        }
        subscription.takeParked(Date.now() - 60_000)
        await near?.park?.(Date.now() + 400)
        const other = await harness.connect()
        await connection.publish(toQueue(queue, ['new']))
        await collector.count(2)
        await collector.deliveries[1]?.ack()
        const taken: Delivery[] = []
        await expect
          .poll(async () => taken.push(...[await other.get(queue)].filter((one) => one !== undefined)))
          .toBe(1)
        await taken[0]?.park?.(Date.now() + 400)
        subscription.takeParked(Number.POSITIVE_INFINITY)
        await collector.count(3)
        expect(collector.texts).toEqual(['near', 'new', 'near'])
        expect(await other.get(queue)).toBeUndefined()
      })
    })

    it('publishes nothing when its signal is aborted', async () => {
      const signal = AbortSignal.abort(new Error('enough'))
      await expect(connection.publish(toQueue(queue, ['a']), { signal })).rejects.toThrow('enough')
      await lengthOf(0)
    })

    it('closes twice without harm, and refuses work afterwards', async () => {
      await Promise.all([connection.close(), connection.close()])
      await connection.close()
      await expect(connection.publish(toQueue(queue, ['a']))).rejects.toBeInstanceOf(ConnectionLostError)
      await expect(consume()).rejects.toBeInstanceOf(ConnectionLostError)
      await expect(connection.get(queue)).rejects.toBeInstanceOf(ConnectionLostError)
    })

    const orphans = skips.killHolder === undefined ? '' : ` (skipped: ${skips.killHolder})`
    it.skipIf(skips.killHolder !== undefined)(
      `delivers again what a killed consumer held, marked redelivered${orphans}`,
      async () => {
        await connection.publish(toQueue(queue, numbers(6)))
        await harness.killHolder?.(queue, 4)
        const { collector } = await consume()
        await collector.count(6)
        expect(collector.texts.toSorted()).toEqual(numbers(6))
        const again = collector.deliveries.filter((delivery) => delivery.redelivered)
        expect(again.map(textOf).toSorted()).toEqual(numbers(4))
      },
    )

    const garbage = skips.putGarbage === undefined ? '' : ` (skipped: ${skips.putGarbage})`
    it.skipIf(skips.putGarbage !== undefined)(
      `sets aside and reports what is no envelope, and goes on${garbage}`,
      async () => {
        const bytes = new TextEncoder().encode('no envelope at all')
        await harness.putGarbage?.(queue, bytes)
        await connection.publish(toQueue(queue, ['good']))
        const { collector } = await consume()
        await collector.until(() => collector.deliveries.length === 1 && collector.unreadable.length === 1)
        expect(collector.texts).toEqual(['good'])
        const [report] = collector.unreadable
        expect(report?.queue).toBe(queue)
        expect([...(report?.bytes ?? [])]).toEqual([...bytes])
        expect(report?.keptAt).not.toBe('')
        expect(report?.error).toBeInstanceOf(Error)
      },
    )
  })
}
