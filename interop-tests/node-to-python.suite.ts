import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import {
  type AsyncResult,
  type Celery,
  date,
  datetime,
  decimal,
  float,
  kw,
  RemoteTaskError,
  ResultTimeoutError,
  TaskRevokedError,
  TimeLimitExceededError,
  uuid,
} from '../src/index.js'
import type { Broker, BrokerKind } from './brokers.js'
import { type Driver, type PythonWorker, Shop } from './harness.js'
import { eventually, everyContent, nodeApp } from './node-app.js'
import { skipNote } from './redis-server.js'
import { whenShared } from './when-shared.js'

const timeout = 30
const caught = async (result: AsyncResult<unknown>): Promise<unknown> =>
  result.get({ timeout }).then(
    (value) => ({ returned: value }),
    (error: unknown) => error,
  )

interface Echo {
  readonly args: unknown[]
  readonly kwargs: Record<string, unknown>
  readonly reprs: string[]
  readonly types: string[]
}

/** What a TypeScript client and a real Celery worker owe each other over any broker. */
export function describeNodeToPython(kind: BrokerKind): void {
  describe.skipIf(kind.missing)(
    `Node sends over ${kind.name}, a real Celery worker runs${skipNote(kind.missing)}`,
    () => calls(kind),
  )
  describe.skipIf(kind.missing)(
    `time limits set in Node, kept by a prefork worker over ${kind.name}${skipNote(kind.missing)}`,
    () => timeLimits(kind),
  )
  describe.skipIf(kind.missing)(
    `chains and callbacks across both languages over ${kind.name}${skipNote(kind.missing)}`,
    () => chains(kind),
  )
}

function calls(kind: BrokerKind): void {
  let broker: Broker
  let shop: Shop
  let app: Celery
  let worker: PythonWorker
  let python: Driver
  const send = <R = unknown>(
    name: string,
    args: unknown[] = [],
    options: object = {},
  ): Promise<AsyncResult<R>> => app.sendTask<R>(name, { args, ...options })
  const call = async <R = unknown>(name: string, args: unknown[] = [], options: object = {}): Promise<R> =>
    (await send<R>(name, args, options)).get({ timeout })

  beforeAll(async () => {
    broker = await kind.start()
    shop = new Shop({ broker, settings: { CELERY_ACCEPT_CONTENT: everyContent } })
    app = nodeApp(shop)
    worker = await shop.startPythonWorker({ queues: ['celery'] })
    python = await shop.client()
  })
  afterAll(async () => {
    await app?.close()
    await shop?.close()
    await broker?.close()
  })

  it('PUB-030 PUB-032 PUB-033 runs a plain call and reads its value', async () => {
    expect(await call('py.add', [2, 3])).toBe(5)
  })

  it('PYO-017 sends keyword arguments', async () => {
    const resize = app.remote<{ args: [path: string]; kwargs: { width?: number }; result: string }>(
      'py.resize',
    )
    const sent = await resize.delay('a.png', kw({ width: 100 }))
    expect(await sent.get({ timeout })).toBe('a.png@100xNone')
    expect(await call('py.resize', ['b.png'], { kwargs: { height: 5 } })).toBe('b.png@Nonex5')
  })

  it.each(everyContent)('SEC-001 sends arguments serialized as %s', async (serializer) => {
    const echo = await call<Echo>('py.echo', [1, 1.5, "it's é\u{1f600}", null, true, [1, { a: 'b' }]], {
      serializer,
    })
    expect(echo.reprs).toEqual(['1', '1.5', '"it\'s é\u{1f600}"', 'None', 'True', "[1, {'a': 'b'}]"])
  })

  it.each(['gzip', 'zlib', 'bzip2', 'lzma', 'xz', 'brotli', 'zstd'])(
    'SEC-006 sends bodies compressed with %s',
    async (compression) => {
      const text = 'celery '.repeat(500)
      expect((await call<Echo>('py.echo', [text], { compression })).args).toEqual([text])
    },
  )

  it('SEC-004 PYO-014 sends typed values that arrive as what they are in Python', async () => {
    const echo = await call<Echo>('py.echo', [
      new Date('2030-01-02T03:04:05.678Z'),
      datetime('2030-01-02T03:04:05.678901'),
      date('2030-01-02'),
      decimal('1.10'),
      uuid('6ba7b810-9dad-41d1-80b4-00c04fd430c8'),
      Buffer.from([0xff, 0]),
      float(2),
      2n ** 70n,
      Number.NaN,
    ])
    expect(echo.types).toEqual([
      'datetime',
      'datetime',
      'date',
      'Decimal',
      'UUID',
      'bytes',
      'float',
      'int',
      'float',
    ])
    expect(echo.reprs[0]).toBe('datetime.datetime(2030, 1, 2, 3, 4, 5, 678000, tzinfo=datetime.timezone.utc)')
    expect(echo.reprs.slice(1, 9)).toEqual([
      'datetime.datetime(2030, 1, 2, 3, 4, 5, 678901)',
      'datetime.date(2030, 1, 2)',
      "Decimal('1.10')",
      "UUID('6ba7b810-9dad-41d1-80b4-00c04fd430c8')",
      "b'\\xff\\x00'",
      '2.0',
      '1180591620717411303424',
      'nan',
    ])
  })

  it('SEC-004 reads typed results', async () => {
    const value = await call<unknown[]>('py.returns', [
      "[datetime.datetime(2030,1,2,3,4,5,678901), datetime.date(2030,1,2), Decimal('1.10'), UUID(int=5), b'abc', 2**70, (1, 2)]",
    ])
    expect(value).toEqual([
      datetime('2030-01-02T03:04:05.678901'),
      date('2030-01-02'),
      decimal('1.10'),
      uuid('00000000-0000-0000-0000-000000000005'),
      Buffer.from('abc'),
      2n ** 70n,
      [1, 2],
    ])
  })

  it('PUB-003 PUB-004 delays by countdown and by eta', async () => {
    const before = Date.now()
    const later = await call<{ eta: string }>('py.request', [], { countdown: 1.5 })
    expect(Date.now() - before).toBeGreaterThanOrEqual(1400)
    expect(later.eta).toMatch(/\+00:00$/)
    const past = await call<{ eta: string }>('py.request', [], { eta: new Date('2001-01-01T00:00:00Z') })
    expect(past.eta).toMatch(/^2001-01-01T00:00:00(\.0+)?\+00:00$/)
  })

  it('PUB-006 RES-014 a task that expired is revoked and says so', async () => {
    const error = await caught(await send('py.add', [1, 2], { expires: new Date('2001-01-01T00:00:00Z') }))
    expect(error).toBeInstanceOf(TaskRevokedError)
    expect(error).toMatchObject({ excType: 'TaskRevokedError', args: ['expired'] })
  })

  it('TSK-079 follows a task through its retries', async () => {
    const result = await send<{ retries: number; id: string }>('py.flaky', [2])
    expect(await result.get({ timeout })).toEqual({ retries: 2, id: result.id })
    expect(await call('py.auto', [1])).toBe(1)
  })

  it('RES-013 RES-043 PYO-006 turns a Python exception into a typed error', async () => {
    const error = await caught(await send('py.fail'))
    expect(error).toBeInstanceOf(RemoteTaskError)
    expect(error).toMatchObject({ excType: 'ValueError', excModule: 'builtins', args: ['boom', 42, 'a'] })
    expect((error as RemoteTaskError).traceback).toContain('orders/tasks.py')
    const custom = await caught(await send('py.fail', ['PaymentError']))
    expect(custom).toMatchObject({
      excType: 'PaymentError',
      excModule: 'orders.tasks',
      args: ['card refused', 402],
    })
  })

  it('RES-044 PUB-015 does not wait for a result that was not wanted', async () => {
    const result = await send('py.add', [1, 2], { ignoreResult: true })
    expect(await result.get({ timeout })).toBe(undefined)
    const quiet = await send('py.quiet', [`mark-${result.id}`], { ignoreResult: true })
    await eventually('the task ran', () => call<boolean>('py.has_order', [`mark-${result.id}`]))
    expect(await quiet.state()).toBe('PENDING')
  })

  it('TSK-090 RES-051 shows custom states as they come', async () => {
    const result = await send<string>('py.progress', [4])
    const seen: unknown[] = []
    for await (const change of result.progress({ signal: AbortSignal.timeout(30_000) })) seen.push(change)
    expect(seen).toContainEqual(
      expect.objectContaining({ state: 'PROGRESS', meta: expect.objectContaining({ total: 4 }) }),
    )
    expect(await result.get({ timeout })).toBe('done')
  })

  it('PUB-061 PUB-066 a priority arrives in the request, whether or not the broker orders by it', async () => {
    expect(await call('py.request', [], { priority: 7 })).toMatchObject({ priority: 7 })
  })

  it('PUB-018 TSK-046 custom headers reach self.request.headers', async () => {
    expect(await call('py.request', [], { headers: { 'X-Tenant': 'acme', n: 1 } })).toMatchObject({
      headers: { 'X-Tenant': 'acme', n: 1 },
    })
  })

  it('PUB-002 PUB-007 PUB-014 PUB-017 PUB-034 PUB-037 the request in Python holds what Node wrote', async () => {
    const request = await call('py.request', ["it's", 1], {
      taskId: `id-${Math.random()}`,
      kwargs: { k: null },
      timeLimit: 60,
      softTimeLimit: 50,
      shadow: 'short',
      stamps: { st: 'v' },
      stampedHeaders: ['st'],
    })
    expect(request).toMatchObject({
      id: expect.stringMatching(/^id-/),
      parent_id: null,
      timelimit: [60, 50],
      shadow: 'short',
      argsrepr: "['it\\'s', 1]",
      kwargsrepr: "{'k': None}",
      origin: expect.stringMatching(/^gen\d+@/),
      reply_to: true,
      stamps: { st: 'v' },
      stamped_headers: ['st'],
    })
  })

  whenShared(kind, 'PUB-013 root and parent go from a TypeScript task to a Python one', async () => {
    const local = nodeApp(shop)
    const parent = local.task('node.parent', { bind: true }, async (self) => {
      const child = await local.sendTask('py.request')
      return { id: self.request.id, rootId: self.request.rootId, child: child.id }
    })
    await using tsWorker = local.worker({ queues: ['node'], concurrency: 1 })
    await tsWorker.start()
    const sent = await (await parent.delay()).get({ timeout })
    const child = app.asyncResult<{ root_id: string; parent_id: string }>(sent.child)
    expect(await child.get({ timeout })).toMatchObject({ root_id: sent.rootId, parent_id: sent.id })
    await local.close()
  })

  it('PUB-035 a protocol 1 message is run', async () => {
    const old = nodeApp(shop, { taskProtocol: 1 })
    const result = await old.sendTask<number>('py.add', { args: [20, 22] })
    expect(await result.get({ timeout })).toBe(42)
    await old.close()
  })

  it('RES-045 gives up at its timeout and leaves the task alone', async () => {
    const result = await send('py.sleep', [2])
    await expect(result.get({ timeout: 0.3 })).rejects.toBeInstanceOf(ResultTimeoutError)
    expect(await result.get({ timeout })).toBe('slept')
  })

  it('WRK-030 an unknown name comes back as NotRegistered', async () => {
    expect(await caught(await send('py.nowhere'))).toMatchObject({
      excType: 'NotRegistered',
      args: ['py.nowhere'],
    })
  })

  it('RES-054 forgets what Python stored', async () => {
    const result = await send('py.add', [1, 2])
    await result.get({ timeout })
    await result.forget()
    expect((await python.meta(result.id)).status).toBe('PENDING')
  })

  it('the Python worker met no error of its own', () => {
    expect(worker.log).not.toMatch(/Unrecoverable|CRITICAL|Can't decode|unknown message/)
    expect(worker.child.exitCode).toBe(null)
  })
}

function timeLimits(kind: BrokerKind): void {
  let broker: Broker
  let shop: Shop
  let app: Celery
  beforeAll(async () => {
    broker = await kind.start()
    shop = new Shop({ broker })
    app = nodeApp(shop)
    await shop.startPythonWorker({ queues: ['celery'], pool: 'prefork' })
  })
  afterAll(async () => {
    await app?.close()
    await shop?.close()
    await broker?.close()
  })

  it('PUB-007 TSK-109 the soft limit reaches the task, the hard one the caller', async () => {
    const soft = await app.sendTask('py.sleep', { args: [30], softTimeLimit: 1 })
    expect(await soft.get({ timeout })).toBe('soft limit seen')
    const hard = await app.sendTask('py.sleep', { args: [30], timeLimit: 1 })
    expect(await caught(hard)).toBeInstanceOf(TimeLimitExceededError)
  })
}

function chains(kind: BrokerKind): void {
  let broker: Broker
  let shop: Shop
  let app: Celery
  let python: Driver
  beforeAll(async () => {
    broker = await kind.start()
    shop = new Shop({ broker })
    app = nodeApp(shop)
    app.task('node.add', (x: number, y: number) => x + y)
    const worker = app.worker({ queues: ['node'], concurrency: 4 })
    await worker.start()
    await shop.startPythonWorker({ queues: ['celery'] })
    python = await shop.client()
    stopWorker = () => worker.stop()
  })
  let stopWorker: () => Promise<unknown> = async () => {}
  afterAll(async () => {
    await stopWorker()
    await app?.close()
    await shop?.close()
    await broker?.close()
  })

  it('TSK-071 CNV-046 a chain that Python wrote hops between the two', async () => {
    const source =
      "chain(s('py.add', 1, 2), on(s('node.add', 10), queue='node'), s('py.add', 100), on(s('node.add', 1000), queue='node'))"
    const { id } = await python.canvas(source)
    expect((await python.get(id)).ok?.value).toBe(1113)
  })

  it('CNV-054 a step that fails in TypeScript fails the rest of the chain', async () => {
    app.task('node.fail', () => {
      throw new TypeError('no')
    })
    const { id } = await python.canvas(
      "chain(s('py.add', 1, 2), on(s('node.fail'), queue='node', immutable=True), s('py.add', 1))",
    )
    expect((await python.get(id)).error).toMatchObject({ type: 'TypeError', args: ['no'] })
  })
}
