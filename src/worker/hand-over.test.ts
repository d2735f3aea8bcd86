/** What follows from a task over Redis, however it is acknowledged and whatever happens to its connection: once. */
import { spawnSync } from 'node:child_process'
import { describe, expect, it } from 'vitest'
import type { TcpProxy } from '../../interop-tests/loss/proxy.js'
import { noRedis, RedisServer } from '../../interop-tests/redis-server.js'
import { chain, chord } from '../canvas/build.js'
import type { TaskContext } from '../execution/context.js'
import type { RedisClient } from '../transport/redis-client.js'
import { useProxiedRedis } from '../transport/redis-rig.conformance.js'
import { Trial, until } from './trial.test.setup.js'

/** `early`: acknowledged before it ends; `soon`: it ends in the turn in which it started, before that went out. */
const kinds = ['late', 'early', 'soon'] as const
type Kind = (typeof kinds)[number]

describe.skipIf(noRedis)(`what a task hands over (${noRedis ?? 'redis-server is installed'})`, () => {
  let server: RedisServer
  let admin: RedisClient
  let proxy: TcpProxy
  let settings: object

  useProxiedRedis((rig) => {
    ;({ server, admin, proxy } = rig)
    settings = { brokerUrl: rig.url, resultBackend: rig.url }
  })

  const length = async (key: string): Promise<number> => Number(await admin.run('LLEN', key))

  /** Runs a chain `first | second` of which the second step has a queue that nobody serves; `disturb` as the first ends. */
  async function runFirst(
    kind: Kind,
    disturb: () => void,
    settled: () => Promise<unknown>,
    taskId?: string,
    expected = /^$/,
  ): Promise<Trial> {
    const trial = new Trial(settings)
    let runs = 0
    const first = trial.app.task('t.first', { acksLate: kind === 'late' }, () => {
      runs += 1
      if (kind === 'soon') {
        disturb()
        return 4
      }
      // Its start was acknowledged, or nothing is to be acknowledged.
      return new Promise<number>((resolve) => {
        setImmediate(() => {
          disturb()
          resolve(4)
        })
      })
    })
    const second = trial.app.task('t.second', (value: number) => value)
    await trial.started()
    // The queue of the second step is declared from here on.
    await second.applyAsync({ args: [0], queue: 'next' })
    await admin.run('DEL', 'next')
    const start = taskId === undefined ? first.s() : first.s().set({ taskId })
    const result = await chain(start, second.s().set({ queue: 'next' })).applyAsync()
    await settled()
    await until('the message is settled', async () => Number(await admin.run('HLEN', 'unacked')) === 0)
    expect(runs).toBe(1)
    expect(await length('next')).toBe(1)
    const key = `celery-task-meta-${result.parent?.id}`
    await until('the result is stored', async () => String(await admin.run('GET', key)).includes('SUCCESS'))
    const stored = JSON.parse(String(await admin.run('GET', key))) as { status: string; children: unknown[] }
    expect(stored).toMatchObject({ status: 'SUCCESS', result: 4, children: [[[result.id, null], null]] })
    const told = trial.lines.filter(({ text }) => /may run twice|Couldn't/.test(text))
    expect(told.map(({ text }) => text).join()).toMatch(expected)
    return trial
  }

  it.each(kinds)(
    'TSK-071 goes out in one step with the result, and the acknowledgement (%s)',
    async (kind) => {
      let pushes = ''
      const before = async (): Promise<void> => {
        await until('the next step is there', async () => (await length('next')) === 1)
        pushes = String(await admin.run('INFO', 'commandstats'))
      }
      await admin.run('CONFIG', 'RESETSTAT')
      await using trial = await runFirst(kind, () => {}, before)
      expect(trial).toBeDefined()
      // One SETEX for the one result; the next step came by a script, after the two of the client.
      expect(/cmdstat_setex:calls=(\d+)/.exec(pushes)?.[1]).toBe('1')
      const calls = /cmdstat_evalsha:calls=(\d+)/.exec(pushes)?.[1]
      expect(Number(calls)).toBeGreaterThan(0)
    },
  )

  it.each(kinds)('CNV-119 is sent once where the answer is lost with the connection (%s)', async (kind) => {
    await using _trial = await runFirst(
      kind,
      () => proxy.mute(),
      async () => {
        await until('the next step is there', async () => (await length('next')) === 1)
        proxy.heal()
      },
    )
  })

  it.each(kinds)('CNV-119 is sent once where it did not arrive (%s)', async (kind) => {
    await using _trial = await runFirst(
      kind,
      () => {
        proxy.cut()
        setImmediate(() => proxy.heal())
      },
      async () => {
        await until('the next step is there', async () => (await length('next')) === 1)
      },
    )
  })

  it('WRK-042 an early acknowledgement that has not gone out goes with it, and not by itself', async () => {
    const scripts = async (): Promise<number> =>
      Number(/cmdstat_hmget:calls=(\d+)/.exec(String(await admin.run('INFO', 'commandstats')))?.[1] ?? 0)
    await using trial = new Trial(settings)
    const step = trial.app.task('t.step', (value: number) => value + 1)
    await trial.started()
    expect(
      await chain(step.s(0), step.s())
        .applyAsync()
        .then((result) => result.get({ timeout: 10 })),
    ).toBe(2)
    await until('all is settled', async () => Number(await admin.run('HLEN', 'unacked')) === 0)
    await admin.run('CONFIG', 'RESETSTAT')
    const steps = Array.from({ length: 9 }, () => step.s())
    expect(
      await chain(step.s(0), ...steps)
        .applyAsync()
        .then((result) => result.get({ timeout: 10 })),
    ).toBe(10)
    await until('all is settled', async () => Number(await admin.run('HLEN', 'unacked')) === 0)
    // Acknowledgements by themselves read what is held of many at once; only the last step has nobody to go with.
    expect(await scripts()).toBe(1)
  })

  it.each(kinds)(
    'ACK-030 is done step by step where the server refuses, and acknowledged (%s)',
    async (kind) => {
      const taskId = `refused-${kind}`
      // What must be read with more than a look is left to who can.
      await admin.run('SET', `celery-task-meta-${taskId}`, ' {"status": "STARTED"}')
      const sent = (): Promise<unknown> =>
        until('the next step is there', async () => (await length('next')) === 1)
      await using _trial = await runFirst(kind, () => {}, sent, taskId)
    },
  )

  it('WRK-043 what somebody else has taken meanwhile ends as an early acknowledgement does: sent, stored, and told', async () => {
    const steal = (): void => {
      spawnSync('redis-cli', ['-p', String(server.port), 'DEL', 'unacked'], { stdio: 'ignore' })
    }
    const sent = (): Promise<unknown> =>
      until('the next step is there', async () => (await length('next')) === 1)
    await using _trial = await runFirst('soon', steal, sent, undefined, /^Couldn't ack t\.first/)
  })

  it('TSK-071 CNV-105 is planned once where the results are kept by another server', async () => {
    await using elsewhere = await RedisServer.start()
    await using trial = new Trial({ ...settings, resultBackend: elsewhere.url })
    let prepared = 0
    const { prepareMany } = trial.app
    Object.assign(trial.app, {
      prepareMany(...given: Parameters<typeof prepareMany>) {
        prepared += 1
        return prepareMany.apply(trial.app, given)
      },
    })
    const add = trial.app.task('t.add', { acksLate: true }, (x: number, y: number) => x + y)
    const sum = trial.app.task('t.sum', (all: number[]) => all.reduce((x, y) => x + y, 0))
    await trial.started()
    const late = await chain(add.s(1, 2), add.s(3)).applyAsync()
    expect(await late.get({ timeout: 10 })).toBe(6)
    const whole = await chord([add.s(1, 1), add.s(2, 2)], sum.s()).applyAsync()
    expect(await whole.get({ timeout: 10 })).toBe(6)
    expect(prepared).toBe(0)
    expect(trial.logged(/Couldn't|may run twice/)).toEqual([])
  })

  it('TSK-060 comes before the acknowledgement step by step where a handler runs in between', async () => {
    await using trial = new Trial(settings)
    let isHeld: boolean | undefined
    const first = trial.app.task(
      't.first',
      {
        acksLate: true,
        onSuccess: async (_self, _value, id) => {
          const messages = (await admin.run('HVALS', 'unacked')) as string[]
          isHeld = messages.some((message) => message.includes(`"id":"${id}"`))
        },
      },
      () => 4,
    )
    const second = trial.app.task('t.second', (value: number) => value + 1)
    await trial.started()
    const result = await chain(first.s(), second.s()).applyAsync()
    expect(await result.get({ timeout: 10 })).toBe(5)
    await until('the handler has run', () => isHeld !== undefined)
    expect(isHeld).toBe(true)
  })

  it('CNV-105 the body of a chord goes out with the last acknowledgement, and the counters go', async () => {
    await using trial = new Trial(settings)
    const part = trial.app.task('t.part', { acksLate: true }, (value: number) => value)
    const sum = trial.app.task('t.sum', (values: readonly number[]) => values.reduce((a, b) => a + b, 0))
    await trial.started()
    const result = await chord([part.s(1), part.s(2), part.s(3)], sum.s()).applyAsync()
    expect(await result.get({ timeout: 10 })).toBe(6)
    await until('all is settled', async () => Number(await admin.run('HLEN', 'unacked')) === 0)
    expect(await admin.run('KEYS', 'celery-taskset-meta-*')).toEqual([])
  })

  it('CNV-130 a replacement takes the place of its task in one step', async () => {
    await using trial = new Trial(settings)
    let runs = 0
    const other = trial.app.task('t.other', { acksLate: true }, () => 'other')
    const replaced = trial.app.task(
      't.replaced',
      { bind: true, acksLate: true },
      async (self: TaskContext) => {
        runs += 1
        proxy.mute()
        void until('the other is there', async () => (await length('next')) === 1).then(() => proxy.heal())
        return self.replace(other.s().set({ queue: 'next' }))
      },
    )
    await trial.started()
    await other.applyAsync({ queue: 'next' })
    await admin.run('DEL', 'next')
    await replaced.delay()
    await until('it was replaced', async () => (await length('next')) === 1)
    await until('its message is settled', async () => Number(await admin.run('HLEN', 'unacked')) === 0)
    expect(runs).toBe(1)
    expect(await length('next')).toBe(1)
  })
})
