import { describe, expect, it } from 'vitest'
import { type Clock, systemClock } from '../clock.js'
import { BrokerUnavailableError, ConfigError } from '../errors.js'
import { FakeClock } from '../testing/fake-clock.js'
import { openTransport } from '../transport/open.js'
import type { Connection, Transport } from '../transport/transport.js'
import { gate, Trial, until } from './trial.test.setup.js'

/** The real memory transport, whose connections the test can see and end, and whose broker can be away. */
class Watched {
  readonly connections: Connection[] = []
  readonly asked: string[] = []
  failures = 0
  cause: Error = new BrokerUnavailableError('nobody answers')

  readonly open = (url: string): Transport => ({
    connect: async (asked, options) => {
      this.asked.push(asked)
      if (this.failures > 0) {
        this.failures -= 1
        throw this.cause
      }
      const connection = await openTransport(url).connect(asked, options)
      this.connections.push(connection)
      return connection
    },
  })

  /** Ends the worker's session: to the worker, a loss. */
  async lose(): Promise<void> {
    await this.connections.at(-1)?.close()
  }
}

describe('the session', () => {
  it('WRK-089 WRK-094 drops what waited, lets the running task finish, and runs the rest after reconnecting', async () => {
    await using trial = new Trial()
    const watched = new Watched()
    const running = gate()
    trial.app.task('t.wait', () => running.opened)
    trial.app.task('t.ok', () => 1)
    const first = await trial.send('t.wait')
    const eta = new Date(Date.now() + 300).toISOString()
    const rest = [await trial.send('t.ok', { headers: { eta } }), await trial.send('t.ok')]
    const worker = await trial.started({ concurrency: 1, openTransport: watched.open })
    await until(
      'the first is acknowledged',
      () => worker.ledger.find(first)?.isAcknowledged && worker.ledger.size === 3,
    )
    await watched.lose()
    await until('it is connected again', () => watched.connections.length === 2 && worker.ledger.size === 3)
    expect(worker.ledger.find(first)?.state).toBe('orphaned')
    running.open()
    for (const id of [first, ...rest])
      await until(`${id} ran`, async () => (await trial.state(id)) === 'SUCCESS')
    expect(
      trial.logged(/^consumer: Connection to broker lost\. Trying to re-establish/, 'warn'),
    ).toHaveLength(1)
    await until('nothing is held', () => worker.ledger.size === 0)
    expect(await trial.waiting()).toBe(0)
  })

  it('WRK-090 acknowledges nothing on a lost connection, and says so: the broker delivers a late task again', async () => {
    await using trial = new Trial()
    const watched = new Watched()
    const running = gate()
    const redelivered: boolean[] = []
    trial.app.task('t.wait', { acksLate: true, bind: true }, (self) => {
      redelivered.push(self.request.deliveryInfo.redelivered)
      return running.opened
    })
    await trial.send('t.wait')
    const worker = await trial.started({ openTransport: watched.open })
    await until('it runs', () => redelivered.length === 1)
    await watched.lose()
    await until('it runs twice', () => redelivered.length === 2)
    expect(redelivered).toEqual([false, true])
    running.open()
    await until('nothing is held', () => worker.ledger.size === 0)
    expect(await trial.waiting()).toBe(0)
    expect(trial.logged(/Couldn't/)).toEqual([])
    expect(trial.logged(/could not be acknowledged/, 'warn')).toHaveLength(1)
  })

  it('ACK-028 WRK-091 cancels late tasks on a loss where the setting says so: RETRY, and the broker redelivers', async () => {
    await using trial = new Trial({ workerCancelLongRunningTasksOnConnectionLoss: true })
    const watched = new Watched()
    const aborted = gate()
    const states: (string | undefined)[] = []
    let early = 0
    trial.app.task('t.late', { acksLate: true, bind: true }, async (self) => {
      states.push(await trial.state(self.request.id))
      if (states.length > 1) return 'done'
      self.signal.addEventListener('abort', () => aborted.open())
      return new Promise<string>(() => {})
    })
    const running = gate()
    trial.app.task('t.early', () => {
      early += 1
      return running.opened
    })
    const id = await trial.send('t.late')
    await trial.send('t.early')
    await trial.started({ openTransport: watched.open })
    await until('both run', () => states.length === 1 && early === 1)
    await watched.lose()
    await aborted.opened
    await until('it ran again', async () => (await trial.state(id)) === 'SUCCESS')
    expect(trial.logged(/cannot be acknowledged after a connection loss/, 'warn')).toHaveLength(1)
    expect(early).toBe(1)
    running.open()
  })

  it('WRK-025 fetches less after a loss while tasks still run, and says when it is back to normal', async () => {
    await using trial = new Trial({ workerPrefetchMultiplier: 1 })
    const watched = new Watched()
    const running = gate()
    trial.app.task('t.wait', () => running.opened)
    trial.app.task('t.ok', () => 1)
    await trial.send('t.wait')
    const worker = await trial.started({ concurrency: 3, openTransport: watched.open })
    await until('it runs', () => worker.ledger.active()[0]?.isAcknowledged)
    await watched.lose()
    await until('it is connected again', () => watched.connections.length === 2)
    expect(worker.info()['prefetch_count']).toBe(2)
    await trial.send('t.ok')
    await until('the count is restored', () => worker.info()['prefetch_count'] === 3)
    expect(trial.logged(/Prefetch count has been restored to the maximum of 3/, 'info')).toHaveLength(1)
    running.open()
  })

  it('WRK-087 keeps trying at the start, with one line per attempt', async () => {
    await using trial = new Trial()
    const watched = new Watched()
    watched.failures = 1
    const worker = trial.worker({ openTransport: watched.open })
    const started = worker.start()
    await until('it says so', () => trial.logged(/Cannot connect/, 'error').length === 1)
    const text = trial.logged(/Cannot connect/)[0]?.text
    expect(text?.startsWith(`consumer: Cannot connect to ${trial.url}: nobody answers.\n`)).toBe(true)
    // two seconds at most, and up to a quarter less
    expect(text).toMatch(/\nTrying again in (2\.00|1\.[5-9]\d) seconds\.\.\. \(1\/100\)\n$/)
    await started
    expect(watched.asked).toHaveLength(2)
  })

  it('WRK-087 tries within the longer waits too, which neither count nor are logged', async () => {
    const real = systemClock()
    const faster = 20
    const clock: Clock = {
      now: real.now,
      monotonic: () => real.monotonic() * faster,
      after: (ms, callback) => real.after(ms / faster, callback),
    }
    await using trial = new Trial({ clock })
    const watched = new Watched()
    watched.failures = 6
    await trial.started({ openTransport: watched.open })
    expect(watched.asked).toHaveLength(7)
    const lines = trial.logged(/Cannot connect/, 'error')
    expect(lines.length).toBeGreaterThanOrEqual(3)
    expect(lines.length).toBeLessThan(6)
    for (const [index, { text }] of lines.entries()) expect(text).toContain(`(${index + 1}/100)`)
  })

  it('WRK-087 tries the next broker of the list at once', async () => {
    const second = new Trial()
    await using trial = new Trial({ brokerUrl: `memory://user:secret@down/;${second.url}` })
    const watched = new Watched()
    watched.failures = 1
    await trial.started({ openTransport: watched.open })
    expect(watched.asked).toEqual(['memory://user:secret@down/', second.url])
    const [line] = trial.logged(/Will retry using next failover\./, 'error')
    expect(line?.text).toContain('memory://user:**@down/')
    await second[Symbol.asyncDispose]()
  })

  it('WRK-088 gives up at the start without broker_connection_retry_on_startup, with exit code 1', async () => {
    await using trial = new Trial({ brokerConnectionRetryOnStartup: false })
    const watched = new Watched()
    watched.failures = 1
    const worker = trial.worker({ openTransport: watched.open })
    await expect(worker.start()).rejects.toThrow(BrokerUnavailableError)
    expect(worker.exitCode).toBe(1)
    expect(await worker.stopped).toMatchObject({ reason: 'gave up' })
    expect(trial.logged(/broker_connection_retry_on_startup=False\)\. Shutting down/, 'fatal')).toHaveLength(
      1,
    )
  })

  it('WRK-088 gives up after a loss without broker_connection_retry, but lets running tasks finish', async () => {
    await using trial = new Trial({ brokerConnectionRetry: false, brokerConnectionRetryOnStartup: true })
    const watched = new Watched()
    const running = gate()
    trial.app.task('t.wait', () => running.opened)
    const id = await trial.send('t.wait')
    const worker = await trial.started({ openTransport: watched.open })
    await until('it is acknowledged', () => worker.ledger.find(id)?.isAcknowledged)
    watched.failures = 1
    await watched.lose()
    await until('it gives up', () => trial.logged(/broker_connection_retry=False\)/, 'fatal').length === 1)
    expect(worker.exitCode).toBeUndefined()
    running.open()
    expect(await worker.stopped).toMatchObject({ code: 1, reason: 'gave up' })
    expect(await trial.state(id)).toBe('SUCCESS')
  })

  it('does not try again what no waiting can mend', async () => {
    await using trial = new Trial()
    const watched = new Watched()
    watched.failures = 1
    watched.cause = new ConfigError('wrong')
    await expect(trial.worker({ openTransport: watched.open }).start()).rejects.toThrow('wrong')
    expect(watched.asked).toHaveLength(1)
  })

  it('WRK-092 pauses when it is lost again and again', async () => {
    await using trial = new Trial()
    const watched = new Watched()
    await trial.started({ openTransport: watched.open })
    for (let n = 1; n <= 6; n += 1) {
      await until('it is connected', () => watched.connections.length === n)
      await watched.lose()
    }
    await until('it says so', () => trial.logged(/^Frequent restarts detected/, 'fatal').length === 1)
    expect(watched.connections).toHaveLength(6)
    await until('it is connected again', () => watched.connections.length === 7)
  })

  it('WRK-092 pauses longer and longer while each connection is refused what it is for', async () => {
    const clock = new FakeClock()
    await using trial = new Trial({ clock })
    const watched = new Watched()
    await trial.started({ openTransport: watched.open })
    for (let n = 1; n <= 6; n += 1) {
      await until('it is connected', () => watched.connections.length === n)
      await watched.lose()
    }
    for (const [connections, ms] of [
      [7, 1000],
      [8, 2000],
      [9, 4000],
      [10, 4000],
    ] as const) {
      await until(
        'it has noticed',
        () => trial.logged(/Connection to broker lost/, 'warn').length === connections - 1,
      )
      await clock.advance(ms - 1)
      expect(watched.connections).toHaveLength(connections - 1)
      await clock.advance(1)
      await until('it is connected again', () => watched.connections.length === connections)
      await watched.lose()
    }
    expect(trial.logged(/^Frequent restarts detected/, 'fatal')).toHaveLength(1)
  })

  it('closes a connection that it gets after it was told to stop', async () => {
    await using trial = new Trial()
    const watched = new Watched()
    const asked = gate()
    const dialling = gate()
    const open = (url: string): Transport => ({
      connect: async (target, options) => {
        asked.open()
        // A driver that does not listen to the signal.
        await dialling.opened
        const { signal: _, ...rest } = options
        return watched.open(url).connect(target, rest)
      },
    })
    const worker = trial.worker({ openTransport: open })
    const started = worker.start()
    const rejected = expect(started).rejects.toThrow(BrokerUnavailableError)
    await asked.opened
    const stopped = worker.stop()
    dialling.open()
    await Promise.all([stopped, rejected])
    expect(watched.connections).toHaveLength(1)
    expect(await watched.connections[0]?.closed).toBeUndefined()
  })

  it('WRK-086 gives a connection that does not close five seconds, and goes', async () => {
    const real = systemClock()
    const faster = 100
    const clock: Clock = {
      now: real.now,
      monotonic: () => real.monotonic() * faster,
      after: (ms, callback) => real.after(ms / faster, callback),
    }
    await using trial = new Trial({ clock })
    const watched = new Watched()
    const worker = await trial.started({ openTransport: watched.open })
    const connection = watched.connections[0] as { close(): Promise<void> }
    const close = connection.close.bind(connection)
    connection.close = () => new Promise<void>(() => {})
    await worker.stop()
    expect(
      trial.logged(/^Could not close the connection within \d+ ms\.$/, 'warn').map(({ text }) => text),
    ).toEqual(['Could not close the connection within 5000 ms.'])
    expect(worker.exitCode).toBe(0)
    await close()
  })

  it('stops while it is connecting', async () => {
    await using trial = new Trial()
    const watched = new Watched()
    watched.failures = 1
    const worker = trial.worker({ openTransport: watched.open })
    const started = worker.start()
    await until('it failed once', () => watched.asked.length === 1)
    await Promise.all([worker.stop(), expect(started).rejects.toThrow(BrokerUnavailableError)])
    expect(worker.exitCode).toBe(0)
  })

  it('WRK-017 consumes from a queue that is added, after a loss too, and no more from one that is cancelled', async () => {
    await using trial = new Trial()
    const watched = new Watched()
    trial.app.task('t.ok', () => 1)
    const worker = await trial.started({ openTransport: watched.open })
    await worker.addQueue('other')
    expect(trial.logged(/^Started consuming from other$/, 'info')).toHaveLength(1)
    const id = await trial.send('t.ok', { queue: 'other' })
    await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
    await watched.lose()
    const again = await trial.send('t.ok', { queue: 'other' })
    await until('it ran after the loss', async () => (await trial.state(again)) === 'SUCCESS')
    await worker.cancelQueue('other')
    const last = await trial.send('t.ok', { queue: 'other' })
    const check = await trial.send('t.ok')
    await until('the other queue is served', async () => (await trial.state(check)) === 'SUCCESS')
    expect(await trial.state(last)).toBeUndefined()
    expect(await trial.waiting('other')).toBe(1)
  })
})
