/** What follows from a task over Redis where its worker cannot know, or somebody else steps in, while it is handed over. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { TcpProxy } from '../../interop-tests/loss/proxy.js'
import { noRedis, RedisServer } from '../../interop-tests/redis-server.js'
import { chain, chord } from '../canvas/build.js'
import type { Linkable } from '../canvas/send-options.js'
import type { TaskContext } from '../execution/context.js'
import type { RedisClient } from '../transport/redis-client.js'
import { handOverScript } from '../transport/redis-handover-script.js'
import { useProxiedRedis } from '../transport/redis-rig.conformance.js'
import { gate, Trial, until } from './trial.test.setup.js'

describe.skipIf(noRedis)(`handing over in the dark (${noRedis ?? 'redis-server is installed'})`, () => {
  let admin: RedisClient
  let proxy: TcpProxy
  let url: string
  let trial: Trial

  useProxiedRedis((rig) => {
    ;({ admin, proxy, url } = rig)
  })
  beforeEach(async () => {
    // A server that does not know it yet says so, and a mute one could not.
    await admin.run('SCRIPT', 'LOAD', handOverScript.lua)
    trial = new Trial({ brokerUrl: url, resultBackend: url })
  })
  afterEach(async () => {
    proxy.heal()
    await trial[Symbol.asyncDispose]()
  })

  const length = async (key: string): Promise<number> => Number(await admin.run('LLEN', key))
  const isNext = async (): Promise<boolean> => (await length('next')) === 1
  const held = async (): Promise<number> => Number(await admin.run('HLEN', 'unacked'))
  const stateOf = async (id: string | undefined): Promise<unknown> => {
    const text = await admin.run('GET', `celery-task-meta-${id}`)
    return typeof text === 'string' ? (JSON.parse(text) as { status: string }).status : undefined
  }
  /** A task whose run ends in the next turn, with what `disturb` makes of it. */
  const disturbed = (options: object, disturb: () => void) =>
    trial.app.task('t.first', { acksLate: true, ...options }, () => {
      return new Promise<number>((resolve) => {
        setImmediate(() => {
          disturb()
          resolve(4)
        })
      })
    })
  /** A task in a queue that nobody serves, which is declared from here on. */
  const second = async () => {
    const task = trial.app.task('t.second', { ignoreResult: true }, (value: number) => value)
    await task.applyAsync({ args: [0], queue: 'next' })
    await admin.run('DEL', 'next')
    return task.s().set({ queue: 'next' })
  }

  it('WRK-087 CNV-119 is not sent once more by a broker that the worker comes back to', async () => {
    await using other = await RedisServer.start()
    const spare = await TcpProxy.start(other.port)
    try {
      const there = other.urlAt(spare.port)
      await trial[Symbol.asyncDispose]()
      trial = new Trial({ brokerUrl: [url, there] })
      const first = disturbed({ ignoreResult: true }, () => proxy.cut())
      await trial.started()
      const next = await second()
      await chain(first.s(), next).applyAsync()
      const elsewhere = other.client()
      await until('the next step is sent', async () => (await elsewhere.llen('next')) === 1)
      await until('it says so', () => trial.logged(/Couldn't ack/).length === 1)
      elsewhere.disconnect()
      expect(await held()).toBe(1)
      proxy.heal()
      spare.cut()
      await until('it is settled', async () => (await held()) === 0)
      expect(await length('next')).toBe(0)
    } finally {
      await spare.close()
    }
  })

  it('WRK-087 CNV-119 is sent once where the worker is with another broker when the answer is lost', async () => {
    await using other = await RedisServer.start()
    await trial[Symbol.asyncDispose]()
    trial = new Trial({ brokerUrl: [url, other.url], resultBackend: url })
    const first = disturbed({}, () => proxy.mute())
    await trial.started()
    const next = await second()
    await chain(first.s(), next).applyAsync()
    await until('the next step is there', isNext)
    proxy.cut()
    await until('it is connected elsewhere', () => trial.logged(/^Connected to/).length === 2)
    proxy.heal()
    await until('it has ended', () => trial.logged(/^Task t.first.* succeeded/).length === 1)
    const elsewhere = other.client()
    expect(await elsewhere.llen('next')).toBe(0)
    elsewhere.disconnect()
    expect(await length('next')).toBe(1)
    expect(trial.logged(/Couldn't/)).toEqual([])
  })

  it.each([true, false])(
    'CNV-119 is sent although an earlier task of that id has succeeded (late: %s)',
    async (acksLate) => {
      let isDisturbed = false
      const first = disturbed({ acksLate }, () => {
        if (!isDisturbed) return
        proxy.cut()
        setImmediate(() => proxy.heal())
      })
      await trial.started()
      const next = await second()
      const own = first.s().set({ taskId: 'the-same' })
      await chain(own, next).applyAsync()
      await until('the next step is there', isNext)
      isDisturbed = true
      await chain(own, next).applyAsync()
      await until('the next step is there again', async () => (await length('next')) === 2)
    },
  )

  it('CNV-119 is sent and stored where the server has lost all that it had, as after a restart without a disk', async () => {
    const first = disturbed({}, () => proxy.cut())
    await trial.started()
    const next = await second()
    const result = await chain(first.s(), next).applyAsync()
    await until('the loss is noticed', () => trial.logged(/Connection to broker lost/).length === 1)
    await admin.run('FLUSHALL')
    proxy.heal()
    await until('the next step is there', isNext)
    await until('it is stored', async () => (await stateOf(result.parent?.id)) === 'SUCCESS')
  })

  it('TSK-110 a hard limit that is reached while it is sent fails nothing', async () => {
    const first = disturbed({ timeLimit: 1 }, () => proxy.mute())
    await trial.started()
    const next = await second()
    const result = await chain(first.s(), next).applyAsync()
    await until('the next step is there', isNext)
    const began = performance.now()
    await until('the limit has passed', () => performance.now() - began > 1100)
    proxy.heal()
    await until('nothing is left', async () => trial.logged(/^Task t.first.* succeeded/).length === 1)
    expect(await stateOf(result.parent?.id)).toBe('SUCCESS')
    expect(await stateOf(result.id)).toBeUndefined()
    expect(trial.logged(/Hard time limit|Couldn't/)).toEqual([])
  })

  it('ACK-025 a termination that comes while it is sent revokes nothing', async () => {
    const first = disturbed({}, () => proxy.mute())
    const third = trial.app.task('t.third', { acksLate: true }, () => 1)
    const body = trial.app.task('t.body', (values: readonly number[]) => values)
    const worker = await trial.started()
    const next = await second()
    const result = await chord([chain(first.s(), next), third.si()], body.s()).applyAsync()
    await until('the next step is there', isNext)
    const [request] = worker.ledger.active().filter(({ task }) => task === 't.first')
    expect(request?.terminate('SIGTERM')).toBe(true)
    proxy.heal()
    await until('it has ended', async () => worker.ledger.size === 0 && (await held()) === 0)
    expect(await stateOf(request?.id)).toBe('SUCCESS')
    expect(await stateOf(result.id)).toBeUndefined()
    expect(trial.logged(/Couldn't/)).toEqual([])
  })

  it('ACK-026 CNV-130 is not sent again by a cold shutdown when it was replaced', async () => {
    const cleaning = gate()
    let next: Linkable = {}
    const first = trial.app.task('t.first', { acksLate: true, bind: true }, async (self: TaskContext) => {
      try {
        return await self.replace(next)
      } finally {
        await cleaning.opened
      }
    })
    const worker = await trial.started()
    next = await second()
    await first.delay()
    await until('it was replaced', async () => (await isNext()) && (await held()) === 0)
    await worker.stop({ how: 'cold' })
    cleaning.open()
    expect(await length('celery')).toBe(0)
    expect(await length('next')).toBe(1)
  })

  it('TSK-060 is acknowledged after what is wrapped around the run', async () => {
    let before = -1
    trial.app.interceptors.aroundExecute(async (_request, next) => {
      const outcome = await next()
      before = await held()
      return outcome
    })
    const first = disturbed({}, () => {})
    await trial.started()
    const next = await second()
    await chain(first.s(), next).applyAsync()
    await until('it has run', () => before >= 0)
    expect(before).toBe(1)
  })

  it('CNV-119 is sent once where no results are kept and the answer is lost', async () => {
    await trial[Symbol.asyncDispose]()
    trial = new Trial({ brokerUrl: url, resultBackend: undefined })
    const first = disturbed({}, () => proxy.mute())
    await trial.started()
    const next = await second()
    await chain(first.s(), next).applyAsync()
    await until('the next step is there', isNext)
    // In one step: nobody has had an answer yet.
    expect(await held()).toBe(0)
    proxy.heal()
    await until('it has ended', () => trial.logged(/^Task t.first.* succeeded/).length === 1)
    expect(await length('next')).toBe(1)
    expect(trial.logged(/Couldn't/)).toEqual([])
  })
})
