import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { describe, expect, it } from 'vitest'
import { BackendUnavailableError, Ignore, Reject, RemoteTaskError } from '../errors.js'
import { FakeClock } from '../testing/fake-clock.js'
import { currentTask } from './context.js'
import { execute } from './execute.js'
import type { TaskHandlers } from './host.js'
import { SuccessSet } from './success-set.js'
import { sig, TestHost, testRequest } from './test-host.conformance.js'

function hooks(host: TestHost): TaskHandlers {
  return {
    beforeStart: () => void host.events.push('beforeStart'),
    onSuccess: () => void host.events.push('onSuccess'),
    onFailure: () => void host.events.push('onFailure'),
    onRetry: () => void host.events.push('onRetry'),
    afterReturn: (_self, state) => void host.events.push(`afterReturn ${state}`),
  }
}

function listen(host: TestHost): void {
  const { taskPrerun, taskPostrun, taskSuccess, taskFailure, taskRetry, taskInternalError } = host.signals
  taskPrerun.connect(() => host.events.push('prerun'))
  taskPostrun.connect(({ state }) => host.events.push(`postrun ${state}`))
  taskSuccess.connect(() => host.events.push('success'))
  taskFailure.connect(() => host.events.push('failure'))
  taskRetry.connect(() => host.events.push('retry'))
  taskInternalError.connect(() => host.events.push('internal error'))
}

describe('a run that succeeds', () => {
  it('TSK-059 TSK-060 TSK-014 SIG-005 SIG-006 SIG-007 goes through its steps in Celery’s order', async () => {
    const host = new TestHost()
    listen(host)
    host.define('t', () => 5, { trackStarted: true, handlers: hooks(host) })
    const request = testRequest('t', [], {
      body: { callbacks: [sig('cb')], chain: [sig('last'), sig('next')] },
    })
    const outcome = await execute(request, host, { pid: 7 })
    expect(host.events).toEqual([
      'prerun',
      'store STARTED',
      'beforeStart',
      'body',
      'send cb',
      'send next',
      'store SUCCESS',
      'onSuccess',
      'success',
      'afterReturn SUCCESS',
      'postrun SUCCESS',
    ])
    expect(outcome).toEqual({ kind: 'succeeded', resultRepr: '5', seconds: 0 })
  })

  it('RES-014 stores pid and node name with STARTED', async () => {
    const host = new TestHost()
    host.define('t', () => 5, { trackStarted: true })
    await execute(testRequest('t'), host, { pid: 7 })
    expect(host.stored[0]).toMatchObject({
      state: 'STARTED',
      result: { pid: 7, hostname: 'celery@test' },
      dateDone: undefined,
    })
  })

  it('TSK-060 RES-008 RES-009 RES-010 stores children, group, parent and the moment with the value', async () => {
    const host = new TestHost()
    host.define('t', () => ({ a: 1 }))
    const request = testRequest('t', [], {
      message: { groupId: 'g', parentId: 'p' },
      body: { callbacks: [sig('cb', [], { options: { task_id: 'c1' } })] },
    })
    await execute(request, host)
    expect(await host.backend.fetch('t-1')).toEqual({
      taskId: 't-1',
      state: 'SUCCESS',
      result: { a: 1 },
      traceback: undefined,
      children: [[['c1', null], null]],
      dateDone: '2026-01-01T00:00:00+00:00',
      groupId: 'g',
      parentId: 'p',
    })
  })

  it('RES-011 stores name, arguments, worker, retries, queue and stamps with result_extended', async () => {
    const host = new TestHost({ resultExtended: true })
    host.define('t', (_self, x: number) => x)
    await execute(
      testRequest('t', [3], { message: { retries: 2, stampedHeaders: ['s'], stamps: { s: 'v' } } }),
      host,
    )
    expect(host.stored[0]?.extended).toEqual({
      name: 't',
      args: [3],
      kwargs: {},
      worker: 'celery@test',
      retries: 2,
      queue: 'celery',
      stamped_headers: ['s'],
      s: 'v',
    })
  })

  it('TSK-008 TSK-051 stores nothing when the result is ignored, whichever of task and message says so', async () => {
    const host = new TestHost()
    host.define('ignoring', () => 5, { ignoreResult: true, trackStarted: true })
    host.define('plain', () => 5, { trackStarted: true })
    await execute(testRequest('ignoring'), host)
    await execute(testRequest('plain', [], { message: { ignoreResult: true } }), host)
    expect(host.stored).toEqual([])
    await execute(testRequest('ignoring', [], { message: { id: 'wanted', ignoreResult: false } }), host)
    expect(host.stored.map((meta) => [meta.taskId, meta.state])).toEqual([
      ['wanted', 'STARTED'],
      ['wanted', 'SUCCESS'],
    ])
  })

  it('TSK-073 TSK-022 TSK-050 says so in Celery’s words, with the shadow name and a cut repr', async () => {
    const host = new TestHost()
    host.define('t', () => 'x'.repeat(50), { resultReprMaxsize: 10 })
    const outcome = await execute(testRequest('t', [], { message: { shadow: 'dusk' } }), host)
    const [line] = host.lines
    expect(line?.level).toBe('info')
    expect(line?.text).toMatch(/^Task dusk\[t-1\] succeeded in 0s: 'x+\.\.\.'?$/)
    expect(line?.fields).toMatchObject({ task_id: 't-1', task_name: 'dusk', runtime: 0, args: '(args)' })
    expect(outcome).toMatchObject({ kind: 'succeeded' })
    expect((outcome as { resultRepr: string }).resultRepr.length).toBeLessThan(20)
  })

  it('RES-015 stores the tuple of a value that is a result', async () => {
    const host = new TestHost()
    host.define('t', () => ({ asTuple: () => [['other', null], null] }))
    await execute(testRequest('t'), host)
    expect(host.stored[0]?.result).toEqual([['other', null], null])
  })

  it('TSK-033 makes the running task known to everything that the body calls, and to nobody else', async () => {
    const host = new TestHost()
    const seen: (string | undefined)[] = []
    host.define('t', async () => {
      await Promise.resolve()
      seen.push(currentTask()?.request.id)
    })
    await Promise.all([
      execute(testRequest('t', [], { message: { id: 'a' } }), host),
      execute(testRequest('t', [], { message: { id: 'b' } }), host),
    ])
    expect(seen.sort()).toEqual(['a', 'b'])
    expect(currentTask()).toBeUndefined()
  })
})

describe('a run that fails', () => {
  it('TSK-061 SIG-009 CNV-054 stores, spreads, tells and logs in Celery’s order', async () => {
    const host = new TestHost()
    listen(host)
    host.define(
      't',
      () => {
        throw new TypeError('boom')
      },
      { handlers: hooks(host) },
    )
    const step = sig('next', [], { options: { task_id: 'n1', group_id: 'g' } })
    const request = testRequest('t', [], {
      body: { chain: [step], errbacks: [sig('eb')], callbacks: [sig('cb')] },
    })
    const outcome = await execute(request, host)
    expect(host.events).toEqual([
      'prerun',
      'beforeStart',
      'body',
      'store FAILURE',
      'store FAILURE',
      'send eb',
      'onFailure',
      'failure',
      'afterReturn FAILURE',
      'postrun FAILURE',
    ])
    expect(outcome).toMatchObject({
      kind: 'failed',
      expected: false,
      error: { type: 'TypeError', module: 'builtins', args: ['boom'] },
    })
    const next = await host.backend.fetch('n1')
    expect(next).toMatchObject({
      state: 'FAILURE',
      groupId: 'g',
      result: { type: 'TypeError', args: ['boom'] },
    })
    expect(host.logged('error')).toEqual(["Task t[t-1] raised unexpected: TypeError('boom')"])
  })

  it('TSK-019 TSK-073 an expected error is news, not an alarm', async () => {
    const host = new TestHost()
    host.define(
      't',
      () => {
        throw new RangeError('low')
      },
      { throws: [RangeError] },
    )
    expect(await execute(testRequest('t'), host)).toMatchObject({ kind: 'failed', expected: true })
    expect(host.logged('info')).toEqual(["Task t[t-1] raised expected: ValueError('low')"])
    expect(host.logged('error')).toEqual([])
  })

  it('TSK-011 stores errors of ignored results only when asked to', async () => {
    const host = new TestHost()
    const fail = (): never => {
      throw new Error('x')
    }
    host.define('quiet', fail, { ignoreResult: true })
    host.define('loud', fail, { ignoreResult: true, storeErrorsEvenIfIgnored: true })
    await execute(testRequest('quiet'), host)
    await execute(testRequest('loud'), host)
    expect(host.stored.map((meta) => meta.taskId)).toEqual(['loud-1'])
  })

  it('RES-012 RES-013 keeps the class, arguments and traceback of an error from another task', async () => {
    const host = new TestHost()
    const remote = { type: 'KeyError', module: 'builtins', args: ['k', 1], traceback: 'there' }
    host.define('t', () => {
      throw new RemoteTaskError('o', remote, 'k')
    })
    await execute(testRequest('t'), host)
    const meta = await host.backend.fetch('t-1')
    expect(meta?.result).toMatchObject({ type: 'KeyError', module: 'builtins', args: ['k', 1] })
    expect(meta?.traceback).toContain('RemoteTaskError')
  })

  it('TSK-066 a value that cannot be written is the task’s failure', async () => {
    const host = new TestHost()
    listen(host)
    host.define('t', () => Symbol('no'), { handlers: hooks(host) })
    expect(await execute(testRequest('t'), host)).toMatchObject({
      kind: 'failed',
      error: { type: 'EncodeError' },
    })
    expect(host.events).toContain('afterReturn FAILURE')
    expect(host.events).not.toContain('onSuccess')
    expect((await host.backend.fetch('t-1'))?.state).toBe('FAILURE')
  })

  it('TSK-065 an error in beforeStart is the body’s', async () => {
    const host = new TestHost()
    host.define('t', () => 5, {
      handlers: {
        beforeStart: () => {
          throw new Error('early')
        },
      },
      autoretryFor: [Error],
    })
    expect(await execute(testRequest('t'), host)).toMatchObject({
      kind: 'failed',
      error: { args: ['early'] },
    })
    expect(host.events).not.toContain('body')
    expect(host.resent).toEqual([])
  })

  it('TSK-065 SIG-010 an error in onSuccess is an internal error, and a stored SUCCESS stays', async () => {
    const host = new TestHost()
    listen(host)
    host.define('t', () => 5, {
      handlers: {
        onSuccess: () => {
          throw new Error('hook')
        },
      },
    })
    expect(await execute(testRequest('t'), host)).toMatchObject({ kind: 'failed', error: { args: ['hook'] } })
    expect(host.events).toContain('internal error')
    expect(host.logged('fatal')).toEqual(["Task t[t-1] INTERNAL ERROR: Exception('hook')"])
    expect((await host.backend.fetch('t-1'))?.state).toBe('SUCCESS')
  })

  it('ACK-029 a result store that is away ends in a failure that says it is not stored', async () => {
    const host = new TestHost()
    listen(host)
    host.define('t', () => 5)
    host.failure.store = () => new BackendUnavailableError('away')
    const outcome = await execute(testRequest('t'), host)
    expect(outcome).toMatchObject({ kind: 'failed', isUnstored: true, error: { args: ['away'] } })
    expect(host.events).toEqual(['prerun', 'body', 'postrun SUCCESS', 'internal error'])
  })

  it('ACK-029 a store that comes back in time keeps the failure', async () => {
    const host = new TestHost()
    host.define('t', () => 5)
    host.failure.store = (meta) =>
      meta.state === 'SUCCESS' ? new BackendUnavailableError('away') : undefined
    const outcome = await execute(testRequest('t'), host)
    expect(outcome).toMatchObject({ kind: 'failed' })
    expect(outcome).not.toHaveProperty('isUnstored')
    expect((await host.backend.fetch('t-1'))?.state).toBe('FAILURE')
  })

  it('ends in an outcome when an interceptor throws, before or after the run', async () => {
    const host = new TestHost()
    host.define('t', () => 5)
    host.wrapsRuns = true
    host.around = async (_request, run) => {
      await run()
      throw new Error('tracing broke')
    }
    expect(await execute(testRequest('t'), host)).toMatchObject({ kind: 'succeeded' })
    host.around = () => Promise.reject(new Error('tracing broke'))
    expect(await execute(testRequest('t'), host)).toMatchObject({ kind: 'failed', isUnstored: true })
    host.around = () => {
      throw new Error('tracing broke')
    }
    expect(await execute(testRequest('t'), host)).toMatchObject({ kind: 'failed', isUnstored: true })
  })

  it('rejects a message whose task is not there', async () => {
    const host = new TestHost()
    expect(await execute(testRequest('nobody'), host)).toMatchObject({
      kind: 'rejected',
      requeue: false,
      error: { type: 'NotRegistered', args: ['nobody'] },
    })
  })
})

describe('verdicts', () => {
  it('TSK-063 TSK-105 CNV-057 Ignore stores nothing, calls nothing, and the chain stops', async () => {
    const host = new TestHost()
    listen(host)
    host.define(
      't',
      () => {
        throw new Ignore()
      },
      { handlers: hooks(host) },
    )
    const outcome = await execute(
      testRequest('t', [], { body: { chain: [sig('n')], errbacks: [sig('e')] } }),
      host,
    )
    expect(outcome).toEqual({ kind: 'ignored' })
    expect(host.events).toEqual(['prerun', 'beforeStart', 'body', 'postrun IGNORED'])
    expect(host.logged('info')).toEqual(['Task t[t-1] ignored'])
  })

  it('TSK-063 TSK-106 Reject says whether the message goes back', async () => {
    const host = new TestHost()
    listen(host)
    host.define(
      't',
      () => {
        throw new Reject('not mine', true)
      },
      { handlers: hooks(host) },
    )
    expect(await execute(testRequest('t'), host)).toMatchObject({ kind: 'rejected', requeue: true })
    expect(host.events).toEqual(['prerun', 'beforeStart', 'body', 'postrun REJECTED'])
    expect(host.logged('warn')).toEqual(['Task t[t-1] reject requeue=True: not mine'])
  })
})

describe('deduplication', () => {
  it('TSK-072 a redelivered task that has succeeded does not run again, and is not sent on twice', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'celeriac-execute-'))
    try {
      const host = new TestHost({ deduplicateSuccessful: true, backendUrl: pathToFileURL(folder).href })
      host.define('t', () => 5, { acksLate: true })
      const successes = new SuccessSet(host.clock)
      const body = { callbacks: [sig('cb')] }
      await execute(testRequest('t', [], { body }), host)
      const again = await execute(testRequest('t', [], { body, redelivered: true }), host, { successes })
      expect(again).toEqual({ kind: 'succeeded', resultRepr: 'None', seconds: 0 })
      expect(host.events.filter((event) => event === 'body')).toHaveLength(1)
      expect(host.sent).toHaveLength(1)
      expect(host.logged('info')).toContain('Task t[t-1] Task already completed successfully.')
      expect(successes.has('t-1')).toBe(true)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('TSK-072 what the first run did not send is sent then, or the message goes back', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'celeriac-execute-'))
    try {
      const host = new TestHost({ deduplicateSuccessful: true, backendUrl: pathToFileURL(folder).href })
      host.define('t', () => 5, { acksLate: true })
      await execute(testRequest('t'), host)
      const redelivered = testRequest('t', [], { body: { chain: [sig('next')] }, redelivered: true })
      host.failure.send = new Error('broker away')
      expect(await execute(redelivered, host)).toMatchObject({ kind: 'rejected', requeue: true })
      delete host.failure.send
      expect(await execute(redelivered, host)).toMatchObject({ kind: 'succeeded' })
      expect(host.sent[0]?.signature['args']).toEqual([5])
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  it('TSK-072 forgets the oldest ids, and those that are too old', async () => {
    const clock = new FakeClock()
    const set = new SuccessSet(clock, { maxSize: 2, lifetimeSeconds: 10 })
    for (const id of ['a', 'b', 'c']) set.add(id)
    expect(['a', 'b', 'c'].map((id) => set.has(id))).toEqual([false, true, true])
    await clock.advance(10_001)
    expect(set.has('c')).toBe(false)
  })
})

describe('an imperfect message', () => {
  it('WRK-031 fails with a TypeError, which its caller sees, when Python could not have spread its arguments', async () => {
    const host = new TestHost()
    host.define('t', () => 5, { trackStarted: true })
    const argsError = 'task args must be a list or tuple, not null'
    const outcome = await execute(testRequest('t', [], { body: { argsError } }), host)
    expect(outcome).toMatchObject({ kind: 'failed', error: { type: 'TypeError', args: [argsError] } })
    expect(host.events).toEqual(['store STARTED', 'store FAILURE'])
  })

  it('WRK-031 runs a message without an id, and stores nothing of it', async () => {
    const host = new TestHost({ deduplicateSuccessful: true })
    const seen: unknown[] = []
    host.define(
      't',
      async (self) => {
        await self.updateState({ state: 'PROGRESS' })
        seen.push(await self.isAborted())
      },
      { trackStarted: true, acksLate: true },
    )
    const successes = new SuccessSet(host.clock)
    for (const redelivered of [false, true]) {
      const request = testRequest('t', [], { message: { id: '' }, redelivered })
      expect((await execute(request, host, { successes })).kind).toBe('succeeded')
    }
    expect(seen).toEqual([false, false])
    expect(host.stored).toEqual([])
    expect(host.logged('error')).toEqual([])
    expect(host.logged('fatal')).toEqual([])
  })

  it('WRK-031 stores no failure either where there is no id', async () => {
    const host = new TestHost()
    host.define('t', () => {
      throw new RangeError('no')
    })
    const outcome = await execute(testRequest('t', [], { message: { id: '' } }), host)
    expect(outcome).toMatchObject({ kind: 'failed', error: { args: ['no'] } })
    expect(host.stored).toEqual([])
    expect(host.logged('fatal')).toEqual([])
  })
})
