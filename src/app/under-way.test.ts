import { afterEach, describe, expect, it } from 'vitest'
import { group } from '../canvas/build.js'
import { BrokerUnavailableError, ConnectionLostError } from '../errors.js'
import { createMemoryTransport } from '../transport/memory-transport.js'
import type { Transport } from '../transport/transport.js'
import { App } from './app.js'

/** A broker in memory whose publishes wait until they are let through. */
class SlowBroker {
  readonly memory = createMemoryTransport()
  dials = 0
  published = 0
  letThrough = (): void => {}
  private readonly gate = new Promise<void>((resolve) => (this.letThrough = resolve))

  readonly transport: Transport = {
    connect: async (url, options) => {
      this.dials += 1
      const connection = await this.memory.connect(url, options)
      const { publish } = connection
      connection.publish = async (messages, how) => {
        const cut = connection.closed.then(() => Promise.reject(new ConnectionLostError('closed')))
        await Promise.race([this.gate, cut])
        await publish.call(connection, messages, how)
        this.published += messages.length
      }
      return connection
    },
  }
}

const apps: App[] = []
function appOf(broker: SlowBroker): App {
  const app = new App('shop', { brokerUrl: 'memory://', env: {}, openTransport: () => broker.transport })
  apps.push(app)
  return app
}
const send = (app: App, count: number): Promise<unknown>[] =>
  Array.from({ length: count }, (_, n) => app.sendTask('t.add', { args: [n, 1] }))

afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close({ timeoutMs: 0 })))
})

describe('closing an app', () => {
  it('lets out what was sent before, though nothing was connected yet', async () => {
    const broker = new SlowBroker()
    const app = appOf(broker)
    const sends = [
      ...send(app, 20),
      app.sendTasks([{ name: 't.add', args: [1, 1] }]),
      app.control.revoke('gone'),
    ]
    const closing = app.close()
    broker.letThrough()
    await closing
    expect((await Promise.allSettled(sends)).map(({ status }) => status)).toEqual(Array(22).fill('fulfilled'))
    expect(broker.published).toBe(22)
    await expect(app.sendTask('t.add')).rejects.toThrow(BrokerUnavailableError)
  })

  it('lets out a canvas that is sent step by step', async () => {
    const broker = new SlowBroker()
    broker.letThrough()
    const app = appOf(broker)
    const add = app.task('t.add', (x: number, y: number) => x + y)
    const parts = group([add.s(1, 1), add.s(2, 2)])
    const sending = parts.applyAsync()
    await app.close()
    await sending
    expect(broker.published).toBe(2)
  })

  it('rejects what the broker has not taken when the bound is over, with a typed error', async () => {
    const broker = new SlowBroker()
    const app = appOf(broker)
    const sends = send(app, 3)
    const outcome = Promise.allSettled(sends)
    await app.close({ timeoutMs: 20 })
    broker.letThrough()
    for (const one of await outcome) expect(one).toMatchObject({ reason: expect.any(BrokerUnavailableError) })
  })

  it('waits no longer when its signal aborts, and not at all with no time', async () => {
    for (const how of [{ timeoutMs: 0 }, { signal: AbortSignal.abort() }]) {
      const broker = new SlowBroker()
      const app = appOf(broker)
      const outcome = Promise.allSettled(send(app, 1))
      await app.close(how)
      expect((await outcome)[0]).toMatchObject({ reason: expect.any(BrokerUnavailableError) })
      broker.letThrough()
    }
    const broker = new SlowBroker()
    const app = appOf(broker)
    const outcome = Promise.allSettled(send(app, 1))
    const aborting = new AbortController()
    const closing = app.close({ timeoutMs: 3_600_000, signal: aborting.signal })
    aborting.abort()
    await closing
    expect((await outcome)[0]).toMatchObject({ reason: expect.any(BrokerUnavailableError) })
  })
})
