import { describe, expect, it } from 'vitest'
import { BackendUnavailableError } from '../errors.js'
import { execute } from '../execution/execute.js'
import type { RunnableTask } from '../execution/host.js'
import { sig, TestHost, testRequest } from '../execution/test-host.conformance.js'
import { type BuiltinFunction, registerBuiltins } from './builtins.js'
import { bindArguments, parametersOf } from './parameters.js'

/** A host whose built-in tasks take keyword arguments as an app's do. */
function setUp(): { readonly host: TestHost; readonly defined: string[] } {
  const host = new TestHost()
  const defined: string[] = []
  registerBuiltins(host, {
    chordRetryInterval: 1,
    define(name, definition, run: BuiltinFunction) {
      defined.push(name)
      const { params, bind: _bind, ...options } = definition
      const parameters = parametersOf(run, params, 1)
      const task: RunnableTask = host.define(name, () => undefined, options)
      const bound: RunnableTask['run'] = (self, args, kwargs) =>
        run(self, ...bindArguments(name, parameters, args, kwargs).args)
      Object.assign(task, { run: bound })
    },
  })
  return { host, defined }
}

const run = (
  host: TestHost,
  name: string,
  args: readonly unknown[] = [],
  kwargs: Record<string, unknown> = {},
) => execute(testRequest(name, args, { body: { kwargs } }), host)
const storedValue = async (host: TestHost, name: string) => (await host.backend.fetch(`${name}-1`))?.result

describe('the built-in tasks', () => {
  it('BLT-001 BLT-002 BLT-003 has all of Celery’s names', () => {
    expect(setUp().defined.sort()).toEqual([
      'celery.accumulate',
      'celery.backend_cleanup',
      'celery.chain',
      'celery.chord',
      'celery.chord_unlock',
      'celery.chunks',
      'celery.group',
      'celery.map',
      'celery.starmap',
    ])
  })

  it('BLT-001 celery.backend_cleanup deletes what has expired', async () => {
    const { host } = setUp()
    let calls = 0
    host.backend.cleanup = async () => ++calls
    expect(await run(host, 'celery.backend_cleanup')).toMatchObject({ kind: 'succeeded', resultRepr: 'None' })
    expect(calls).toBe(1)
  })

  it('BLT-002 celery.accumulate gives its arguments, or the one at index', async () => {
    const { host } = setUp()
    await run(host, 'celery.accumulate', [1, 2])
    expect(await storedValue(host, 'celery.accumulate')).toEqual([1, 2])
    const { host: other } = setUp()
    await run(other, 'celery.accumulate', [[7, 8]], { index: 0 })
    expect(await storedValue(other, 'celery.accumulate')).toEqual([7, 8])
  })

  it('BLT-006 BLT-007 CNV-133 celery.map and celery.starmap call the task for each item, here', async () => {
    const { host } = setUp()
    host.define('add', (_self, x: number, y = 100) => x + y)
    await run(host, 'celery.map', [], { task: sig('add'), it: [1, 2] })
    expect(await storedValue(host, 'celery.map')).toEqual([101, 102])
    await run(host, 'celery.starmap', [], {
      task: sig('add'),
      it: [
        [1, 2],
        [3, 4],
      ],
    })
    expect(await storedValue(host, 'celery.starmap')).toEqual([3, 7])
    expect(await run(host, 'celery.map', [sig('nobody'), [1]])).toMatchObject({
      error: { type: 'NotRegistered' },
    })
  })

  it('BLT-008 CNV-132 celery.chunks sends one starmap for each slice and gives the group', async () => {
    const { host } = setUp()
    await run(host, 'celery.chunks', [], {
      task: sig('add'),
      it: [
        [0, 0],
        [1, 1],
        [2, 2],
      ],
      n: 2,
    })
    expect(host.sent.map((one) => one.signature['task'])).toEqual(['celery.starmap', 'celery.starmap'])
    expect(host.sent[1]?.signature['kwargs']).toMatchObject({ it: [[2, 2]] })
    expect(host.sent[0]?.options).toMatchObject({ route_name: 'add', group_index: 0 })
    expect(await storedValue(host, 'celery.chunks')).toMatchObject([
      [host.sent[0]?.options['group_id'], null],
      [{}, {}],
    ])
  })

  it('BLT-009 celery.group sends each task with the group’s id', async () => {
    const { host } = setUp()
    const tuple = [['g', null], [[['a', null], null]]]
    const tasks = [sig('x', [2], { options: { task_id: 'a' } })]
    await run(host, 'celery.group', [tasks, tuple, 'g', [1]])
    expect(host.sent[0]?.signature['args']).toEqual([1, 2])
    expect(host.sent[0]?.options).toMatchObject({ group_id: 'g', task_id: 'a' })
    expect((await host.backend.fetch('celery.group-1'))?.children).toEqual([tuple])
  })

  it('BLT-010 celery.chain is not a real task', async () => {
    const { host } = setUp()
    expect(await run(host, 'celery.chain')).toMatchObject({
      error: { type: 'NotImplementedError', module: 'builtins', args: ['chain is not a real task'] },
    })
  })

  it('BLT-011 celery.chord starts the header and what waits for it', async () => {
    const { host } = setUp()
    await run(host, 'celery.chord', [[sig('a')], sig('sum')], { interval: 5 })
    expect(host.sent.map((one) => one.signature['task'])).toEqual(['celery.chord_unlock', 'a'])
    expect(host.sent[0]?.signature['kwargs']).toMatchObject({ interval: 5 })
  })
})

describe('celery.chord_unlock', () => {
  const body = sig('sum', [], { options: { task_id: 'body', group_id: 'g', link_error: [sig('eb')] } })
  const header = [
    [['a', null], null],
    [
      ['inner', null],
      [
        [['b', null], null],
        [['c', null], null],
      ],
    ],
  ]
  const store = (host: TestHost, taskId: string, state: string, result: unknown) =>
    host.backend.store({ taskId, state, result, traceback: undefined, children: [], dateDone: undefined })
  const unlock = (host: TestHost, more: Record<string, unknown> = {}) =>
    run(host, 'celery.chord_unlock', ['g', body], {
      interval: null,
      max_retries: null,
      result: header,
      ...more,
    })

  it('BLT-003 BLT-005 looks again after the interval until all parts are ready, however often', async () => {
    const { host } = setUp()
    await store(host, 'a', 'SUCCESS', 1)
    await store(host, 'b', 'STARTED', null)
    expect(await unlock(host)).toMatchObject({ kind: 'retried', when: 'in 1s' })
    expect(await unlock(host, { interval: 9 })).toMatchObject({ kind: 'retried', when: 'in 9s' })
    const late = testRequest('celery.chord_unlock', ['g', body], {
      message: { retries: 5000 },
      body: { kwargs: { result: header } },
    })
    expect(await execute(late, host)).toMatchObject({ kind: 'retried' })
    expect(host.sent).toEqual([])
  })

  it('BLT-003 CNV-213 starts the body with the values, groups as lists, in order', async () => {
    const { host } = setUp()
    for (const [id, value] of [
      ['c', 3],
      ['a', 1],
      ['b', 2],
    ] as const)
      await store(host, id, 'SUCCESS', value)
    expect(await unlock(host)).toMatchObject({ kind: 'succeeded' })
    expect(host.sent[0]?.signature).toMatchObject({ task: 'sum', args: [[1, [2, 3]]] })
    expect(host.sent[0]?.options['task_id']).toBe('body')
  })

  it('BLT-003 CNV-213 fails the body with the part that failed', async () => {
    const { host } = setUp()
    await store(host, 'a', 'SUCCESS', 1)
    await store(host, 'b', 'FAILURE', {
      type: 'ValueError',
      module: 'builtins',
      args: ['x'],
      traceback: undefined,
    })
    await store(host, 'c', 'SUCCESS', 3)
    await unlock(host)
    expect((await host.backend.fetch('body'))?.result).toMatchObject({
      type: 'ChordError',
      args: ["Dependency b raised ValueError('x')"],
    })
    expect(host.sent.map((one) => one.signature['task'])).toEqual(['eb'])
  })

  it('BLT-003 a backend that is away is asked again', async () => {
    const { host } = setUp()
    host.backend.fetchMany = () => Promise.reject(new BackendUnavailableError('away'))
    expect(await unlock(host)).toMatchObject({ kind: 'retried', error: { type: 'BackendError' } })
  })
})
