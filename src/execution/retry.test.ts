import { describe, expect, it } from 'vitest'
import { Ignore, MaxRetriesExceededError, Reject, Retry } from '../errors.js'
import type { TaskContext } from './context.js'
import { execute } from './execute.js'
import { autoretryCountdown, backoffDelay, backoffFactor, isAutoretried, isExhausted } from './retry.js'
import { DirectTask } from './running-task.js'
import { TestHost, testRequest } from './test-host.conformance.js'

const options = {
  autoretryFor: [],
  dontAutoretryFor: [],
  retryKwargs: {},
  retryBackoff: false,
  retryBackoffMax: 600,
  retryJitter: false,
  defaultRetryDelay: 180,
}

describe('the arithmetic', () => {
  it('TSK-101 reads retry_backoff as a whole factor of at least 1', () => {
    expect([true, 0.5, 2.7, 5, false, 0].map(backoffFactor)).toEqual([1, 1, 2, 5, 0, 0])
  })

  it('TSK-101 doubles with each attempt up to the maximum', () => {
    const delays = [0, 1, 2, 3, 20].map((retries) => backoffDelay(2, retries, 600, undefined))
    expect(delays).toEqual([2, 4, 8, 16, 600])
  })

  it('TSK-102 jitter is a whole number from 0 to the delay, both included', () => {
    expect(backoffDelay(1, 3, 600, () => 0)).toBe(0)
    expect(backoffDelay(1, 3, 600, () => 0.999999)).toBe(8)
    expect(backoffDelay(1, 3, -5, () => 0.5)).toBe(0)
  })

  it('TSK-100 without backoff takes the countdown of retryKwargs, else the default delay', () => {
    expect(autoretryCountdown({ ...options, retryKwargs: { countdown: 7 } }, 0, () => 0)).toBe(7)
    expect(autoretryCountdown(options, 0, () => 0)).toBe(180)
  })

  it('TSK-103 with backoff the computed delay wins over retryKwargs', () => {
    const backoff = { ...options, retryBackoff: 3, retryKwargs: { countdown: 7 } }
    expect(autoretryCountdown(backoff, 1, () => 0)).toBe(6)
  })

  it('TSK-099 retries by class and test, Reject too, but never Ignore, Retry or what is excepted', () => {
    const all = { ...options, autoretryFor: [Error], dontAutoretryFor: [TypeError] }
    expect(isAutoretried(new RangeError('x'), all)).toBe(true)
    expect(isAutoretried(new Reject('x'), all)).toBe(true)
    expect(isAutoretried(new TypeError('x'), all)).toBe(false)
    expect(isAutoretried(new Ignore(), all)).toBe(false)
    expect(isAutoretried(new Retry('x', 1), all)).toBe(false)
    const tested = {
      ...options,
      autoretryFor: [
        (error: unknown) => error === 'plain',
        () => {
          throw new Error()
        },
      ],
    }
    expect(isAutoretried('plain', tested)).toBe(true)
    expect(isAutoretried('other', tested)).toBe(false)
  })

  it('TSK-080 the limit counts attempts after the first; null has none', () => {
    expect([0, 2, 3].map((retries) => isExhausted(retries, 3))).toEqual([false, false, true])
    expect(isExhausted(1000, null)).toBe(false)
    expect(isExhausted(0, 0)).toBe(true)
  })
})

describe('self.retry()', () => {
  it('TSK-079 TSK-062 TSK-107 SIG-008 CNV-058 sends the message again and ends the run as RETRY', async () => {
    const host = new TestHost()
    const reasons: unknown[] = []
    host.signals.taskRetry.connect(({ reason }) => reasons.push(reason))
    host.signals.taskPostrun.connect(({ state }) => host.events.push(`postrun ${state}`))
    host.define('t', (self) => self.retry({ exc: new TypeError('again'), countdown: 3 }), {
      handlers: {
        onRetry: (_self, error) => void host.events.push(`onRetry ${String(error)}`),
        afterReturn: () => void host.events.push('afterReturn'),
      },
    })
    const outcome = await execute(testRequest('t', [], { message: { retries: 1 } }), host)
    expect(host.resent[0]?.change).toEqual({ retries: 2, countdown: 3 })
    expect(host.events).toEqual([
      'body',
      'resend',
      'store RETRY',
      'onRetry TypeError: again',
      'postrun RETRY',
    ])
    expect(outcome).toMatchObject({
      kind: 'retried',
      when: 'in 3s',
      error: { type: 'TypeError', args: ['again'] },
    })
    expect(reasons).toHaveLength(1)
    const meta = await host.backend.fetch('t-1')
    expect(meta).toMatchObject({ state: 'RETRY', children: [[['t-1', null], null]], dateDone: undefined })
    expect(host.logged('info')).toEqual(["Task t[t-1] retry: Retry in 3s: TypeError('again')"])
  })

  it('TSK-083 TSK-006 TSK-087 waits the default delay, and stores null when there is no error', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.retry())
    expect(await execute(testRequest('t'), host)).toMatchObject({
      kind: 'retried',
      error: undefined,
      when: 'in 180s',
    })
    expect(host.resent[0]?.change).toEqual({ retries: 1, countdown: 180 })
    expect(host.stored[0]?.result).toBeNull()
    expect(host.logged('info')).toEqual(['Task t[t-1] retry: Retry in 180s'])
    host.define('t', (self) => self.retry(), { defaultRetryDelay: 7 })
    expect(await execute(testRequest('t'), host)).toMatchObject({ kind: 'retried', when: 'in 7s' })
  })

  it('TSK-079 passes new arguments and call options on; an eta wins over the countdown', async () => {
    const host = new TestHost()
    host.define('t', (self) =>
      self.retry({ args: [2], kwargs: { a: 1 }, countdown: 3, eta: '2030-01-01', queue: 'q' }),
    )
    expect(await execute(testRequest('t'), host)).toMatchObject({ when: 'at 2030-01-01' })
    expect(host.resent[0]?.change).toEqual({
      args: [2],
      kwargs: { a: 1 },
      retries: 1,
      eta: '2030-01-01',
      options: { queue: 'q' },
    })
  })

  it('TSK-080 TSK-005 after the last attempt throws the error that was given and sends nothing', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.retry({ exc: new RangeError('last') }), { maxRetries: 1 })
    const outcome = await execute(testRequest('t', [], { message: { retries: 1 } }), host)
    expect(outcome).toMatchObject({ kind: 'failed', error: { type: 'ValueError', args: ['last'] } })
    expect(host.resent).toEqual([])
  })

  it('TSK-080 TSK-112 without an error throws MaxRetriesExceededError in Celery’s words', async () => {
    const host = new TestHost()
    let caught: unknown
    host.define('t', async (self) => {
      try {
        await self.retry({ maxRetries: 0 })
      } catch (error) {
        caught = error
        throw error
      }
    })
    const outcome = await execute(testRequest('t', [1, 'x'], { body: { kwargs: { k: null } } }), host)
    expect(caught).toBeInstanceOf(MaxRetriesExceededError)
    expect(outcome).toMatchObject({
      error: {
        type: 'MaxRetriesExceededError',
        module: 'celery.exceptions',
        args: ["Can't retry t[t-1] args:(1, 'x') kwargs:{'k': None}"],
      },
    })
  })

  it('TSK-081 maxRetries of a call wins over the task’s; null retries for ever', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.retry({ maxRetries: null }), { maxRetries: 0 })
    expect(await execute(testRequest('t', [], { message: { retries: 99 } }), host)).toMatchObject({
      kind: 'retried',
    })
  })

  it('TSK-086 a broker that does not take the retry makes it a Reject without requeue', async () => {
    const host = new TestHost()
    host.failure.resend = new Error('broker away')
    host.define('t', (self) => self.retry())
    expect(await execute(testRequest('t'), host)).toMatchObject({ kind: 'rejected', requeue: false })
  })

  it('TSK-088 with throw: false the run goes on to its own end', async () => {
    const host = new TestHost()
    host.define('t', async (self) => {
      const retry = await self.retry({ throw: false, countdown: 1 })
      return retry instanceof Retry
    })
    expect(await execute(testRequest('t'), host)).toMatchObject({ kind: 'succeeded', resultRepr: 'True' })
    expect(host.resent).toHaveLength(1)
  })

  it('TSK-079 counts when it is thrown as in Python, and when its promise is forgotten', async () => {
    const host = new TestHost()
    host.define('thrown', (self) => {
      throw self.retry()
    })
    host.define('forgotten', (self) => {
      void self.retry()
      return 5
    })
    expect(await execute(testRequest('thrown'), host)).toMatchObject({ kind: 'retried' })
    expect(await execute(testRequest('forgotten'), host)).toMatchObject({ kind: 'retried' })
    expect(host.resent).toHaveLength(2)
  })

  it('TSK-082 without a message throws the error that was given, or a Retry', async () => {
    const host = new TestHost()
    const task = host.define('t', () => 5)
    const self = new DirectTask({ task, host, args: [], kwargs: {} })
    await expect(self.retry({ exc: new TypeError('x') })).rejects.toThrow(TypeError)
    await expect(self.retry()).rejects.toThrow('Task can be retried')
    expect(self.request).toMatchObject({ calledDirectly: true, id: '' })
  })
})

describe('autoretry', () => {
  const failing = (): never => {
    throw new RangeError('flaky')
  }

  it('TSK-023 TSK-100 TSK-101 retries by itself with the next delay', async () => {
    const host = new TestHost()
    host.define('t', failing, {
      autoretryFor: [RangeError],
      retryBackoff: true,
      retryJitter: false,
      maxRetries: 5,
    })
    const outcome = await execute(testRequest('t', [], { message: { retries: 3 } }), host)
    expect(outcome).toMatchObject({ kind: 'retried', when: 'in 8s', error: { args: ['flaky'] } })
  })

  it('TSK-102 draws its jitter from the app', async () => {
    const host = new TestHost()
    host.define('t', failing, { autoretryFor: [RangeError], retryBackoff: 10 })
    expect(await execute(testRequest('t'), host)).toMatchObject({ when: 'in 5s' })
  })

  it('TSK-104 fails with the error itself after the last attempt', async () => {
    const host = new TestHost()
    host.define('t', failing, { autoretryFor: [RangeError], retryKwargs: { maxRetries: 2, countdown: 0 } })
    const attempt = (retries: number) => execute(testRequest('t', [], { message: { retries } }), host)
    expect(await attempt(1)).toMatchObject({ kind: 'retried' })
    expect(await attempt(2)).toMatchObject({ kind: 'failed', error: { type: 'ValueError', args: ['flaky'] } })
  })

  it('TSK-081 goes on with the maxRetries of the retry() that gave up', async () => {
    const host = new TestHost()
    const body = (self: TaskContext) => self.retry({ exc: new RangeError('flaky'), maxRetries: 1 })
    host.define('t', body, { autoretryFor: [RangeError], maxRetries: 9 })
    const outcome = await execute(testRequest('t', [], { message: { retries: 1 } }), host)
    expect(outcome).toMatchObject({ kind: 'failed', error: { args: ['flaky'] } })
  })
})
