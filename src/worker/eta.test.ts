/** What a worker does with more ETAs than it holds, on a broker that can keep them. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { noRedis, RedisServer, skipNote } from '../../interop-tests/redis-server.js'
import { gate, Trial, until } from './trial.test.setup.js'

describe.skipIf(noRedis)(`a worker whose broker keeps what waits${skipNote(noRedis)}`, () => {
  let server: RedisServer
  let prefix: string
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server.close())
  beforeEach(() => {
    prefix = `${randomUUID()}:`
  })
  const trialOn = (settings: object = {}): Trial =>
    new Trial({ brokerUrl: server.url, brokerTransportOptions: { global_keyprefix: prefix }, ...settings })
  const countOf = async (command: 'hlen' | 'zcard' | 'llen', key: string): Promise<number> => {
    const client = server.client()
    try {
      return await client[command](prefix + key)
    } finally {
      client.disconnect()
    }
  }
  const parked = (): Promise<number> => countOf('zcard', '_celeriac.parked.celery')

  it('WRK-019 WRK-039 CFG-201 holds no more than worker_eta_task_limit, still runs other tasks, and each ETA once in time', async () => {
    await using trial = trialOn({ workerEtaTaskLimit: 12 })
    const ran: { readonly id: string; readonly late: number }[] = []
    trial.app.task('t.eta', { bind: true }, (self, due: number) => {
      ran.push({ id: self.request.id, late: Date.now() - due })
    })
    trial.app.task('t.now', () => 1)
    const due = Date.now() + 3000
    const eta = (at: number) => ({ countdown: (at - Date.now()) / 1000, args: [at] })
    const sent = await Promise.all(
      Array.from({ length: 150 }, (_, at) => trial.app.sendTask('t.eta', eta(due + (at % 50) * 10))),
    )
    const worker = await trial.started({ concurrency: 2, prefetchMultiplier: 2 })
    let most = 0
    await until('some are parked', () => {
      most = Math.max(most, worker.ledger.in('waiting').length)
      return trial.logged(/waits with the broker/).length > 0
    })
    const now = await trial.app.sendTask('t.now')
    await until('the other ran', async () => (await trial.state(now.id)) === 'SUCCESS')
    expect(ran.length).toBeLessThan(150)
    await until('all ran', () => {
      most = Math.max(most, worker.ledger.in('waiting').length)
      return ran.length >= 150
    })
    await until('all are acknowledged', async () => (await countOf('hlen', 'unacked')) === 0)
    expect(most).toBeLessThanOrEqual(12)
    expect(ran.map(({ id }) => id).toSorted()).toEqual(sent.map(({ id }) => id).toSorted())
    expect(Math.min(...ran.map(({ late }) => late))).toBeGreaterThanOrEqual(0)
    // Loosely: a busy machine takes long to send them. benchmarks/ measures it.
    expect(ran.map(({ late }) => late).toSorted((a, b) => a - b)[75]).toBeLessThan(4000)
    expect(worker.info()['prefetch_count']).toBe(4)
    expect(await parked()).toBe(0)
  })

  it('WRK-033 counts as received where it is kept, not where it is parked at once', async () => {
    await using trial = trialOn({ workerEtaTaskLimit: 2 })
    trial.app.task('t.eta', () => 1)
    await trial.app.sendTask('t.eta', { countdown: 60 })
    const worker = await trial.started({ concurrency: 1, prefetchMultiplier: 1 })
    await until('one waits', () => worker.ledger.in('waiting').length === 1)
    const later = await trial.app.sendTask('t.eta', { countdown: 90 })
    await until('the other is parked', async () => (await parked()) === 1)
    expect(trial.logged(new RegExp(`\\[${later.id}\\] received`))).toEqual([])
    expect(trial.logged(new RegExp(`\\[${later.id}\\] waits with the broker`), 'debug')).toHaveLength(1)
    // One that is sooner takes the place of the one that was there.
    const sooner = await trial.app.sendTask('t.eta', { countdown: 30 })
    await until('two are parked', async () => (await parked()) === 2)
    expect(worker.ledger.find(sooner.id)?.state).toBe('waiting')
  })

  it('WRK-035 WRK-037 discards what was revoked or has expired while it was parked', async () => {
    await using trial = trialOn({ workerEtaTaskLimit: 2 })
    let ran = 0
    trial.app.task('t.eta', () => {
      ran += 1
    })
    await trial.app.sendTask('t.eta', { countdown: 60 })
    const worker = await trial.started({ concurrency: 1, prefetchMultiplier: 1 })
    await until('one waits', () => worker.ledger.in('waiting').length === 1)
    const revoked = await trial.app.sendTask('t.eta', { countdown: 1.2 })
    const first = worker.ledger.in('waiting')[0]?.id
    const expired = await trial.app.sendTask('t.eta', { countdown: 1.4, expires: new Date(Date.now() + 300) })
    await until('two are parked', async () => (await parked()) === 2)
    worker.revoke(revoked.id)
    for (const { id } of [revoked, expired])
      await until('it is revoked', async () => (await trial.state(id)) === 'REVOKED')
    expect(ran).toBe(0)
    expect(first).toBeDefined()
  })

  it('WRK-071 returns at a warm stop what waits here, and leaves what is parked', async () => {
    await using trial = trialOn({ workerEtaTaskLimit: 6 })
    const started = gate()
    trial.app.task('t.eta', () => started.open())
    for (let at = 0; at < 20; at += 1) await trial.app.sendTask('t.eta', { countdown: 3600 })
    const worker = await trial.started({ concurrency: 1, prefetchMultiplier: 1 })
    await until('fifteen are parked', async () => (await parked()) === 15)
    await worker.stop()
    expect([await countOf('llen', 'celery'), await countOf('hlen', 'unacked')]).toEqual([5, 15])
  })

  it('TSK-072 runs a parked task although one with its id has succeeded before', async () => {
    await using trial = trialOn({ workerEtaTaskLimit: 2, workerDeduplicateSuccessfulTasks: true })
    let ran = 0
    trial.app.task('t.eta', { acksLate: true }, () => {
      ran += 1
    })
    const id = randomUUID()
    await trial.started({ concurrency: 1, prefetchMultiplier: 1 })
    await trial.app.sendTask('t.eta', { taskId: id })
    await until('it ran', async () => (await trial.state(id)) === 'SUCCESS')
    await trial.app.sendTask('t.eta', { countdown: 60 })
    await trial.app.sendTask('t.eta', { countdown: 1.4 })
    await trial.app.sendTask('t.eta', { taskId: id, countdown: 1.5 })
    await until(
      'it is parked',
      () => trial.logged(new RegExp(`\\[${id}\\] waits with the broker`)).length > 0,
    )
    await until('both ran', () => ran === 3)
  })
})
