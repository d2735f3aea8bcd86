/** What the types of the public names let through, and what they refuse. Checked by tsc; nothing here runs. */
import { expectTypeOf } from 'vitest'
import {
  type AsyncResult,
  Celery,
  type EagerResult,
  kw,
  type Signature,
  type StandardSchema,
  TaskBase,
  type TaskContext,
  type TaskSelf,
  type WorkerOptions,
} from '../index.js'

/** Never called. */
export async function typesOfTasks(app: Celery): Promise<void> {
  const add = app.task('t.add', (x: number, y: number) => x + y)
  expectTypeOf(add(1, 2)).toEqualTypeOf<number>()
  expectTypeOf(await add.delay(1, 2)).toEqualTypeOf<AsyncResult<number>>()
  expectTypeOf(await (await add.delay(1, 2)).get({ timeout: 1 })).toEqualTypeOf<number>()
  expectTypeOf(await add.apply({ args: [1, 2] })).toEqualTypeOf<EagerResult<number>>()
  expectTypeOf(add.asyncResult('id')).toEqualTypeOf<AsyncResult<number>>()
  expectTypeOf(add.name).toEqualTypeOf<string>()
  // @ts-expect-error the second argument is missing
  await add.delay(1)
  // @ts-expect-error one argument too many
  await add.delay(1, 2, 3)
  // @ts-expect-error not a number
  await add.delay(1, '2')
  // @ts-expect-error not a number
  add(1, '2')
  // @ts-expect-error arguments are needed
  await add.applyAsync()
  // @ts-expect-error arguments are needed
  await add.applyAsync({ countdown: 3 })
  // @ts-expect-error the second argument is missing
  await add.applyAsync({ args: [1] })
  // @ts-expect-error no such option
  await add.applyAsync({ args: [1, 2], contdown: 3 })
  // @ts-expect-error seconds are numbers
  await add.applyAsync({ args: [1, 2], countdown: '3' })
  await add.applyAsync({
    args: [1, 2],
    countdown: 3,
    eta: new Date(),
    expires: '2030-01-01T00:00:00Z',
    link: add.s(1),
  })

  const later = app.task('t.later', async (name: string, times?: number) => ({ name, times }))
  expectTypeOf(await (await later.delay('a')).get()).toEqualTypeOf<{
    name: string
    times: number | undefined
  }>()
  await later.delay('a', 2)
  await later.applyAsync({ args: ['a'] })

  const nothing = app.task('t.nothing', () => {})
  await nothing.delay()
  await nothing.applyAsync()
  await nothing.applyAsync({ countdown: 1 })
  // @ts-expect-error it takes none
  await nothing.delay(1)

  const many = app.task('t.many', (first: string, ...rest: number[]) => rest.length + first.length)
  await many.delay('a', 1, 2, 3)
  // @ts-expect-error not a number
  await many.delay('a', 'b')
}

/** Never called. */
export async function typesOfKeywords(app: Celery): Promise<void> {
  const charge = app.task(
    't.charge',
    { bind: true, params: ['orderId', 'amount'], acksLate: true },
    async (self, orderId: string, amount: number) => {
      expectTypeOf(self).toExtend<TaskContext>()
      return { id: self.request.id, orderId, amount }
    },
  )
  expectTypeOf(await (await charge.delay('o', 1)).get()).toEqualTypeOf<{
    id: string
    orderId: string
    amount: number
  }>()
  await charge.delay('o', kw({ amount: 1 }))
  await charge.delay(kw({ orderId: 'o', amount: 1 }))
  await charge.applyAsync({ args: ['o'], kwargs: { amount: 1 } })
  await charge.applyAsync({ kwargs: { orderId: 'o', amount: 1 } })
  // @ts-expect-error amount is a number
  await charge.delay('o', kw({ amount: '1' }))
  // @ts-expect-error no such parameter
  await charge.delay('o', kw({ price: 1 }))
  // @ts-expect-error no such parameter
  await charge.applyAsync({ args: ['o'], kwargs: { price: 1 } })
  // @ts-expect-error orderId is a text
  await charge.applyAsync({ args: [1], kwargs: { amount: 1 } })
  // @ts-expect-error self is not an argument
  charge({} as TaskContext, 'o', 1)
  expectTypeOf(charge('o', 1)).toExtend<Promise<{ amount: number }>>()
}

/** Never called. */
export async function typesOfRemotes(app: Celery): Promise<void> {
  const resize = app.remote<{ args: [path: string]; kwargs: { width?: number }; result: string }>(
    'images.resize',
  )
  expectTypeOf(await (await resize.delay('a')).get()).toEqualTypeOf<string>()
  await resize.delay('a', kw({ width: 1 }))
  await resize.applyAsync({ args: ['a'], kwargs: { width: 1 } })
  // @ts-expect-error width is a number
  await resize.delay('a', kw({ width: 'wide' }))
  // @ts-expect-error a path is a text
  await resize.delay(1)
  // @ts-expect-error it lives elsewhere, so it cannot be called
  resize('a')
  const anything = app.remote('py.anything', { queue: 'py' })
  expectTypeOf(await (await anything.delay(1, 'a', kw({ any: true }))).get()).toEqualTypeOf<unknown>()
  expectTypeOf(await app.sendTask('py.anything', { args: [1] })).toEqualTypeOf<AsyncResult<unknown>>()
  expectTypeOf(await app.sendTask<number>('py.anything')).toEqualTypeOf<AsyncResult<number>>()
  // @ts-expect-error arguments are a list
  await app.sendTask('py.anything', { args: 1 })
}

/** Never called. */
export async function typesOfSignatures(app: Celery): Promise<void> {
  const add = app.task('t.add', (x: number, y: number) => x + y)
  expectTypeOf(add.s(1, 2)).toEqualTypeOf<Signature<[], number>>()
  expectTypeOf(await (await add.s(2).delay(1)).get()).toEqualTypeOf<number>()
  // @ts-expect-error nothing is left to give
  await add.s(1, 2).delay(3)
  // @ts-expect-error not a number
  add.s('1')
  // @ts-expect-error not a number
  await add.s(2).delay('1')
  // @ts-expect-error an immutable signature needs all of them
  add.si(1)
  add.si(1, 2).set({ immutable: false, queue: 'q' }).onError(app.signature('t.err'))
  expectTypeOf(add.s(1, 2).freeze()).toEqualTypeOf<AsyncResult<number>>()
}

/** Never called. */
export function typesOfBases(app: Celery): void {
  class Counting extends TaskBase {
    override readonly options = { maxRetries: 5 }
    count = 0
    next(this: TaskSelf<Counting>): number {
      return this.count + this.request.retries
    }
  }
  const task = app.task('t.counted', { bind: true, base: Counting }, (self, by: number) => self.next() * by)
  expectTypeOf(task(2)).toEqualTypeOf<number>()
  app.task(
    't.handled',
    { onFailure: (_self, error) => expectTypeOf(error).toEqualTypeOf<unknown>() },
    () => 1,
  )
  // @ts-expect-error no such option
  app.task('t.odd', { maxRetry: 5 }, () => 1)
  // @ts-expect-error seconds are numbers
  app.task('t.odd', { timeLimit: '5s' }, () => 1)
  // @ts-expect-error no such method
  app.task('t.odd', { bind: true, base: Counting }, (self) => self.previous())
  // @ts-expect-error self comes with bind
  app.task('t.odd', { params: ['x'] }, (self) => self.request)
}

/** Never called. */
export function typesOfSchemas(app: Celery, pair: StandardSchema<unknown, [number, string]>): void {
  const task = app.task('t.checked', { args: pair }, (count, name) => name.repeat(count))
  expectTypeOf(task).parameters.toEqualTypeOf<[number, string]>()
}

/** Never called. */
export function typesOfSettings(options: WorkerOptions): void {
  const app = new Celery('shop', {
    taskAcksLate: true,
    taskRoutes: { 't.*': { queue: 'q' } },
    broker: 'memory://',
  })
  expectTypeOf(app.conf.taskAcksLate).toEqualTypeOf<boolean>()
  app.worker(options)
  // @ts-expect-error no such setting
  new Celery('shop', { taskAckLate: true })
  // @ts-expect-error a boolean
  new Celery('shop', { taskAcksLate: 'yes' })
  // @ts-expect-error settings are read-only
  app.conf.taskAcksLate = false
}
