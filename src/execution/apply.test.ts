import { describe, expect, it } from 'vitest'
import { Retry } from '../errors.js'
import { applyTask, type EagerCall } from './apply.js'
import type { TaskContext } from './context.js'
import { sig, TestHost } from './test-host.conformance.js'

const call = (name: string, args: readonly unknown[] = [], more: Partial<EagerCall> = {}): EagerCall => ({
  name,
  args,
  kwargs: {},
  argsAsTuple: true,
  options: {},
  ...more,
})

describe('applyTask', () => {
  it('TST-003 TST-006 TST-014 runs here with signals and handlers, and gives the very value back', async () => {
    const host = new TestHost()
    host.signals.taskPrerun.connect(() => host.events.push('prerun'))
    host.signals.taskPostrun.connect(() => host.events.push('postrun'))
    const value = { live: () => 1 }
    let request: TaskContext['request'] | undefined
    const task = host.define(
      't',
      (self) => {
        request = self.request
        return value
      },
      { handlers: { onSuccess: () => void host.events.push('onSuccess') } },
    )
    const result = await applyTask(
      task,
      call('t', [1], { options: { taskId: 'x', headers: { h: 1 } } }),
      host,
    )
    expect(await result.get()).toBe(value)
    expect(result.id).toBe('x')
    expect(host.events).toEqual(['prerun', 'body', 'onSuccess', 'postrun'])
    expect(request).toMatchObject({
      id: 'x',
      rootId: 'x',
      parentId: undefined,
      isEager: true,
      calledDirectly: false,
      headers: { h: 1 },
      argsRepr: '(1,)',
    })
  })

  it('TST-004 gives a failed result, or throws the error when asked to, and then calls no errback', async () => {
    const host = new TestHost()
    const task = host.define('t', () => {
      throw new TypeError('x')
    })
    const options = { linkError: sig('eb') }
    const result = await applyTask(task, call('t', [], { options }), host)
    expect(await result.state()).toBe('FAILURE')
    expect(await result.traceback()).toContain('TypeError: x')
    await expect(result.get()).rejects.toThrow('x')
    expect(host.sent).toHaveLength(1)
    await expect(applyTask(task, call('t', [], { options, throws: true }), host)).rejects.toThrow(TypeError)
    expect(host.sent).toHaveLength(1)
    const strict = new TestHost({ eagerPropagates: true })
    const same = strict.define('t', () => {
      throw new TypeError('x')
    })
    await expect(applyTask(same, call('t'), strict)).rejects.toThrow(TypeError)
  })

  it('TST-005 TSK-089 retries at once, with new arguments, until maxRetries', async () => {
    const host = new TestHost()
    const seen: unknown[] = []
    const task = host.define('t', (self, x: number) => {
      seen.push([x, self.request.retries])
      return x < 3 ? self.retry({ args: [x + 1], countdown: 1000 }) : x
    })
    expect(await (await applyTask(task, call('t', [1]), host)).get()).toBe(3)
    expect(seen).toEqual([
      [1, 0],
      [2, 1],
      [3, 2],
    ])
    const forever = host.define('f', (self) => self.retry({ exc: new RangeError('enough') }), {
      maxRetries: 2,
    })
    const failed = await applyTask(forever, call('f'), host)
    await expect(failed.get()).rejects.toThrow('enough')
    expect(host.resent).toEqual([])
  })

  it('TST-004 throws the Retry itself when errors are to be thrown, as Celery does', async () => {
    const host = new TestHost()
    const task = host.define('t', (self) => self.retry())
    await expect(applyTask(task, call('t', [], { throws: true }), host)).rejects.toThrow(Retry)
  })

  it('TSK-064 gives afterReturn no error beside the value, and needs no handlers at all', async () => {
    const host = new TestHost()
    const seen: unknown[] = []
    const error = new RangeError('no')
    const body = (): never => {
      throw error
    }
    const afterReturn = (_self: TaskContext, ...rest: unknown[]): void => void seen.push(rest)
    const task = host.define('t', body, { handlers: { afterReturn } })
    await applyTask(task, call('t', [1], { options: { taskId: 'x' } }), host)
    expect(seen).toEqual([['FAILURE', error, 'x', [1], {}]])
    expect(await (await applyTask(host.define('bare', body), call('bare'), host)).state()).toBe('FAILURE')
  })

  it('TSK-098 runs with the request that a test wants', async () => {
    const host = new TestHost()
    let seen: TaskContext['request'] | undefined
    const task = host.define('t', (self) => {
      seen = self.request
    })
    const options = { taskId: 'x', retries: 2, headers: { tenant: 'acme' }, priority: 7, groupId: 'g' }
    await applyTask(task, call('t', [], { options }), host)
    expect(seen).toMatchObject({ id: 'x', retries: 2, headers: { tenant: 'acme' }, group: 'g' })
    expect(seen?.deliveryInfo.priority).toBe(7)
  })

  it('TST-007 TSK-028 stores nothing unless store_eager_result', async () => {
    const host = new TestHost()
    await applyTask(
      host.define('t', () => 5),
      call('t'),
      host,
    )
    expect(host.stored).toEqual([])
    await applyTask(
      host.define('t', () => 5, { storeEagerResult: true }),
      call('t'),
      host,
    )
    expect(host.stored.map((meta) => meta.state)).toEqual(['SUCCESS'])
  })

  it('TST-008 TST-011 sends callbacks, and is the child of the task that it runs in', async () => {
    const host = new TestHost()
    let inner: TaskContext['request'] | undefined
    const child = host.define('child', (self) => {
      inner = self.request
    })
    const outer = host.define('outer', async () => {
      await applyTask(child, call('child'), host)
    })
    await applyTask(outer, call('outer', [], { options: { taskId: 'o', link: sig('cb') } }), host)
    expect(inner).toMatchObject({ parentId: 'o', rootId: 'o' })
    expect(host.sent.map((one) => one.signature['task'])).toEqual(['cb'])
  })

  it('TST-013 updateState stores as usual', async () => {
    const host = new TestHost()
    const task = host.define('t', (self) => self.updateState({ state: 'HALF', meta: { done: 0.5 } }))
    await applyTask(task, call('t', [], { options: { taskId: 'x' } }), host)
    expect(host.stored).toMatchObject([{ taskId: 'x', state: 'HALF', result: { done: 0.5 } }])
  })
})
