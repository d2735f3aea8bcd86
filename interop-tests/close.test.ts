import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { Celery } from '../src/index.js'
import { type Broker, type Place, RabbitKind, redisKind } from './brokers.js'
import { skipNote } from './redis-server.js'

/** Over `rpc://` a send may be waiting for the reply queue. */
const unavailable = expect.stringMatching(/^(BROKER|BACKEND)_UNAVAILABLE$/)
const rabbit = new RabbitKind()
const rpc = new RabbitKind({ results: 'rpc' })
afterAll(() => Promise.all([rabbit.stop(), rpc.stop()]))

for (const kind of [redisKind, rabbit, rpc]) {
  describe.skipIf(kind.missing)(`closing an app over ${kind.name}${skipNote(kind.missing)}`, () => {
    let broker: Broker
    let place: Place
    const folder = mkdtempSync(join(tmpdir(), 'celeriac-close-'))
    beforeAll(async () => {
      broker = await kind.start()
      place = broker.place(folder)
    }, 90_000)
    afterAll(async () => {
      await broker?.close()
      rmSync(folder, { recursive: true, force: true })
    })
    const appOf = (): Celery => {
      const { brokerUrl, resultBackend, brokerOptions: brokerTransportOptions } = place
      return new Celery('shop', { brokerUrl, resultBackend, brokerTransportOptions })
    }

    it('lets ten thousand sends go out that nobody has awaited, over a connection that is not open yet', async () => {
      const app = appOf()
      const sends = Array.from({ length: 10_000 }, (_, n) =>
        app.sendTask('t.add', { args: [n, 1], timeoutMs: 60_000 }),
      )
      const outcome = Promise.allSettled(sends)
      await app.close({ timeoutMs: 60_000 })
      const refused = (await outcome).filter(({ status }) => status === 'rejected')
      expect(refused).toEqual([])
      const other = appOf()
      expect(await other.purge(['celery'])).toBe(10_000)
      await other.close()
    }, 90_000)

    it('rejects what is left when its bound is over, and every send ends', async () => {
      const app = appOf()
      await app.sendTask('t.add', { args: [0, 1] })
      const sends = Array.from({ length: 2000 }, (_, n) => app.sendTask('t.add', { args: [n, 1] }))
      const outcome = Promise.allSettled(sends)
      await app.close({ timeoutMs: 0 })
      for (const one of await outcome) {
        if (one.status === 'rejected')
          expect(one.reason).toMatchObject({ code: unavailable, retriable: true })
      }
      await expect(app.sendTask('t.add')).rejects.toMatchObject({ code: unavailable })
    }, 60_000)
  })
}
