import { mkdtemp, rm } from 'node:fs/promises'
import { hostname, tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError } from '../errors.js'
import { FakeClock } from '../testing/fake-clock.js'
import { createMemoryTransport } from '../transport/memory-transport.js'
import { gate, Trial, until } from './trial.test.setup.js'

const inMs = (ms: number): string => new Date(Date.now() + ms).toISOString()

describe('Worker', () => {
  it('runs what app.task defines and delay sends', async () => {
    await using trial = new Trial()
    const add = trial.app.task('t.add', (x: number, y: number) => x + y)
    await trial.started()
    const result = await add.delay(2, 3)
    expect(await result.get({ timeout: 10 })).toBe(5)
  })

  it('SIG-014 SIG-015 SIG-017 SIG-021 WRK-001 WRK-006 boots in the order of Celery', async () => {
    await using trial = new Trial()
    const { signals } = trial.app
    const seen: unknown[] = []
    signals.celerydInit.connect(({ sender }) => seen.push(['celeryd_init', sender]))
    signals.workerInit.connect(() => seen.push('worker_init'))
    signals.celerydAfterSetup.connect(({ sender }) => seen.push(['celeryd_after_setup', sender]))
    signals.workerReady.connect(() => seen.push('worker_ready'))
    await trial.started()
    expect(seen).toEqual([
      ['celeryd_init', 'w@test'],
      'worker_init',
      ['celeryd_after_setup', 'w@test'],
      'worker_ready',
    ])
    expect(trial.logged(/^w@test ready\.$/, 'info')).toHaveLength(1)
  })

  it('WRK-007 is named celery@<machine> by default', async () => {
    await using trial = new Trial()
    expect(trial.app.worker().hostname).toBe(`celery@${hostname()}`)
    expect(trial.app.worker({ hostname: 'w1@%n' }).hostname).toBe(`w1@${hostname().split('.')[0]}`)
  })

  it('WRK-033 SIG-004 logs what it received, then sends task_received', async () => {
    await using trial = new Trial()
    const told: unknown[] = []
    trial.app.signals.taskReceived.connect(({ request }) => told.push((request as { id: string }).id))
    trial.app.task('t.ok', () => 1)
    const id = await trial.send('t.ok', { headers: { shadow: 'nice.name' } })
    const worker = await trial.started()
    await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
    expect(told).toEqual([id])
    expect(trial.logged(new RegExp(`^Task nice\\.name\\[${id}\\] received$`), 'info')).toHaveLength(1)
    // WRK-034 WRK-106: shadow changes what is shown and counted, not what runs.
    expect(worker.info()['total']).toEqual({ 'nice.name': 1 })
  })

  it('WRK-034 WRK-106 looks tasks up by their name, counts them by their shadow', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', () => 'real')
    trial.app.task('t.other', () => 'other')
    const id = await trial.send('t.ok', { headers: { shadow: 't.other' } })
    const worker = await trial.started()
    await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
    expect((await trial.meta(id))?.result).toBe('real')
    expect([...worker.ledger.totals]).toEqual([['t.other', 1]])
  })

  it('WRK-041 gives the task exchange, routing key, priority and redelivered, and no more', async () => {
    await using trial = new Trial()
    trial.app.task('t.info', { bind: true }, (self) => Object.keys(self.request.deliveryInfo).sort())
    const id = await trial.send('t.info')
    await trial.started()
    await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
    expect((await trial.meta(id))?.result).toEqual([
      'exchange',
      'isEager',
      'priority',
      'redelivered',
      'routingKey',
    ])
  })

  it('runs as many at once as its concurrency says, and starts the next as one ends', async () => {
    await using trial = new Trial()
    let now = 0
    let most = 0
    const running = gate()
    trial.app.task('t.wait', async () => {
      now += 1
      most = Math.max(most, now)
      await running.opened
      now -= 1
    })
    const ids: string[] = []
    for (let i = 0; i < 12; i += 1) ids.push(await trial.send('t.wait'))
    const worker = await trial.started({ concurrency: 3 })
    await until('all slots are used', () => now === 3)
    expect(worker.ledger.in('reserved').length).toBeGreaterThan(0)
    running.open()
    for (const id of ids) await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
    expect(most).toBe(3)
  })

  it('WRK-018 WRK-026 holds concurrency times multiplier deliveries unacknowledged, and no more', async () => {
    await using trial = new Trial()
    const running = gate()
    trial.app.task('t.wait', { acksLate: true }, () => running.opened)
    for (let i = 0; i < 20; i += 1) await trial.send('t.wait')
    const worker = await trial.started({ concurrency: 2, prefetchMultiplier: 3 })
    await until('it holds its share', () => worker.ledger.size === 6)
    expect(await trial.waiting()).toBe(14)
    running.open()
    await until('all ran', () => worker.ledger.totals.get('t.wait') === 20)
  })

  it('WRK-019 WRK-039 fetches one more for each ETA that waits, and runs each when it is due', async () => {
    await using trial = new Trial()
    const ran: number[] = []
    trial.app.task('t.eta', () => void ran.push(Date.now()))
    const due = Date.now() + 250
    for (let i = 0; i < 10; i += 1)
      await trial.send('t.eta', { headers: { eta: new Date(due).toISOString() } })
    await trial.send('t.eta', { headers: { eta: '2020-01-01T00:00:00' } })
    const worker = await trial.started({ concurrency: 1, prefetchMultiplier: 1 })
    await until('all wait', () => worker.ledger.in('waiting').length === 10)
    await until('the one from the past ran', () => ran.length === 1)
    expect(worker.info()['prefetch_count']).toBe(11)
    await until('all ran', () => ran.length === 11)
    expect(Math.min(...ran.slice(1))).toBeGreaterThanOrEqual(due)
    await until('the count is back', () => worker.info()['prefetch_count'] === 1)
  })

  it('WRK-019 holds no more ETAs than worker_eta_task_limit', async () => {
    await using trial = new Trial({ workerEtaTaskLimit: 4 })
    trial.app.task('t.eta', () => 1)
    for (let i = 0; i < 10; i += 1) await trial.send('t.eta', { headers: { eta: inMs(3_600_000) } })
    const worker = await trial.started({ concurrency: 1, prefetchMultiplier: 1 })
    await until('it holds four', () => worker.ledger.size === 4)
    expect(await trial.waiting()).toBe(6)
  })

  it('WRK-035 WRK-037 discards a task that expires while it waits for its ETA', async () => {
    await using trial = new Trial()
    let ran = 0
    trial.app.task('t.eta', () => {
      ran += 1
    })
    const id = await trial.send('t.eta', { headers: { eta: inMs(120), expires: inMs(60) } })
    await trial.started()
    await until('it is revoked', async () => (await trial.state(id)) === 'REVOKED')
    expect(ran).toBe(0)
  })

  it('WRK-035 discards a task that expires while it waits for a slot', async () => {
    await using trial = new Trial()
    const running = gate()
    trial.app.task('t.wait', () => running.opened)
    trial.app.task('t.ok', () => 1)
    await trial.send('t.wait')
    const expires = Date.now() + 60
    const id = await trial.send('t.ok', { headers: { expires: new Date(expires).toISOString() } })
    await trial.started({ concurrency: 1 })
    await until('it has expired', () => Date.now() > expires)
    running.open()
    await until('it is revoked', async () => (await trial.state(id)) === 'REVOKED')
  })

  it('WRK-036 discards by stamp what waits, whichever value of the stamp was revoked', async () => {
    await using trial = new Trial()
    trial.app.task('t.ok', () => 1)
    const worker = await trial.started()
    worker.revokeByStamps({ tenant: ['acme'] })
    const headers = { stamped_headers: ['tenant'], stamps: { tenant: ['x', 'acme'] } }
    const id = await trial.send('t.ok', { headers })
    await until('it is revoked', async () => (await trial.state(id)) === 'REVOKED')
  })

  it('WRK-045 says whose rate limit it cannot read, and does not start', async () => {
    await using trial = new Trial()
    trial.app.task('t.slow', { rateLimit: 'lots' }, () => 1)
    await expect(trial.started()).rejects.toThrow(/Task t\.slow: The rate limit "lots"/)
  })

  it('WRK-045 WRK-046 WRK-047 spaces starts by the rate limit, first come first served', async () => {
    // Its time stands still but for the steps below: what a busy machine takes has no part in it.
    const clock = new FakeClock(Date.now())
    await using trial = new Trial({ clock })
    const ran: string[] = []
    trial.app.task('t.slow', { bind: true, rateLimit: '20/s' }, (self) => {
      ran.push(self.request.id)
    })
    const ids: string[] = []
    for (let i = 0; i < 5; i += 1) ids.push(await trial.send('t.slow'))
    const worker = await trial.started({ concurrency: 5 })
    for (let started = 1; started <= 5; started += 1) {
      await until('the rest is throttled', () => worker.ledger.in('throttled').length === 5 - started)
      await until('one more ran', () => ran.length === started)
      await clock.advance(49)
      expect(ran).toEqual(ids.slice(0, started))
      await clock.advance(1)
    }
  })

  it('WRK-040 waits for the ETA first and then for a token', async () => {
    await using trial = new Trial()
    trial.app.task('t.slow', { rateLimit: '1/h' }, () => 1)
    const worker = await trial.started()
    const first = await trial.send('t.slow')
    await until('the token is gone', async () => (await trial.state(first)) === 'SUCCESS')
    const id = await trial.send('t.slow', { headers: { eta: inMs(60) } })
    await until('it waits', () => worker.ledger.find(id)?.state === 'waiting')
    await until('it is throttled', () => worker.ledger.find(id)?.state === 'throttled')
    worker.rateLimit('t.slow', null)
    await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
  })

  it('WRK-048 ignores rate limits with worker_disable_rate_limits', async () => {
    await using trial = new Trial({ workerDisableRateLimits: true })
    trial.app.task('t.slow', { rateLimit: '1/h' }, () => 1)
    const ids = [await trial.send('t.slow'), await trial.send('t.slow')]
    await trial.started()
    for (const id of ids) await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
  })

  it('WRK-049 lets the message win over the task, and the task over the worker', async () => {
    await using trial = new Trial()
    const limits: unknown[] = []
    trial.app.task('t.none', () => 1)
    trial.app.task('t.own', { timeLimit: 30, softTimeLimit: 20 }, () => 1)
    const worker = trial.worker({ timeLimit: 300, softTimeLimit: 200 })
    trial.app.signals.taskReceived.connect(({ request }) =>
      limits.push((request as { limits: object }).limits),
    )
    await worker.start()
    const ids = [
      await trial.send('t.none'),
      await trial.send('t.own'),
      await trial.send('t.own', { headers: { timelimit: [3, 2] } }),
      await trial.send('t.own', { headers: { timelimit: [0, null] } }),
    ]
    for (const id of ids) await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
    expect(limits).toEqual([
      { soft: 200, hard: 300 },
      { soft: 20, hard: 30 },
      { soft: 2, hard: 3 },
      { soft: 20, hard: 30 },
    ])
  })

  it('TSK-072 WRK-044 does not run a redelivered success again with worker_deduplicate_successful_tasks', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'celeriac-worker-'))
    try {
      await using trial = new Trial({
        workerDeduplicateSuccessfulTasks: true,
        resultBackend: `file://${folder}`,
      })
      let runs = 0
      trial.app.task('t.late', { acksLate: true }, () => {
        runs += 1
        return 'once'
      })
      const id = await trial.send('t.late')
      const first = await trial.started()
      await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
      await first.stop()
      await trial.send('t.late', { id })
      await (await (await trial.broker()).get('celery'))?.reject({ requeue: true })
      const second = await trial.started()
      await until('it is settled', () => second.ledger.totals.get('t.late') === 1 && second.ledger.size === 0)
      expect(runs).toBe(1)
      // A message that the broker does not mark as redelivered is a new call, whatever its id.
      await trial.send('t.late', { id })
      await until('it ran', () => runs === 2)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('WRK-012 WRK-013 WRK-014 WRK-016 consumes from all queues, the chosen ones, or all but some', async () => {
    const settings = { taskQueues: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] }
    const names = async (options: { queues?: string[]; excludeQueues?: string[] }): Promise<string[]> => {
      await using trial = new Trial(settings)
      const worker = await trial.started(options)
      return worker.banner().queues.map((queue) => queue.name)
    }
    expect(await names({})).toEqual(['a', 'b', 'c'])
    expect(await names({ queues: ['c', 'new'] })).toEqual(['c', 'new'])
    expect(await names({ excludeQueues: ['b', 'unheard-of'] })).toEqual(['a', 'c'])
    expect(await names({ queues: ['a', 'b'], excludeQueues: ['a'] })).toEqual(['b'])
  })

  it('WRK-012 keeps the choice of one worker from another worker of the same app', async () => {
    await using trial = new Trial({ taskQueues: [{ name: 'a' }, { name: 'b' }], workerDirect: true })
    const names = (options: object): string[] =>
      trial
        .worker(options)
        .banner()
        .queues.map((queue) => queue.name)
    expect(names({ queues: ['a'], hostname: 'w1@x' })).toEqual(['a', 'w1@x.dq2'])
    expect(names({ hostname: 'w2@x' })).toEqual(['a', 'b', 'w2@x.dq2'])
  })

  it('WRK-013 refuses an unknown queue where none may be made', async () => {
    await using trial = new Trial({ taskCreateMissingQueues: false })
    expect(() => trial.worker({ queues: ['nope'] })).toThrow(ConfigError)
    expect(() => trial.worker({ queues: ['nope'] })).toThrow('Trying to select queue subset of')
  })

  it('WRK-015 consumes from its own queue too with worker_direct', async () => {
    await using trial = new Trial({ workerDirect: true })
    trial.app.task('t.ok', () => 1)
    await trial.started({ queues: ['other'] })
    const id = await trial.send('t.ok', { queue: 'w@test.dq2' })
    await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
  })

  it('WRK-002 purges the queues before it consumes, when asked to', async () => {
    await using trial = new Trial()
    let ran = 0
    trial.app.task('t.ok', () => {
      ran += 1
    })
    for (let i = 0; i < 3; i += 1) await trial.send('t.ok')
    await trial.started({ purge: true })
    const id = await trial.send('t.ok')
    await until('the new one ran', async () => (await trial.state(id)) === 'SUCCESS')
    expect(ran).toBe(1)
    expect(trial.logged(/^purge: Erased 3 messages from the queue\.$/, 'info')).toHaveLength(1)
  })

  it('WRK-102 tells what a banner shows, without passwords', async () => {
    await using trial = new Trial({ brokerUrl: 'memory://me:secret@box/shop' })
    trial.app.task('z.last', () => 1)
    trial.app.task('a.first', () => 1)
    const banner = trial.worker({ concurrency: 7 }).banner()
    expect(banner).toMatchObject({
      hostname: 'w@test',
      app: 'trial',
      transport: 'memory://me:**@box/shop',
      concurrency: 7,
      queues: [{ name: 'celery', exchange: 'celery', exchangeType: 'direct', routingKey: 'celery' }],
    })
    expect(banner.tasks.filter((name) => !name.startsWith('celery.'))).toEqual(['a.first', 'z.last'])
    expect(JSON.stringify(banner)).not.toContain('secret')
  })

  it('consumes through the transport that its app was given', async () => {
    const transport = createMemoryTransport()
    await using trial = new Trial({ openTransport: () => transport })
    const add = trial.app.task('t.add', (x: number, y: number) => x + y)
    await trial.started()
    expect(await (await add.delay(2, 3)).get({ timeout: 10 })).toBe(5)
  })

  it('refuses a concurrency that is no whole number above 0', async () => {
    await using trial = new Trial()
    for (const concurrency of [0, -1, 1.5, Number.NaN]) {
      expect(() => trial.app.worker({ concurrency })).toThrow(ConfigError)
    }
  })
})
