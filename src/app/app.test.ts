import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AsyncResult } from '../backend/async-result.js'
import { EagerResult } from '../backend/eager-result.js'
import { signatureFromData } from '../canvas/algebra.js'
import { kw } from '../canvas/kw.js'
import {
  InvalidArgumentError,
  RemoteTaskError,
  TaskNotRegisteredError,
  UnknownSettingError,
} from '../errors.js'
import { currentTask } from '../execution/context.js'
import type { Logger } from '../logger.js'
import { App } from './app.js'
import type { AppOptions } from './app-options.js'
import { TaskBase, type TaskSelf } from './task-base.js'

/** A message as it lies in the broker's folder. */
interface Message {
  readonly headers: Record<string, unknown>
  readonly properties: Record<string, unknown>
  readonly body: [unknown[], Record<string, unknown>, Record<string, unknown>]
}

let folder: string
const apps: App[] = []

function makeApp(options: AppOptions = {}): App {
  const app = new App('shop', {
    brokerUrl: `filesystem://${folder}/broker`,
    resultBackend: `file://${folder}/results`,
    env: {},
    ...options,
  })
  apps.push(app)
  return app
}

/** Every message in the folder, in the order they were sent. */
async function messages(): Promise<Message[]> {
  const names = (await readdir(join(folder, 'broker'))).filter((name) => name.endsWith('.msg')).sort()
  return Promise.all(
    names.map(async (name) => {
      const raw = JSON.parse(await readFile(join(folder, 'broker', name), 'utf8'))
      return { ...raw, body: JSON.parse(Buffer.from(raw.body, 'base64').toString()) } as Message
    }),
  )
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'celeriac-app-'))
})
afterEach(async () => {
  await Promise.all(apps.splice(0).map((app) => app.close()))
  await rm(folder, { recursive: true, force: true })
})

describe('App', () => {
  it('opens nothing when it is made', async () => {
    const app = makeApp()
    app.task('t.add', (x: number, y: number) => x + y)
    expect(await readdir(folder)).toEqual([])
    await app.close()
    await app.close()
  })

  it('stays closed, also where it had opened nothing', async () => {
    const app = makeApp()
    await app.close()
    await expect(app.sendTask('t.add')).rejects.toMatchObject({ code: 'BROKER_UNAVAILABLE' })
    expect(await readdir(folder)).toEqual([])
  })

  it('CFG-006 reads the environment over its options, and refuses settings that do not exist', () => {
    expect(makeApp({ env: { CELERY_BROKER_URL: 'memory://' } }).conf.brokerUrl).toBe('memory://')
    expect(() => makeApp({ taskAckLate: true } as AppOptions)).toThrow(UnknownSettingError)
    expect(Object.isFrozen(makeApp().conf)).toBe(true)
  })

  it('CFG-004 takes the settings of a Django project by their prefix', () => {
    const app = makeApp({ config: { CELERY_TASK_ACKS_LATE: true, DEBUG: true }, namespace: 'CELERY' })
    expect(app.conf.taskAcksLate).toBe(true)
  })

  it('TSK-032 keeps the first definition of a name', () => {
    const app = makeApp()
    const first = app.task('t.one', () => 1)
    expect(app.task('t.one', () => 2)).toBe(first)
    expect(app.tasks.names()).toContain('t.one')
    expect(app.task('t.one')).toBe(first)
    expect(app.task('t.none')).toBeUndefined()
  })

  it('TSK-001 asks for a name and a function', () => {
    expect(() => makeApp().task('', () => 1)).toThrow(InvalidArgumentError)
  })

  it('PUB-029 TSK-074 sends a task and returns its result, PUB-034 with the arguments shown as a tuple', async () => {
    const add = makeApp().task('t.add', (x: number, y: number) => x + y)
    const result = await add.delay(2, 3)
    expect(result).toBeInstanceOf(AsyncResult)
    const [message] = await messages()
    expect(message?.headers).toMatchObject({
      task: 't.add',
      id: result.id,
      root_id: result.id,
      parent_id: null,
      argsrepr: '(2, 3)',
      kwargsrepr: '{}',
      ignore_result: false,
    })
    expect(message?.body[0]).toEqual([2, 3])
  })

  it('TSK-075 PUB-007 sends call options, and PYO-017 keyword arguments', async () => {
    const app = makeApp()
    const charge = app.task('t.charge', { params: ['id', 'amount'] }, (id: string, amount: number) => [
      id,
      amount,
    ])
    await charge.applyAsync({
      args: ['o-1'],
      kwargs: { amount: 5 },
      timeLimit: 30,
      softTimeLimit: 20,
      queue: 'billing',
    })
    await charge.delay('o-2', kw({ amount: 6 }))
    const [first, second] = await messages()
    expect(first?.headers.timelimit).toEqual([30, 20])
    expect(first?.properties.delivery_info).toMatchObject({ routing_key: 'billing' })
    expect(first?.body.slice(0, 2)).toEqual([['o-1'], { amount: 5 }])
    expect(second?.body.slice(0, 2)).toEqual([['o-2'], { amount: 6 }])
  })

  it('TSK-024 TSK-025 TSK-020 TSK-021 lifts execution options of the task, which the call overrides', async () => {
    const app = makeApp({ taskDefaultPriority: 7 })
    const task = app.task('t.slow', { queue: 'slow', timeLimit: 9, ignoreResult: true, expires: 60 }, () => 1)
    await task.delay()
    await task.applyAsync({ queue: 'fast', priority: 2, ignoreResult: false })
    await task.withOptions({ queue: 'other' }).delay()
    const sent = await messages()
    expect(sent.map((one) => one.properties.delivery_info)).toMatchObject([
      { routing_key: 'slow' },
      { routing_key: 'fast' },
      { routing_key: 'other' },
    ])
    expect(sent.map((one) => one.properties.priority)).toEqual([7, 2, 7])
    expect(sent[0]?.headers).toMatchObject({ timelimit: [9, null], ignore_result: true })
    expect(sent[0]?.headers.expires).toEqual(expect.any(String))
    expect(sent[1]?.headers.ignore_result).toBe(false)
  })

  it('PUB-015 RES-044 gives a result that is ignored', async () => {
    const task = makeApp().task('t.quiet', { ignoreResult: true }, () => 1)
    const result = await task.delay()
    expect(result.ignored).toBe(true)
    expect(await result.get()).toBeUndefined()
  })

  it('TSK-004 refuses wrong arguments before anything is sent, unless typing is off', async () => {
    const app = makeApp()
    const add = app.task('t.add', { params: ['x', 'y'] }, (x: number, y: number) => x + y)
    await expect(add.delay(...([1] as unknown as [number, number]))).rejects.toThrow(
      new TypeError("add() missing 1 required positional argument: 'y'"),
    )
    await expect(add.s(1).delay(...([] as unknown as [number]))).rejects.toThrow(TypeError)
    const one = app.task('t.one', (x: number) => x)
    await expect(one.delay(...([1, 2] as unknown as [number]))).rejects.toThrow(
      new TypeError('one() takes 1 positional argument but 2 were given'),
    )
    const loose = app.task('t.loose', { params: ['x'], typing: false }, (x: number) => x)
    await loose.delay(...([] as unknown as [number]))
    expect(await messages()).toHaveLength(1)
  })

  it('TSK-004 sends what TypeScript lets through: an optional parameter may be left out, with and without params', async () => {
    const app = makeApp()
    const scale = app.task('t.scale', (x: number, by?: number) => x * (by ?? 2))
    const named = app.task('t.named', { params: ['x', 'by?'] }, (x: number, by?: number) => x * (by ?? 2))
    await scale.delay(1)
    await named.delay(1)
    expect((await messages()).map((one) => one.body[0])).toEqual([[1], [1]])
    expect(await (await scale.apply({ args: [4] })).get()).toBe(8)
    expect(await (await named.apply({ args: [4] })).get()).toBe(8)
  })

  it('TSK-013 refuses a task whose soft limit is over its hard one', async () => {
    const task = makeApp().task('t.odd', { timeLimit: 1, softTimeLimit: 2 }, () => 1)
    await expect(task.delay()).rejects.toThrow('soft_time_limit must be less than or equal to time_limit')
  })

  it('TSK-097 PUB-014 names a call for monitors', async () => {
    const task = makeApp().task('t.named', { shadowName: (args) => `named ${args[0]}` }, (x: number) => x)
    await task.delay(1)
    await task.applyAsync({ args: [1], shadow: 'given' })
    expect((await messages()).map((one) => one.headers.shadow)).toEqual(['named 1', 'given'])
  })

  it('PUB-027 CNV-015 sends by name what is not here, never checked', async () => {
    const app = makeApp()
    app.task('t.add', { queue: 'own' }, (x: number, y: number) => x + y)
    await app.sendTask('t.add', { args: [1] })
    await app
      .remote<{ args: [path: string]; kwargs: { width?: number } }>('images.resize')
      .delay('a', kw({ width: 1 }))
    const [first, second] = await messages()
    expect(first?.headers.argsrepr).toBe('[1]')
    expect(first?.properties.delivery_info).toMatchObject({ routing_key: 'celery' })
    expect(second?.body.slice(0, 2)).toEqual([['a'], { width: 1 }])
  })

  it('PUB-001 refuses arguments that are no list or mapping', async () => {
    const app = makeApp()
    await expect(app.sendTask('t', { args: 5 as never })).rejects.toThrow('task args must be a list or tuple')
    await expect(app.sendTask('t', { kwargs: [1] as never })).rejects.toThrow('must be a mapping')
  })

  it('TSK-077 CNV-005 applies signatures by the rules of their task', async () => {
    const app = makeApp()
    const add = app.task('t.add', { queue: 'math' }, (x: number, y: number) => x + y)
    await add.s(3).delay(2)
    await add.si(1, 1).applyAsync({ args: [9], priority: 4 })
    await app.send(
      { task: 'py.task', args: [1], options: { queue: 'py' } },
      { task_id: 'given', root_id: 'root' },
    )
    const sent = await messages()
    expect(sent.map((one) => one.body[0])).toEqual([[2, 3], [1, 1], [1]])
    expect(sent[0]?.properties.delivery_info).toMatchObject({ routing_key: 'math' })
    expect(sent[2]?.headers).toMatchObject({ id: 'given', root_id: 'root', argsrepr: '[1]' })
  })

  it('CNV-004 makes a signature of a name, a task, data, or another signature', () => {
    const app = makeApp()
    const add = app.task('t.add', (x: number, y: number) => x + y)
    const data = {
      task: 't.add',
      args: [1, 2],
      kwargs: {},
      options: { queue: 'q' },
      subtask_type: null,
      immutable: false,
    }
    expect(app.signature('t.add', { args: [1, 2], queue: 'q' }).toSignatureData()).toEqual(data)
    expect(app.signature(add, { args: [1, 2], queue: 'q' }).toSignatureData()).toEqual(data)
    expect(app.signature(data).toSignatureData()).toEqual(data)
    const copy = app.signature(signatureFromData(app, data), { args: [0], immutable: true })
    expect(copy).toMatchObject({ args: [0, 1, 2], immutable: true })
  })

  it('PUB-013 PUB-016 TSK-009 makes tasks sent inside a task its children, unless told otherwise', async () => {
    const app = makeApp({ taskStoreEagerResult: true })
    const child = app.task('t.child', () => 1)
    const parent = app.task('t.parent', { bind: true }, async (self) => {
      const kept = await child.delay()
      await child.applyAsync({ addToParent: false })
      return { kept: kept.id, children: self.request.children, current: currentTask()?.request.id }
    })
    const result = await parent.apply()
    const value = await result.get()
    expect(value).toEqual({
      kept: expect.any(String),
      children: [[[value.kept, null], null]],
      current: result.id,
    })
    const sent = await messages()
    expect(sent.map((one) => [one.headers.parent_id, one.headers.root_id])).toEqual([
      [result.id, result.id],
      [result.id, result.id],
    ])
  })

  it('PUB-038 lets interceptors change what is sent, the first added outermost', async () => {
    const app = makeApp()
    const seen: string[] = []
    app.interceptors.aroundPublish(async (request, next) => {
      seen.push(`a ${request.name}`)
      const sent = await next({ ...request, options: { ...request.options, headers: { 'X-Trace': '1' } } })
      seen.push(`a sent ${sent.queue}`)
      return sent
    })
    const remove = app.interceptors.aroundPublish((request, next) => {
      seen.push('b')
      return next(request)
    })
    await app.sendTask('t.one')
    remove()
    await app.sendTask('t.two')
    expect(seen).toEqual(['a t.one', 'b', 'a sent celery', 'a t.two', 'a sent celery'])
    expect((await messages())[0]?.headers['X-Trace']).toBe('1')
  })

  it('reads and writes types of your own', async () => {
    class Money {
      readonly cents: number
      constructor(cents: number) {
        this.cents = cents
      }
    }
    const app = makeApp({
      taskAlwaysEager: true,
      types: [
        {
          marker: 'money',
          test: (value) => value instanceof Money,
          encode: (value: Money) => value.cents,
          decode: (data) => new Money(Number(data)),
        },
      ],
    })
    const double = app.task('t.double', (money: Money) => new Money(money.cents * 2))
    expect(await (await double.delay(new Money(5))).get()).toEqual(new Money(10))
  })

  it('RES-055 CTL-001 broadcasts a revoke to the mailbox of every worker', async () => {
    const app = makeApp({ brokerUrl: 'memory://' })
    const queue = `w.${app.oid}.celery.pidbox`
    await app.publisher.run('listening', (connection) =>
      connection.declare({
        exchanges: [{ name: 'celery.pidbox', type: 'fanout', durable: false }],
        queues: [{ name: queue, durable: false, exclusive: false, autoDelete: true, arguments: {} }],
        bindings: [{ from: 'celery.pidbox', to: { queue }, routingKey: '' }],
      }),
    )
    await app.revoke(['a', 'b'], { terminate: true, signal: 'SIGKILL' })
    await app.asyncResult('c').revoke()
    const bodies = await app.publisher.run('reading', async (connection) => {
      const both = [await connection.get(queue), await connection.get(queue)]
      return both.map((delivery) => JSON.parse(Buffer.from(delivery?.envelope.body ?? []).toString()))
    })
    expect(bodies).toMatchObject([
      {
        method: 'revoke',
        arguments: { task_id: ['a', 'b'], terminate: true, signal: 'SIGKILL' },
        destination: null,
      },
      { method: 'revoke', arguments: { task_id: 'c', terminate: false, signal: 'SIGTERM' } },
    ])
  })

  it('PYO-017 refuses keyword arguments that do not come last', async () => {
    const remote = makeApp().remote('t.any')
    await expect(remote.delay(kw({ a: 1 }), 2)).rejects.toThrow('kw(...) must be the last argument')
  })

  it('wraps every run, the first interceptor outermost', async () => {
    const app = makeApp()
    const seen: string[] = []
    const remove = app.interceptors.aroundExecute(async (request, next) => {
      seen.push(`before ${request.message.task}`)
      const outcome = await next()
      seen.push(outcome.kind)
      return outcome
    })
    app.interceptors.aroundExecute((_request, next) => {
      seen.push('inner')
      return next()
    })
    const task = app.task('t.wrapped', () => seen.push('body'))
    await task.apply()
    remove()
    await task.apply()
    expect(seen).toEqual(['before t.wrapped', 'inner', 'body', 'succeeded', 'inner', 'body'])
  })

  it('TST-007 warns of results that eager tasks never stored', async () => {
    const lines: string[] = []
    const logger = new Proxy({} as Logger, { get: () => (_fields: object, text: string) => lines.push(text) })
    await makeApp({ taskAlwaysEager: true, logger }).asyncResult('x').state()
    await makeApp({ taskAlwaysEager: true, taskStoreEagerResult: true, logger }).asyncResult('x').state()
    expect(lines).toEqual([
      expect.stringContaining('should not be retrieved when task_always_eager is enabled'),
    ])
  })

  it('PUB-026 TST-002 publishes what is sent by name also with taskAlwaysEager, and warns', async () => {
    const app = makeApp({ taskAlwaysEager: true })
    const lines: string[] = []
    app.useLogger(new Proxy({} as Logger, { get: () => (_: object, text: string) => lines.push(text) }))
    await app.sendTask('t.elsewhere', { args: [1] })
    await app.signature('t.elsewhere', { args: [2] }).delay()
    expect((await messages()).map((one) => [one.headers.task, one.body[0]])).toEqual([
      ['t.elsewhere', [1]],
      ['t.elsewhere', [2]],
    ])
    expect(lines).toEqual([
      expect.stringContaining('AlwaysEagerIgnored'),
      expect.stringContaining('AlwaysEagerIgnored'),
    ])
  })

  it('SEC-007 stores results uncompressed, whatever result_compression says, as Celery does', async () => {
    const app = makeApp({ resultCompression: 'gzip', taskStoreEagerResult: true })
    const task = app.task('t.ok', () => 'as it is')
    const result = await task.apply()
    const stored = await readFile(join(folder, 'results', `celery-task-meta-${result.id}`), 'utf8')
    expect(JSON.parse(stored)).toMatchObject({ status: 'SUCCESS', result: 'as it is' })
  })

  it('SEC-014 makes no class of the name that a stored error claims: it is data of a RemoteTaskError', async () => {
    const app = makeApp()
    for (const [excType, excModule] of [
      ['Function', 'builtins'],
      ['execSync', 'node:child_process'],
      ['__proto__', 'constructor'],
    ]) {
      const result = { exc_type: excType, exc_module: excModule, exc_message: ['process.exit(3)'] }
      const meta = { status: 'FAILURE', result, traceback: null, children: [], task_id: 'e-1' }
      await mkdir(join(folder, 'results'), { recursive: true })
      await writeFile(join(folder, 'results', 'celery-task-meta-e-1'), JSON.stringify(meta))
      const error = await app.asyncResult('e-1').get({ timeout: 5, propagate: false })
      expect(error).toMatchObject({ excType, excModule, args: ['process.exit(3)'] })
      expect(Object.getPrototypeOf(error)).toBe(RemoteTaskError.prototype)
    }
  })

  it('logs to the logger that it is given later', async () => {
    const app = makeApp({ taskAlwaysEager: true })
    const lines: string[] = []
    const logger = new Proxy({} as Logger, {
      get: (_, level) =>
        level === 'child' ? () => logger : (_fields: object, text: string) => lines.push(text),
    })
    app.useLogger(logger)
    await app.sendTask('t.elsewhere')
    expect(lines.join()).toContain('AlwaysEagerIgnored')
  })
})

describe('a task', () => {
  it('is a function that runs here and now', () => {
    const app = makeApp()
    const add = app.task('t.add', (x: number, y: number) => x + y)
    expect(typeof add).toBe('function')
    expect(add(2, 3)).toBe(5)
    expect([add.name, add.length]).toEqual(['t.add', 2])
    expect(add.withOptions({ queue: 'q' })(1, 1)).toBe(2)
  })

  it('TSK-002 TSK-052 gets self first when bound, also when it is called directly', async () => {
    const app = makeApp()
    const who = app.task('t.who', { bind: true }, (self, x: number) => [
      self.name,
      self.request.calledDirectly,
      x,
    ])
    expect(who(1)).toEqual(['t.who', true, 1])
    expect(await (await who.apply({ args: [2] })).get()).toEqual(['t.who', false, 2])
  })

  it('knows the defaults of Celery (TSK-005, TSK-006, TSK-022) and those of the settings (TSK-008)', () => {
    const app = makeApp({
      taskIgnoreResult: true,
      taskTrackStarted: true,
      taskAcksLate: true,
      taskSerializer: 'yaml',
    })
    expect(app.task('t.plain', () => 1).options).toMatchObject({
      maxRetries: 3,
      defaultRetryDelay: 180,
      ignoreResult: true,
      trackStarted: true,
      acksLate: true,
      serializer: 'yaml',
      resultReprMaxsize: 1024,
      trail: true,
      sendEvents: true,
    })
    const own = app.task('t.own', { acksLate: false, maxRetries: null }, () => 1)
    expect(own.options).toMatchObject({ acksLate: false, maxRetries: null })
  })

  it('TSK-012 writes the body with its serializer, not with that of the settings', async () => {
    const app = makeApp({ taskSerializer: 'yaml' })
    await app.task('t.own', { serializer: 'json' }, () => 1).delay()
    await app
      .task('t.plain', { serializer: 'json' }, () => 1)
      .applyAsync({ serializer: 'yaml', queue: 'yaml' })
    const names = (await readdir(join(folder, 'broker'))).filter((name) => name.endsWith('.msg'))
    const types = await Promise.all(
      names.map(async (name) => {
        const text = await readFile(join(folder, 'broker', name), 'utf8')
        return [name.split('.')[1], JSON.parse(text)['content-type']]
      }),
    )
    expect(Object.fromEntries(types)).toEqual({ celery: 'application/json', yaml: 'application/x-yaml' })
  })

  it('knows TSK-010 send_events and TSK-018 reject_on_worker_lost, and fills every option', () => {
    const app = makeApp({
      taskDefaultRateLimit: '9/m',
      taskStoreErrorsEvenIfIgnored: true,
      taskStoreEagerResult: true,
    })
    expect(app.task('t.all', () => 1).options).toEqual({
      bind: false,
      maxRetries: 3,
      defaultRetryDelay: 180,
      rateLimit: '9/m',
      ignoreResult: false,
      trail: true,
      sendEvents: true,
      storeErrorsEvenIfIgnored: true,
      serializer: 'json',
      timeLimit: null,
      softTimeLimit: null,
      trackStarted: false,
      acksLate: false,
      acksOnFailureOrTimeout: true,
      acksOnFailure: null,
      acksOnTimeout: null,
      rejectOnWorkerLost: false,
      throws: [],
      expires: null,
      priority: null,
      resultReprMaxsize: 1024,
      autoretryFor: [],
      dontAutoretryFor: [],
      retryKwargs: {},
      retryBackoff: false,
      retryBackoffMax: 600,
      retryJitter: true,
      storeEagerResult: true,
      queue: null,
      exchange: null,
      routingKey: null,
      deliveryMode: null,
      compression: null,
      mandatory: null,
      immediate: null,
    })
  })

  it('TSK-096 gives the result of a call by its id', async () => {
    const app = makeApp()
    const add = app.task('t.add', (x: number, y: number) => x + y)
    const state = {
      taskId: 'i',
      state: 'SUCCESS',
      result: 5,
      traceback: undefined,
      children: [],
      dateDone: undefined,
    }
    await app.backend.store(state)
    expect(await add.asyncResult('i').get({ timeout: 5 })).toBe(5)
    expect(await app.restoreGroup('none')).toBeUndefined()
  })

  it('TSK-003 shares options, handlers and methods through a base, one instance per task', async () => {
    const told: string[] = []
    class Counting extends TaskBase {
      override readonly options = { maxRetries: 7, ignoreResult: true }
      count = 0
      override onFailure(self: TaskSelf<Counting>, error: unknown): void {
        told.push(`${self.name} ${this.count} ${String(error)}`)
      }
      next(this: TaskSelf<Counting>): string {
        this.count += 1
        return `${this.request.task} ${this.count}`
      }
    }
    const app = makeApp()
    const a = app.task('t.a', { bind: true, base: Counting, ignoreResult: false }, (self) => self.next())
    const b = app.task('t.b', { bind: true, base: Counting }, (self) => {
      throw new Error(self.next())
    })
    expect(a.options).toMatchObject({ maxRetries: 7, ignoreResult: false })
    expect([await (await a.apply()).get(), await (await a.apply()).get(), a()]).toEqual([
      't.a 1',
      't.a 2',
      't.a 3',
    ])
    await b.apply()
    expect(told).toEqual(['t.b 1 Error: t.b 1'])
  })

  it('TSK-059 calls the handlers of its definition, with self', async () => {
    const seen: unknown[] = []
    const task = makeApp().task(
      't.handled',
      {
        beforeStart: (self, id) => seen.push(['before', self.request.id === id]),
        onSuccess: (_self, value) => seen.push(['success', value]),
        afterReturn: (_self, state) => seen.push(['after', state]),
      },
      (x: number) => x * 2,
    )
    await task.apply({ args: [2] })
    expect(seen).toEqual([
      ['before', true],
      ['success', 4],
      ['after', 'SUCCESS'],
    ])
  })

  it('TST-009 runs its errbacks here and now with taskAlwaysEager', async () => {
    const app = makeApp({ taskAlwaysEager: true })
    const told: unknown[] = []
    const failed = app.task('t.failed', (...args: unknown[]) => void told.push(args))
    const task = app.task('t.fail', () => {
      throw new RangeError('no')
    })
    const result = await task.applyAsync({ linkError: failed.s(), taskId: 'f-1' })
    expect(await result.state()).toBe('FAILURE')
    expect(told).toEqual([['f-1']])
    expect(await readdir(folder)).toEqual([])
  })

  it('TST-001 TST-014 runs at once with taskAlwaysEager, with arguments as they would arrive', async () => {
    const app = makeApp({ taskAlwaysEager: true })
    const same = app.task('t.same', (value: unknown) => value)
    const date = new Date('2026-01-02T03:04:05.000Z')
    const result = await same.delay({ date, none: undefined })
    expect(result).toBeInstanceOf(EagerResult)
    expect(await result.get()).toMatchObject({ date })
    await expect(same.delay(Symbol('no'))).rejects.toThrow('JSON')
    expect(await readdir(folder)).toEqual([])
  })

  it('TSK-076 TST-004 keeps the error in the result, or throws it when told', async () => {
    const fail = makeApp().task('t.fail', () => {
      throw new RangeError('no')
    })
    const result = await fail.apply()
    expect(await result.state()).toBe('FAILURE')
    await expect(result.get()).rejects.toThrow(new RangeError('no'))
    await expect(fail.apply({ throws: true })).rejects.toThrow(RangeError)
  })

  it('PYO-017 maps keyword arguments where it runs, and leaves the others in its request', async () => {
    const task = makeApp().task(
      't.kwargs',
      { bind: true, params: ['x', 'y'] },
      (self, x: number, y: number) => [x, y, self.request.kwargs],
    )
    const result = await task.apply({ args: [1], kwargs: { y: 2, note: 'n' } as { y: number } })
    expect(await result.get()).toEqual([1, 2, { y: 2, note: 'n' }])
  })

  it('CNV-013 is called by its signature', async () => {
    const app = makeApp()
    const add = app.task('t.add', (x: number, y: number) => x + y)
    expect(add.s(3).call(2)).toBe(5)
    expect(await (await add.s(3).apply({ args: [2] })).get()).toBe(5)
    expect(() => app.signature('t.none').call()).toThrow(TaskNotRegisteredError)
    await expect(app.signature('t.none').apply()).rejects.toThrow(TaskNotRegisteredError)
  })
})
