/** How canvases end whose steps do not end well, and what their results tell; over a broker in memory. */
import { afterEach, beforeEach, expect, it } from 'vitest'
import { GroupResult } from '../backend/group-result.js'
import { ResultSet } from '../backend/result-set.js'
import { chain, chord, group } from '../canvas/build.js'
import { TaskRevokedError } from '../errors.js'
import { gate, Trial, until } from './trial.test.setup.js'

let trial: Trial
beforeEach(() => {
  trial = new Trial({ resultChordRetryInterval: 0.05 })
})
afterEach(() => trial[Symbol.asyncDispose]())

function tasks() {
  const { app } = trial
  return {
    add: app.task('t.add', { params: ['x', 'y'] }, (x: number, y: number) => x + y),
    echo: app.task('t.echo', (value: unknown) => value),
    fail: app.task('t.fail', (..._args: unknown[]): number => {
      throw new RangeError('deliberate')
    }),
  }
}

it('CNV-056 a step that was revoked leaves those after it alone; the client that follows the parents is told', async () => {
  const { add } = tasks()
  const blocking = gate()
  const block = trial.app.task('t.block', () => blocking.opened)
  const worker = await trial.started({ concurrency: 1 })
  await block.delay()
  await until('it runs', () => worker.ledger.active().length === 1)
  const result = await chain(add.s(1, 1).set({ taskId: 'first' }), add.s(2), add.s(3)).applyAsync()
  worker.revoke('first')
  blocking.open()
  await until('it is revoked', async () => (await trial.state('first')) === 'REVOKED')
  await expect(result.get({ timeout: 5 })).rejects.toThrow(TaskRevokedError)
  expect(await result.parent?.ready()).toBe(false)
  expect(await result.state()).toBe('PENDING')
})

it('CNV-112 parts of a chord are only run where no results are kept', async () => {
  await using bare = new Trial({ resultBackend: 'disabled://' })
  const ran: string[] = []
  const part = bare.app.task('t.part', (name: string) => void ran.push(name))
  bare.app.task('t.body', () => void ran.push('body'))
  await bare.started({ concurrency: 1 })
  const body = {
    task: 't.body',
    args: [],
    kwargs: {},
    options: { task_id: 'b' },
    subtask_type: null,
    immutable: false,
  }
  for (const [groupIndex, name] of ['one', 'two'].entries()) {
    await part.s(name).setWire({ group_id: 'g', group_index: groupIndex, chord: body }).applyAsync()
  }
  await until('both ran', () => ran.length === 2)
  await part.delay('last')
  await until('what came later ran, too', () => ran.length === 3)
  expect(ran).toEqual(['one', 'two', 'last'])
  expect(bare.logged(/./, 'error')).toEqual([])
})

it('CNV-101 a body that fails does so alone: the results of its header stay', async () => {
  const { add, fail } = tasks()
  await trial.started()
  const result = await chord([add.s(1, 1), add.s(2, 2)], fail.s()).applyAsync()
  await expect(result.get({ timeout: 8 })).rejects.toThrow('deliberate')
  expect(await result.parent?.get({ timeout: 1 })).toEqual([2, 4])
})

it('CNV-125 errbacks are called for a task that the worker gives up at its hard limit', async () => {
  const told: string[] = []
  const err = trial.app.task('t.err', (id: string) => void told.push(id))
  const inline = trial.app.task(
    't.inline',
    { errbackStyle: 'request' },
    ((request: { id: string }, error: { type: string }, _traceback: unknown) =>
      void told.push(`${request.id} ${error.type}`)) as never,
  )
  const stuck = trial.app.task('t.stuck', { timeLimit: 0.05 }, () => new Promise<void>(() => {}))
  await trial.started()
  const call = stuck.s()
  call.linkError(err.s())
  call.linkError(inline.s() as never)
  const { id } = await call.applyAsync()
  await until('both are told', () => told.length === 2)
  expect(told.sort()).toEqual([id, `${id} TimeLimitExceeded`].sort())
})

it('CNV-131 TSK-085 a retry keeps how deep the task was replaced, and names a root task as its own parent', async () => {
  const seen: unknown[] = []
  const inner = trial.app.task('t.inner', { bind: true, maxRetries: 1 }, async (self) => {
    const { replacedTaskNesting, retries, parentId } = self.request
    seen.push([retries, replacedTaskNesting, parentId])
    if (retries === 0) await self.retry({ countdown: 0 })
    return 'done'
  })
  const outer = trial.app.task('t.outer', { bind: true }, (self) => self.replace(inner.s()))
  await trial.started()
  const replaced = await outer.delay()
  expect(await replaced.get({ timeout: 5 })).toBe('done')
  expect(seen.splice(0)).toMatchObject([
    [0, 1, replaced.id],
    [1, 1, replaced.id],
  ])
  const root = await inner.delay()
  await root.get({ timeout: 5 })
  expect(seen).toEqual([
    [0, 0, undefined],
    [1, 0, root.id],
  ])
})

it('CNV-176 a set of results gives their values, or which of them failed', async () => {
  const { add, fail } = tasks()
  const { app } = trial
  await trial.started()
  const both = new ResultSet([await add.delay(1, 1), await add.delay(2, 2)], app)
  expect(await both.get({ timeout: 5 })).toEqual([2, 4])
  const added = new ResultSet([], app)
  added.add(await add.delay(1, 1))
  added.add(await add.delay(2, 2))
  expect(await added.get({ timeout: 5 })).toEqual([2, 4])
  const mixed = new ResultSet([await fail.delay(), await add.delay(1, 1)], app)
  await mixed.get({ timeout: 5, propagate: false })
  expect(await mixed.results[0]?.failed()).toBe(true)
  expect(await mixed.results[1]?.successful()).toBe(true)
})

it('CNV-177 CNV-178 a group with a failed member gets ready, and an empty one is saved and restored', async () => {
  const { add, fail } = tasks()
  await trial.started()
  const result = await group(add.s(1, 2), fail.s()).applyAsync()
  await until('it is ready', () => result.ready())
  expect(await result.failed()).toBe(true)
  const empty = new GroupResult('empty', [], trial.app)
  await empty.save()
  expect((await trial.app.restoreGroup('empty'))?.results).toEqual([])
})

it('CNV-194 the errback of a body is told its id, and finds the part that failed in its error', async () => {
  const { add, echo, fail } = tasks()
  const told: string[] = []
  const err = trial.app.task('t.err', (id: string) => void told.push(id))
  await trial.started()
  const failing = fail.s().set({ taskId: 'the-part' })
  const result = await chord([add.s(1, 2), add.s(3, 4), failing], echo.s().onError(err.s())).applyAsync()
  await expect(result.get({ timeout: 8 })).rejects.toThrow('deliberate')
  await until('it is told', () => told.length === 1)
  expect(told).toEqual([result.id])
  expect(await trial.meta(String(result.id))).toMatchObject({
    result: { type: 'ChordError', args: [expect.stringContaining('the-part raised')] },
  })
})
