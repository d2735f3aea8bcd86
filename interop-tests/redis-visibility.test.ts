/** What a dead worker leaves on Redis: either language returns and runs what the other abandoned. */
import { describe, expect, it } from 'vitest'
import { type Side, Trial } from './loss/trial.js'
import { eventually } from './node-app.js'
import { noRedis } from './redis-server.js'

describe.skipIf(noRedis)('messages that a dead worker held', () => {
  const pairs: readonly (readonly [dead: Side, heir: Side])[] = [
    ['celeriac', 'celery'],
    ['celery', 'celeriac'],
  ]
  it.each(pairs)(
    'PUB-073 PUB-074 PUB-075 what %s abandoned, %s runs after the visibility timeout, marked as redelivered',
    async (dead, heir) => {
      const visibilitySeconds = 2
      const trial = await Trial.start({ side: dead, broker: 'redis', seed: 1, visibilitySeconds })
      try {
        const client = trial.redis.server.client()
        const started = (who: string) => () =>
          trial.oracle.read().some((fact) => fact.what === 'start' && fact.who === who)
        const victim = await trial.worker()
        const id = await trial.publish(4)
        await eventually('it runs', started(victim.name))
        await victim.kill()

        const [tag = ''] = await client.hkeys('unacked')
        const held = JSON.parse((await client.hget('unacked', tag)) ?? 'null') as unknown[]
        expect(held).toEqual([expect.objectContaining({ properties: expect.anything() }), '', 'loss'])
        // Celery looks when it starts, and then not for 100 s.
        await eventually('the lease has run out', async () => {
          const taken = Number(await client.zscore('unacked_index', tag))
          return Date.now() / 1000 - taken > visibilitySeconds
        })
        const worker = await trial.worker({ side: heir })
        await eventually('it runs again', started(worker.name), 30_000)
        const [again] = await client.hvals('unacked')
        const [envelope] = JSON.parse(again ?? '[null]') as [Record<string, Record<string, unknown>>]
        expect(envelope.headers).toMatchObject({ id, redelivered: true })
        expect(envelope.properties).toMatchObject({ delivery_info: { redelivered: true } })
        expect(await trial.oracle.until(() => trial.oracle.pending() === 0, 20_000)).toBe(true)
        await eventually('it is acknowledged', async () => (await client.hlen('unacked')) === 0)
        expect(await client.zcard('unacked_index')).toBe(0)
      } finally {
        await trial.close()
      }
    },
  )

  it('WRK-089 PUB-076 what a worker had fetched when its connections were cut runs within seconds, each once', async () => {
    const trial = await Trial.start({ side: 'celeriac', broker: 'redis', seed: 1, visibilitySeconds: 3600 })
    try {
      const client = trial.redis.server.client()
      await trial.worker({ concurrency: 1 })
      const ids = [await trial.publish(1)]
      for (let at = 0; at < 5; at += 1) ids.push(await trial.publish(0.01))
      const started = (): readonly (string | undefined)[] =>
        trial.oracle
          .read()
          .filter(({ what }) => what === 'start')
          .map(({ id }) => id)
      await eventually('it holds all it may', async () => (await client.hlen('unacked')) === 4)
      expect(started()).toEqual(ids.slice(0, 1))
      for (const type of ['normal', 'pubsub']) await client.call('CLIENT', 'KILL', 'TYPE', type)
      await eventually('all ran', () => trial.oracle.pending() === 0, 20_000)
      expect(started()).toEqual(ids)
      await eventually('all are acknowledged', async () => (await client.hlen('unacked')) === 0)
      expect(await client.zcard('unacked_index')).toBe(0)
    } finally {
      await trial.close()
    }
  })
})
