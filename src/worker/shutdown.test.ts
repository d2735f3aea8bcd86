import { describe, expect, it } from 'vitest'
import { gate, Trial, until } from './trial.test.setup.js'

describe('shutdown', () => {
  it('WRK-071 warm: gives back at once what has not started, in its order, and lets the running task finish', async () => {
    await using trial = new Trial({ workerPrefetchMultiplier: 10 })
    const running = gate()
    trial.app.task('t.wait', { acksLate: true }, () => running.opened)
    trial.app.task('t.limited', { rateLimit: '1/h' }, () => 1)
    const first = await trial.send('t.wait')
    const eta = new Date(Date.now() + 3_600_000).toISOString()
    const rest = [
      await trial.send('t.limited'),
      await trial.send('t.limited'),
      await trial.send('t.wait', { headers: { eta } }),
      await trial.send('t.wait'),
      await trial.send('t.wait'),
    ]
    const worker = await trial.started({ concurrency: 1 })
    await until('all are held', () => worker.ledger.size === 6)
    expect(worker.ledger.find(rest[1] as string)?.state).toBe('throttled')
    expect(worker.ledger.find(rest[2] as string)?.state).toBe('waiting')
    let isStopped = false
    const stopped = worker.stop().then(() => {
      isStopped = true
    })
    await until('the others are back', async () => (await trial.waiting()) === 5)
    expect(isStopped).toBe(false)
    expect(worker.ledger.active()).toHaveLength(1)
    running.open()
    await stopped
    expect(await trial.state(first)).toBe('SUCCESS')
    expect(await trial.drain()).toEqual(rest)
    expect(worker.exitCode).toBe(0)
    expect(await worker.stopped).toEqual({ code: 0, reason: 'stopped', error: undefined })
  })

  it('puts what it gives back in front of what waits', async () => {
    await using trial = new Trial({ workerPrefetchMultiplier: 2 })
    const running = gate()
    trial.app.task('t.wait', () => running.opened)
    const ids: string[] = []
    for (let i = 0; i < 6; i += 1) ids.push(await trial.send('t.wait'))
    const worker = await trial.started({ concurrency: 1 })
    await until(
      'it runs one and holds two',
      () => worker.ledger.size >= 2 && worker.ledger.active()[0]?.isAcknowledged,
    )
    const stopped = worker.stop()
    await until('the rest is back', async () => (await trial.waiting()) === 5)
    running.open()
    await stopped
    expect(await trial.drain()).toEqual(ids.slice(1))
  })

  it('WRK-074 ACK-027 WRK-079 cold: a late task goes back to the broker, its signal aborts, nothing is stored', async () => {
    await using trial = new Trial()
    const aborted = gate()
    trial.app.task('t.long', { acksLate: true, bind: true }, (self) => {
      self.signal.addEventListener('abort', () => aborted.open())
      return new Promise(() => {})
    })
    const id = await trial.send('t.long')
    const worker = await trial.started()
    await until('it runs', () => worker.ledger.totals.get('t.long') === 1)
    await worker.stop({ how: 'cold' })
    await aborted.opened
    expect(await trial.state(id)).toBeUndefined()
    expect(await trial.drain()).toEqual([id])
    expect(worker.exitCode).toBe(1)
  })

  it('ACK-026 WRK-078 SIG-008 cold: an early task, which Celery loses, is really sent again, and RETRY is stored', async () => {
    await using trial = new Trial()
    const told: unknown[] = []
    trial.app.signals.taskRetry.connect(({ reason }) => told.push(String(reason)))
    const seen: unknown[] = []
    trial.app.task('t.long', { bind: true }, (self, n: number, text: string) => {
      seen.push([self.request.retries, n, text])
      return seen.length === 1 ? new Promise(() => {}) : 'second run'
    })
    const id = await trial.send('t.long', { args: [1, 'a'], headers: { argsrepr: "(1, 'a')" } })
    const worker = await trial.started()
    await until('it runs', () => worker.ledger.totals.get('t.long') === 1)
    await worker.stop({ how: 'cold' })
    expect(trial.logged(/./, 'error')).toEqual([])
    expect(await trial.state(id)).toBe('RETRY')
    expect(told).toEqual(['Retry: cancelled by Celery'])
    const next = await trial.started()
    await until('it ran elsewhere', async () => (await trial.state(id)) === 'SUCCESS')
    await until('it is settled', () => next.ledger.size === 0)
    expect(await trial.waiting()).toBe(0)
    expect(seen).toEqual([
      [0, 1, 'a'],
      [0, 1, 'a'],
    ])
  })

  it('WRK-075 soft: waits for the running task, at most worker_soft_shutdown_timeout seconds', async () => {
    await using trial = new Trial({ workerSoftShutdownTimeout: 0.08 })
    trial.app.task('t.short', { acksLate: true, bind: true }, async () => {
      await until('the soft wait began', () => trial.logged(/Initiating Soft Shutdown/).length === 1)
      return 'done'
    })
    trial.app.task('t.long', { acksLate: true }, () => new Promise(() => {}))
    const short = await trial.send('t.short')
    const long = await trial.send('t.long')
    const worker = await trial.started()
    await until('both run', () => worker.ledger.active().length === 2 && worker.ledger.totals.size === 2)
    await worker.shutdown('soft')
    expect(trial.logged(/^Initiating Soft Shutdown, terminating in 0\.08 seconds$/, 'warn')).toHaveLength(1)
    expect(await trial.state(short)).toBe('SUCCESS')
    expect(await trial.drain()).toEqual([long])
    expect(worker.exitCode).toBe(1)
  })

  it('WRK-075 soft: does not wait when nothing runs', async () => {
    await using trial = new Trial({ workerSoftShutdownTimeout: 3600 })
    const worker = await trial.started()
    await worker.shutdown('soft')
    expect(trial.logged(/Initiating Soft Shutdown/)).toEqual([])
  })

  it('WRK-075 WRK-076 soft: waits when idle with worker_enable_soft_shutdown_on_idle, until it is told cold', async () => {
    await using trial = new Trial({ workerSoftShutdownTimeout: 3600, workerEnableSoftShutdownOnIdle: true })
    const worker = await trial.started()
    const soft = worker.shutdown('soft')
    await until('it waits', () => trial.logged(/Initiating Soft Shutdown/).length === 1)
    expect(worker.exitCode).toBeUndefined()
    await worker.shutdown('cold')
    await soft
    expect(worker.exitCode).toBe(1)
  })

  it('WRK-071 WRK-072 warm: asking again changes nothing, asking cold overtakes it', async () => {
    await using trial = new Trial()
    trial.app.task('t.long', { acksLate: true }, () => new Promise(() => {}))
    const id = await trial.send('t.long')
    const worker = await trial.started()
    await until('it runs', () => worker.ledger.totals.get('t.long') === 1)
    const warm = [worker.shutdown('warm'), worker.shutdown('warm'), worker.stop()]
    await until('it is quiet', () => worker.ledger.active().length === 1)
    expect(worker.exitCode).toBeUndefined()
    await worker.shutdown('cold')
    await Promise.all(warm)
    expect(await trial.drain()).toEqual([id])
  })

  it('a warm stop with a bound turns cold when the time is up', async () => {
    await using trial = new Trial()
    trial.app.task('t.long', { acksLate: true }, () => new Promise(() => {}))
    const id = await trial.send('t.long')
    const worker = await trial.started()
    await until('it runs', () => worker.ledger.totals.get('t.long') === 1)
    await worker.stop({ timeoutMs: 30 })
    expect(await trial.drain()).toEqual([id])
  })

  it('SIG-023 sends worker_shutdown after a warm stop and not after a cold one', async () => {
    await using trial = new Trial()
    let told = 0
    trial.app.signals.workerShutdown.connect(() => {
      told += 1
    })
    await (await trial.started()).stop({ how: 'cold' })
    expect(told).toBe(0)
    await (await trial.started()).stop()
    expect(told).toBe(1)
  })

  it('keeps the services of its user inside its own life: started last, stopped first', async () => {
    await using trial = new Trial()
    const seen: string[] = []
    const service = (name: string) => ({
      name,
      start: async () => void seen.push(`+${name}`),
      stop: async () => void seen.push(`-${name}`),
    })
    trial.app.signals.workerReady.connect(() => seen.push('ready'))
    const worker = await trial.started({ services: [service('a'), service('b')] })
    await worker.stop()
    expect(seen).toEqual(['+a', '+b', 'ready', '-b', '-a'])
  })

  it('survives being started and stopped at once, in any order, fifty times, and leaves nothing', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', { acksLate: true }, () => 1)
    const ids: string[] = []
    for (let round = 0; round < 50; round += 1) {
      ids.push(await trial.send('t.ok'))
      const worker = trial.worker()
      const acts = [0, 1, 2].flatMap((n) => [
        (n + round) % 2 === 0 ? worker.start() : worker.stop(),
        (n + round) % 3 === 0 ? worker.stop({ how: 'cold' }) : worker.start(),
      ])
      await Promise.allSettled([...acts, worker.stop()])
      await worker.stopped
      expect(worker.ledger.size).toBe(0)
    }
    const last = await trial.started()
    for (const id of ids) await until(`${id} ran`, async () => (await trial.state(id)) === 'SUCCESS')
    await last.stop()
    expect(await trial.waiting()).toBe(0)
  })

  it('stops without ever having been started', async () => {
    await using trial = new Trial()
    const worker = trial.worker()
    await worker.stop()
    expect(worker.exitCode).toBe(0)
    await expect(worker.start()).rejects.toThrow('cannot start again')
  })
})
