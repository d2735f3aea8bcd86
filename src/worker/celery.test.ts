import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type AsyncResult, Celery, RemoteTaskError, type StandardSchema, type TaskContext } from '../index.js'

let folder: string
const cwd = process.cwd()

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'celeriac-celery-'))
})
afterEach(async () => {
  process.chdir(cwd)
  await rm(folder, { recursive: true, force: true })
})

function makeApp(main = 'shop'): Celery {
  return new Celery(main, {
    brokerUrl: `filesystem://${folder}/var/broker`,
    resultBackend: `file://${folder}/var/results`,
    env: {},
  })
}

/** A schema by hand: a list of whole numbers, given back as it is. */
const wholeNumbers: StandardSchema<unknown, number[]> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: async (value) => {
      const list = value as unknown[]
      const at = list.findIndex((one) => !Number.isInteger(one))
      return at === -1
        ? { value: list as number[] }
        : { issues: [{ message: 'not a whole number', path: [at] }] }
    },
  },
}

describe('the front door', () => {
  it('runs the lines of the tour as they stand, against a worker that knows their tasks', async () => {
    await using other = makeApp()
    other.task('shop.add', (x: number, y: number) => x + y)
    other.task('images.resize', { params: ['path'] }, (path: string) => path)
    await using worker = other.worker({ queues: ['celery'], concurrency: 2 })
    await worker.start()
    process.chdir(folder)
    const tour = await import('../../examples/shop/tour.js')
    expect(tour.add(2, 3)).toBe(5)
    expect(tour.charge.options).toMatchObject({
      maxRetries: 5,
      acksLate: true,
      softTimeLimit: 20,
      timeLimit: 30,
    })
    // One result of add, two of resize: that of the tour's own worker, which does not know it, would be an error.
    const stored = (): Promise<string[]> => readdir(join(folder, 'var', 'results'))
    await expect.poll(async () => (await stored()).length, { timeout: 10_000 }).toBe(3)
    await tour.app.close()
  })

  it('TSK-029 PYO-013 stores a typed error for arguments and results that a schema refuses, and asks before sending', async () => {
    await using app = makeApp()
    const total = (...numbers: number[]): number => numbers.reduce((sum, one) => sum + one, 0)
    const runs: number[][] = []
    const sum = app.task('t.sum', { args: wholeNumbers }, (...numbers) => {
      runs.push(numbers)
      return total(...numbers)
    })
    const strict = app.task('t.strict', { args: wholeNumbers, validateOnSend: true }, total)
    const half = app.task('t.half', { result: asText }, (x: number) => x / 2)
    await using worker = app.worker({ concurrency: 2 })
    await worker.start()
    expect(await (await sum.delay(1, 2)).get({ timeout: 10 })).toBe(3)
    expect(await failureOf(await sum.delay(1, 2.5))).toMatchObject({
      excType: 'ValidationError',
      message: expect.stringContaining('1: not a whole number'),
    })
    expect(runs).toEqual([[1, 2]])
    expect(await failureOf(await half.delay(3))).toMatchObject({ excType: 'ValidationError' })
    await expect(strict.delay(0.5)).rejects.toThrow(
      'The arguments of task t.strict are not valid: 0: not a whole number',
    )
  })

  it('PYO-011 stores the TypeError that Python would, for arguments that do not fit', async () => {
    await using app = makeApp()
    app.task('t.add', { params: ['x', 'y'] }, (x: number, y: number) => x + y)
    await using worker = app.worker({ concurrency: 1 })
    await worker.start()
    const error = await failureOf(await app.sendTask('t.add', { args: [1] }))
    expect(error).toMatchObject({
      excType: 'TypeError',
      args: ["add() missing 1 required positional argument: 'y'"],
    })
  })

  it('TSK-084 a retry carries what the first message carried, without the dead-letter trail of RabbitMQ', async () => {
    await using app = makeApp()
    const seen: TaskContext['request'][] = []
    app.task('t.again', { bind: true }, async (self, _x: number) => {
      seen.push(self.request)
      if (seen.length === 1) await self.retry({ countdown: 0 })
    })
    app.task('t.next', (value: unknown) => value)
    await using worker = app.worker({ concurrency: 1, queues: ['mine'] })
    await worker.start()
    const next = app.signature('t.next')
    const result = await app.sendTask('t.again', {
      args: [1],
      kwargs: { note: 'n' },
      queue: 'mine',
      priority: 3,
      expires: 600,
      timeLimit: 30,
      softTimeLimit: 20,
      shadow: 'seen',
      groupId: 'g',
      groupIndex: 1,
      link: next,
      linkError: next,
      headers: { tenant: 'acme', 'x-death': [{ count: 1 }] },
    })
    await result.get({ timeout: 10 })
    const [first, second] = seen
    expect(second).toMatchObject({ retries: 1, headers: { tenant: 'acme' } })
    expect(second?.headers).not.toHaveProperty('x-death')
    const kept = [
      'id',
      'rootId',
      'group',
      'groupIndex',
      'args',
      'kwargs',
      'shadow',
      'callbacks',
      'errbacks',
      'expires',
      'timelimit',
      'replyTo',
      'origin',
      'replacedTaskNesting',
      'stamps',
    ] as const
    for (const field of kept) expect({ [field]: second?.[field] }).toEqual({ [field]: first?.[field] })
    expect(second?.deliveryInfo).toMatchObject({ routingKey: 'mine', priority: 3 })
  })
})

const asText: StandardSchema<unknown, string> = {
  '~standard': {
    version: 1,
    vendor: 'test',
    validate: (value) => (typeof value === 'string' ? { value } : { issues: [{ message: 'not a text' }] }),
  },
}

async function failureOf(result: AsyncResult<unknown>): Promise<RemoteTaskError> {
  const error = await result.get({ timeout: 10, propagate: false })
  if (!(error instanceof RemoteTaskError)) throw new Error(`the task gave ${String(error)}`)
  return error
}
