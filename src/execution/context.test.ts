import { describe, expect, it } from 'vitest'
import { SoftTimeLimitExceeded } from '../errors.js'
import type { TaskContext } from './context.js'
import { currentTask, runInContext } from './context.js'
import { execute } from './execute.js'
import { RunAbandoned, RunGate } from './run-gate.js'
import { sig, TestHost, testRequest } from './test-host.conformance.js'

describe('self.request', () => {
  it('TSK-033 TSK-034 TSK-035 TSK-036 TSK-037 TSK-038 TSK-039 TSK-040 TSK-041 TSK-042 TSK-043 TSK-044 shows the message', async () => {
    const host = new TestHost()
    let self: TaskContext | undefined
    host.define('t', (given) => {
      self = given
    })
    const body = {
      kwargs: { k: 2 },
      callbacks: [sig('c')],
      errbacks: [sig('e')],
      chain: [sig('n')],
      chord: sig('b'),
    }
    const message = {
      rootId: 'r',
      parentId: 'p',
      groupId: 'g',
      groupIndex: 3,
      retries: 1,
      eta: '2026-01-01T00:00:00+00:00',
      expires: '2026-01-02T00:00:00+00:00',
      timeLimit: 60,
      softTimeLimit: 50,
      replyTo: 'reply',
      correlationId: 'corr',
    }
    await execute(testRequest('t', [1], { message, body, priority: 4 }), host)
    expect(self?.name).toBe('t')
    expect(self?.request).toMatchObject({
      id: 't-1',
      task: 't',
      rootId: 'r',
      parentId: 'p',
      args: [1],
      kwargs: { k: 2 },
      group: 'g',
      groupIndex: 3,
      chord: { task: 'b' },
      chain: [{ task: 'n' }],
      callbacks: [{ task: 'c' }],
      errbacks: [{ task: 'e' }],
      retries: 1,
      eta: '2026-01-01T00:00:00+00:00',
      expires: '2026-01-02T00:00:00+00:00',
      timelimit: [60, 50],
      timeLimit: 60,
      softTimeLimit: 50,
      replyTo: 'reply',
      correlationId: 'corr',
      deliveryInfo: { exchange: '', routingKey: 'celery', priority: 4, redelivered: false, isEager: false },
    })
  })

  it('TSK-045 TSK-046 TSK-047 TSK-048 TSK-049 TSK-050 TSK-051 TSK-052 TSK-054 TSK-055 TSK-057 shows the rest of it', async () => {
    const host = new TestHost()
    let request: TaskContext['request'] | undefined
    host.define('t', (self) => {
      request = self.request
    })
    const message = {
      properties: { correlationId: 'c', deliveryMode: 2 as const, extra: { mine: 1 } },
      headers: { 'X-Foo': 'bar' },
      shadow: 'dusk',
      ignoreResult: true,
      replacedTaskNesting: 2,
      stampedHeaders: ['s'],
      stamps: { s: 'v' },
    }
    await execute(testRequest('t', [], { message }), host)
    expect(request).toMatchObject({
      properties: { correlation_id: 'c', delivery_mode: 2, mine: 1 },
      headers: { 'X-Foo': 'bar' },
      hostname: 'celery@test',
      origin: 'gen1@host',
      argsRepr: '(args)',
      kwargsRepr: '{}',
      shadow: 'dusk',
      ignoreResult: true,
      isEager: false,
      calledDirectly: false,
      replacedTaskNesting: 2,
      stampedHeaders: ['s'],
      stamps: { s: 'v' },
      utc: true,
      lang: 'py',
    })
    await execute(testRequest('t'), host)
    expect(request?.headers).toBeUndefined()
  })
})

describe('what self can do', () => {
  it('TSK-090 updateState stores any state with its meta, for this task or another', async () => {
    const host = new TestHost()
    host.define('t', async (self) => {
      await self.updateState({ state: 'PROGRESS', meta: { done: 1 } })
      await self.updateState({ state: 'ODD', taskId: 'other' })
    })
    await execute(testRequest('t', [], { message: { groupId: 'g' } }), host)
    expect(host.stored.slice(0, 2)).toMatchObject([
      { taskId: 't-1', state: 'PROGRESS', result: { done: 1 }, groupId: 'g', dateDone: undefined },
      { taskId: 'other', state: 'ODD', result: null },
    ])
  })

  it('TSK-095 TSK-056 TSK-009 addTrail makes a result a child, unless trail is off', async () => {
    const host = new TestHost()
    const child = { asTuple: () => [['c', null], null] }
    const body = (self: TaskContext): number => {
      self.addTrail(child)
      return self.request.children.length
    }
    host.define('on', body)
    host.define('off', body, { trail: false })
    expect(await execute(testRequest('on'), host)).toMatchObject({ resultRepr: '1' })
    expect(await execute(testRequest('off'), host)).toMatchObject({ resultRepr: '0' })
    expect((await host.backend.fetch('on-1'))?.children).toEqual([[['c', null], null]])
  })

  it('TST-021 isAborted reads the state ABORTED', async () => {
    const host = new TestHost()
    host.define('t', async (self) => {
      const before = await self.isAborted()
      await self.updateState({ state: 'ABORTED' })
      return [before, await self.isAborted()]
    })
    expect(await execute(testRequest('t'), host)).toMatchObject({ resultRepr: '[False, True]' })
  })

  it('binds id and name to its log', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.log.info({ n: 1 }, 'hello'))
    await execute(testRequest('t'), host)
    expect(host.lines[0]).toEqual({
      level: 'info',
      text: 'hello',
      fields: { task_id: 't-1', task_name: 't', n: 1 },
    })
  })

  it('TSK-109 checkpoint throws the soft limit once', async () => {
    const host = new TestHost()
    const seen: boolean[] = []
    host.define('t', (self) => {
      for (let round = 0; round < 2; round++) {
        try {
          self.checkpoint()
          seen.push(false)
        } catch (error) {
          seen.push(error instanceof SoftTimeLimitExceeded)
        }
      }
    })
    await execute(testRequest('t'), host, { signal: () => AbortSignal.abort(new SoftTimeLimitExceeded(1)) })
    expect(seen).toEqual([true, false])
  })

  it('runInContext with undefined hides the outer task', async () => {
    const host = new TestHost()
    host.define('t', () => runInContext(undefined, () => currentTask() === undefined))
    expect(await execute(testRequest('t'), host)).toMatchObject({ resultRepr: 'True' })
  })
})

describe('RunGate', () => {
  it('refuses effects once closed, and waits for the one under way', async () => {
    const host = new TestHost()
    const gate = new RunGate()
    let finish: () => void = () => {}
    const effect = gate.effect(
      () =>
        new Promise<void>((resolve) => {
          finish = resolve
        }),
    )
    effect.catch(() => {})
    await Promise.resolve()
    gate.close('it was late')
    let isIdle = false
    const idle = gate.idle(host.clock, 1000).then(() => {
      isIdle = true
    })
    await expect(gate.effect(() => 5)).rejects.toThrow(RunAbandoned)
    expect(isIdle).toBe(false)
    finish()
    await idle
    await expect(effect).rejects.toThrow('it was late')
  })
})
