import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noRedis, RedisServer } from '../../interop-tests/redis-server.js'
import { type Clock, systemClock } from '../clock.js'
import { LeaseLostError } from '../errors.js'
import { openRedis } from '../transport/redis-client.js'
import { gate, Trial, until } from './trial.test.setup.js'

describe.skipIf(noRedis)(`a worker that lost its leases (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  beforeAll(async () => {
    server = await RedisServer.start()
  })
  afterAll(() => server.close())

  it('PUB-074 WRK-089 starts nothing of what others may have run meanwhile, says so once, and works on', async () => {
    const real = systemClock()
    let jumped = 0
    // Time passes unseen for a process that is frozen: when it thaws its clocks have jumped.
    const clock: Clock = {
      now: () => real.now() + jumped,
      monotonic: () => real.monotonic() + jumped,
      after: real.after,
    }
    await using trial = new Trial({
      brokerUrl: server.url,
      clock,
      brokerTransportOptions: { visibility_timeout: 600 },
    })
    const ran: string[] = []
    const frozen = gate()
    const wait = trial.app.task('t.wait', async () => {
      await frozen.opened
      ran.push('running')
    })
    const note = trial.app.task('t.note', (what: string) => {
      ran.push(what)
    })
    const limited = trial.app.task('t.limited', { rateLimit: '1/h' }, (what: string) => {
      ran.push(what)
    })
    const worker = await trial.started({ concurrency: 1, prefetchMultiplier: 10 })
    await wait.delay()
    await until('the first runs', () => worker.ledger.active().length === 1)
    await note.delay('prefetched')
    await note.applyAsync({ args: ['due while frozen'], countdown: 540 })
    await limited.delay('allowed')
    await limited.delay('over the limit')
    await until('all are held', () => worker.ledger.size === 5)

    jumped = 600_000
    const admin = await openRedis(server.url)
    // Others took them up, and have run them.
    await admin.run('DEL', 'unacked', 'unacked_index')
    admin.close()
    frozen.open()
    await until('only what runs is left', () => worker.ledger.size === 0)
    await note.delay('new')
    await until('it works again', () => ran.includes('new'))
    expect(ran).toEqual(['running', 'new'])
    const told = trial.lines.filter(
      ({ fields }) => (fields['err'] as Error | undefined)?.cause instanceof LeaseLostError,
    )
    expect(told.map(({ level }) => level)).toEqual(['warn'])
  })
})
