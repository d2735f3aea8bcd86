import { describe, expect, it } from 'vitest'
import { systemClock } from '../clock.js'
import { SoftTimeLimitExceeded, TimeLimitExceededError } from '../errors.js'
import { sig, TestHost, testRequest } from '../execution/test-host.conformance.js'
import { FakeClock } from '../testing/fake-clock.js'
import { AsyncPool } from './async.js'
import { poolConformance, watched } from './pool.conformance.js'

poolConformance(
  'AsyncPool',
  (host, size) => new AsyncPool(host, { size }),
  () => systemClock({ unref: true }),
)

function setUp() {
  const clock = new FakeClock()
  const host = new TestHost({ clock })
  return { clock, host, pool: new AsyncPool(host, { size: 1, pid: 7 }) }
}

describe('the soft time limit', () => {
  it('TSK-109 WRK-050 ACK-016 aborts the signal with a typed reason, which fails a task that does not catch it', async () => {
    const { clock, host, pool } = setUp()
    host.define(
      't',
      (self) =>
        new Promise((_resolve, reject) => {
          self.signal.addEventListener('abort', () => reject(self.signal.reason))
        }),
    )
    const { outcome } = watched(pool, testRequest('t'), { soft: 2, hard: 5 })
    await clock.advance(2000)
    expect(await outcome).toMatchObject({
      kind: 'failed',
      error: { type: 'SoftTimeLimitExceeded', module: 'billiard.exceptions' },
    })
    expect(host.logged('warn')).toEqual(['Soft time limit (2s) exceeded for t[t-1]'])
    expect((await host.backend.fetch('t-1'))?.state).toBe('FAILURE')
    expect(clock.pending).toBe(0)
  })

  it('TSK-109 is thrown by the next call on self, once, so that the task can clean up', async () => {
    const { clock, host, pool } = setUp()
    let goOn: () => void = () => {}
    host.define('t', async (self) => {
      await new Promise<void>((resolve) => {
        goOn = resolve
      })
      try {
        await self.updateState({ state: 'PROGRESS' })
      } catch (error) {
        self.log.info({}, 'cleaning up')
        await self.updateState({ state: 'CLEANED' })
        return error instanceof SoftTimeLimitExceeded
      }
      return undefined
    })
    const { outcome } = watched(pool, testRequest('t'), { soft: 2, hard: undefined })
    await clock.advance(2000)
    goOn()
    expect(await outcome).toMatchObject({ kind: 'succeeded', resultRepr: 'True' })
    expect(host.stored.map((meta) => meta.state)).toEqual(['CLEANED', 'SUCCESS'])
  })

  it('TSK-109 stands behind the AbortError of a library that was given the signal', async () => {
    const { clock, host, pool } = setUp()
    host.define(
      't',
      (self) =>
        new Promise((_resolve, reject) => {
          self.signal.addEventListener('abort', () => reject(new DOMException('aborted', 'AbortError')))
        }),
    )
    const { outcome } = watched(pool, testRequest('t'), { soft: 1, hard: undefined })
    await clock.advance(1000)
    expect(await outcome).toMatchObject({ kind: 'failed', error: { type: 'SoftTimeLimitExceeded' } })
  })
})

describe('the hard time limit', () => {
  it('TSK-110 WRK-051 WRK-052 ACK-013 stores TimeLimitExceeded, spreads it, and calls neither hook nor signal', async () => {
    const { clock, host, pool } = setUp()
    host.signals.taskFailure.connect(() => host.events.push('signal'))
    host.define('t', () => new Promise(() => {}), {
      handlers: { onFailure: () => void host.events.push('hook') },
    })
    const step = sig('next', [], { options: { task_id: 'n1' } })
    const request = testRequest('t', [], { body: { chain: [step], errbacks: [sig('eb')] } })
    const { outcome } = watched(pool, request, { soft: undefined, hard: 3 })
    await clock.advance(3000)
    expect(await outcome).toEqual({ kind: 'timed-out', seconds: 3 })
    expect(host.events).toEqual(['body', 'store FAILURE', 'store FAILURE', 'send eb'])
    const failure = {
      state: 'FAILURE',
      result: { type: 'TimeLimitExceeded', module: 'billiard.exceptions', args: [3] },
    }
    expect(await host.backend.fetch('t-1')).toMatchObject(failure)
    expect(await host.backend.fetch('n1')).toMatchObject(failure)
    expect(host.logged('error')).toEqual(['Hard time limit (3s) exceeded for t[t-1]'])
    expect(pool.leaked).toBe(1)
  })

  it('TSK-110 nothing that the body does afterwards counts, and its slot comes back when it ends', async () => {
    const { clock, host, pool } = setUp()
    let goOn: () => void = () => {}
    let reason: unknown
    host.define(
      't',
      async (self) => {
        await new Promise<void>((resolve) => {
          goOn = resolve
        })
        reason = self.signal.reason
        return 5
      },
      { handlers: { onSuccess: () => void host.events.push('hook') } },
    )
    const request = testRequest('t', [], { body: { callbacks: [sig('cb')] } })
    const { outcome } = watched(pool, request, { soft: undefined, hard: 3 })
    await clock.advance(3000)
    await outcome
    goOn()
    await expect.poll(() => pool.leaked).toBe(0)
    expect(reason).toBeInstanceOf(TimeLimitExceededError)
    expect(host.events).toEqual(['body', 'store FAILURE'])
    expect(host.sent).toEqual([])
    expect((await host.backend.fetch('t-1'))?.state).toBe('FAILURE')
  })

  it('TSK-110 a result that is being stored when the limit passes stays: it came first', async () => {
    const { clock, host, pool } = setUp()
    let finishStore: () => void = () => {}
    const store = host.backend.store.bind(host.backend)
    host.backend.store = async (meta, request) => {
      if (meta.state === 'SUCCESS')
        await new Promise<void>((resolve) => {
          finishStore = resolve
        })
      return store(meta, request)
    }
    host.define('t', () => 5)
    const { outcome } = watched(pool, testRequest('t'), { soft: undefined, hard: 3 })
    await clock.advance(3000)
    finishStore()
    expect(await outcome).toEqual({ kind: 'timed-out', seconds: 3 })
    expect((await host.backend.fetch('t-1'))?.state).toBe('SUCCESS')
  })

  it('WRK-049 a limit of 0 is none, and a run that ends in time leaves no timer behind', async () => {
    const { clock, host, pool } = setUp()
    host.define('t', () => 5)
    const { outcome } = watched(pool, testRequest('t'), { soft: 0, hard: 5 })
    expect(await outcome).toMatchObject({ kind: 'succeeded' })
    expect(clock.pending).toBe(0)
  })
})

describe('what runs', () => {
  it('is counted while it runs and forgotten when it ends, however it ends', async () => {
    const { clock, host, pool } = setUp()
    let goOn: () => void = () => {}
    host.define('waits', () => new Promise<void>((resolve) => (goOn = resolve)))
    host.define('fails', () => {
      throw new TypeError('no')
    })
    const first = watched(pool, testRequest('waits'))
    const second = watched(pool, testRequest('fails'))
    expect(pool.info()).toMatchObject({ running: 2 })
    await second.outcome
    await expect.poll(() => pool.info()['running']).toBe(1)
    await clock.advance(0)
    goOn()
    await first.outcome
    await expect.poll(() => pool.info()['running']).toBe(0)
    const limited = watched(pool, testRequest('waits'), { soft: undefined, hard: 1 })
    await clock.advance(1000)
    expect(await limited.outcome).toMatchObject({ kind: 'timed-out' })
    const killed = watched(pool, testRequest('waits'))
    await clock.advance(0)
    killed.terminate('SIGKILL')
    expect(await killed.outcome).toMatchObject({ kind: 'terminated' })
    await expect.poll(() => pool.info()['running']).toBe(0)
  })
})
