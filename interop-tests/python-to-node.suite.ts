import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Celery, date, datetime, decimal, float, uuid } from '../src/index.js'
import type { Worker } from '../src/worker/index.js'
import type { Broker, BrokerKind } from './brokers.js'
import { type Driver, Shop } from './harness.js'
import { eventually, everyContent, nodeApp, nodeTasks } from './node-app.js'
import { skipNote } from './redis-server.js'
import { whenShared } from './when-shared.js'

/** What a Django app and a TypeScript worker owe each other over any broker. */
export function describePythonToNode(kind: BrokerKind): void {
  describe.skipIf(kind.missing)(
    `a Django app sends over ${kind.name}, a TypeScript worker runs${skipNote(kind.missing)}`,
    () => calls(kind),
  )
}

function calls(kind: BrokerKind): void {
  let broker: Broker
  let shop: Shop
  let app: Celery
  let worker: Worker
  let python: Driver
  const seen: string[] = []
  const run = async (name: string, args: unknown[] = [], kwargs: object = {}, options: object = {}) =>
    python.get(await python.send(name, args, kwargs, options))

  beforeAll(async () => {
    broker = await kind.start()
    shop = new Shop({ broker, settings: { CELERY_ACCEPT_CONTENT: everyContent } })
    app = nodeApp(shop)
    nodeTasks(app, seen)
    worker = app.worker({ queues: ['node'], concurrency: 10, hostname: 'node@test' })
    await worker.start()
    python = await shop.client()
  })
  afterAll(async () => {
    await worker?.stop()
    await app?.close()
    await shop?.close()
    await broker?.close()
  })

  it('TSK-074 WRK-028 runs a plain call and Python reads the value', async () => {
    expect(await run('node.add', [2, 3])).toEqual({ ok: { value: 5, repr: '5', type: 'int' } })
  })

  it('PYO-017 maps keyword arguments by params, in any order, and leaves defaults to the function', async () => {
    const { ok } = await run('node.kwargs', [], { amount: 5, orderId: 'o-1' })
    expect(ok?.value).toEqual({ orderId: 'o-1', amount: 5, note: null })
    const mixed = await run('node.kwargs', ['o-2'], { note: 'x', amount: 6 })
    expect(mixed.ok?.value).toEqual({ orderId: 'o-2', amount: 6, note: 'x' })
  })

  it('PYO-011 answers a wrong call with the TypeError that Python would raise', async () => {
    const missing = await run('node.kwargs', ['o-1'])
    expect(missing.error).toMatchObject({ type: 'TypeError', module: 'builtins' })
    expect(missing.error?.text).toContain("missing 1 required positional argument: 'amount'")
    const surplus = await run('node.kwargs', ['o-1', 5, 'x', 'y'])
    expect(surplus.error?.text).toContain('takes from 2 to 3 positional arguments but 4 were given')
    const doubled = await run('node.kwargs', ['o-1', 5], { orderId: 'o-2' })
    expect(doubled.error?.text).toContain("got multiple values for argument 'orderId'")
    const beyond = await run('node.request', [], { colour: 'red' })
    expect(beyond.ok?.value).toMatchObject({ kwargs: { colour: 'red' } })
  })

  it.each(everyContent)('SEC-001 SEC-003 reads arguments serialized as %s', async (serializer) => {
    const { ok } = await run(
      'node.echo',
      [1, 1.5, 'é\u{1f600}', null, true, [1, { a: 'b' }]],
      {},
      { serializer },
    )
    expect(ok?.value).toEqual([1, 1.5, 'é\u{1f600}', null, true, [1, { a: 'b' }]])
  })

  it.each(['gzip', 'zlib', 'bzip2', 'lzma', 'xz', 'brotli', 'zstd'])(
    'SEC-006 reads bodies compressed with %s',
    async (compression) => {
      const text = 'celery '.repeat(500)
      expect((await run('node.echo', [text], {}, { compression })).ok?.value).toEqual([text])
    },
  )

  it('SEC-004 PYO-014 receives typed values and gives them back unchanged to the microsecond', async () => {
    const values = [
      datetime('2030-01-02T03:04:05.678901+05:30'),
      datetime('2030-01-02T03:04:05'),
      date('2030-01-02'),
      decimal('1.10'),
      uuid('6ba7b810-9dad-41d1-80b4-00c04fd430c8'),
      Buffer.from([0xff, 0]),
    ]
    const { ok } = await run('node.echo', values)
    expect(ok?.repr).toBe(
      '[datetime.datetime(2030, 1, 2, 3, 4, 5, 678901, tzinfo=datetime.timezone(datetime.timedelta(seconds=19800))), ' +
        "datetime.datetime(2030, 1, 2, 3, 4, 5), datetime.date(2030, 1, 2), Decimal('1.10'), " +
        "UUID('6ba7b810-9dad-41d1-80b4-00c04fd430c8'), b'\\xff\\x00']",
    )
    expect((await run('node.kinds', values)).ok?.value).toEqual([
      'DateTime',
      'DateTime',
      'PlainDate',
      'Decimal',
      'Uuid',
      'Buffer',
    ])
  })

  it('PYO-015 keeps integers beyond 2^53 exact, and NaN and Infinity', async () => {
    const { ok } = await run('node.echo', [
      2n ** 64n,
      -(2n ** 63n),
      Number.NaN,
      Number.POSITIVE_INFINITY,
      float(2),
    ])
    expect(ok?.repr).toMatch(/^\[18446744073709551616, -9223372036854775808, nan, inf, 2(\.0)?\]$/)
  })

  it('PUB-003 WRK-039 TSK-041 waits for the eta', async () => {
    const before = Date.now()
    const id = await python.send('node.request', [], {}, { countdown: 1.5 })
    const { ok } = await python.get(id)
    expect(Date.now() - before).toBeGreaterThanOrEqual(1400)
    expect(ok?.value).toMatchObject({ id, eta: expect.stringMatching(/^20\d\d-.*\+00:00$/) })
    expect((await run('node.add', [1, 1], {}, { eta: '2001-01-01T00:00:00Z' })).ok?.value).toBe(2)
  })

  it('ACK-024 WRK-037 RES-014 revokes a task whose expiry has passed', async () => {
    const { error } = await run('node.quiet', ['never'], {}, { expires: '2001-01-01T00:00:00+00:00' })
    expect(error).toMatchObject({ type: 'TaskRevokedError', args: ['expired'] })
    expect(seen).not.toContain('never')
  })

  it('ACK-011 TSK-079 TSK-085 TSK-087 retries under the same id, through RETRY, to success', async () => {
    const id = await python.send('node.flaky', [2])
    expect((await python.get(id)).ok?.value).toEqual({ retries: 2, id })
  })

  it('TSK-099..101 TSK-104 retries by itself with backoff, and fails with the original error when it may no more', async () => {
    expect((await run('node.auto', [1])).ok?.value).toBe(1)
    const { error } = await run('node.auto', [9])
    expect(error).toMatchObject({ type: 'TypeError', module: 'builtins', args: ['attempt 2'] })
  })

  it('ACK-003 RES-013 RES-016 PYO-006 raises a class that Python knows, or one made up by its name', async () => {
    expect((await run('node.fail', ['TypeError'])).error).toMatchObject({
      type: 'TypeError',
      module: 'builtins',
      args: ['bad argument'],
    })
    expect((await run('node.fail', ['RangeError'])).error).toMatchObject({
      type: 'ValueError',
      module: 'builtins',
    })
    const made = (await run('node.fail', ['PaymentError'])).error
    expect(made).toMatchObject({ type: 'PaymentError', args: ['card refused'] })
  })

  whenShared(kind, 'RES-012 stores the stack as the traceback', async () => {
    const id = await python.send('node.fail', ['TypeError'])
    await python.get(id)
    expect(String((await python.meta(id)).traceback)).toContain('node-app.ts')
  })

  whenShared(
    kind,
    'RES-011 stores name, args, kwargs, worker, retries and queue when results are extended',
    async () => {
      const id = await python.send('node.kwargs', ['o-1'], { amount: 5 })
      await python.get(id)
      expect(await python.meta(id)).toMatchObject({
        status: 'SUCCESS',
        name: 'node.kwargs',
        args: ['o-1'],
        kwargs: { amount: 5 },
        worker: 'node@test',
        retries: 0,
        queue: 'node',
      })
    },
  )

  it('TSK-051 PUB-015 the header decides whether a result is stored, over the task of that name', async () => {
    const marks = [`quiet-${Math.random()}`, `loud-${Math.random()}`]
    const quiet = await python.send('node.quiet', [marks[0]], {}, { ignore_result: true })
    // send_task writes an explicit False, so Celery stores the result although the task says ignore.
    const loud = await python.send('node.quiet', [marks[1]])
    expect(await python.get(loud)).toMatchObject({ ok: { value: null } })
    await eventually('both ran', () => marks.every((mark) => seen.includes(mark)))
    expect((await run('node.add', [3, 4])).ok?.value).toBe(7)
    expect((await python.meta(quiet)).status).toBe('PENDING')
  })

  whenShared(kind, 'TSK-090 RES-004 shows custom states to Python while it runs', async () => {
    const id = await python.send('node.progress', [6])
    const states = new Set<unknown>()
    await eventually('the task ended', async () => {
      const meta = await python.meta(id)
      states.add(meta.status)
      if (meta.status === 'PROGRESS') expect(meta.result).toMatchObject({ total: 6 })
      return meta.status === 'SUCCESS'
    })
    expect(states).toContain('PROGRESS')
  })

  it('PUB-061 PUB-066 takes messages with priorities, whether or not the broker orders by them', async () => {
    const { ok } = await run('node.request', [], {}, { priority: 7 })
    expect(ok?.value).toMatchObject({ priority: 7 })
  })

  it('PUB-018 TSK-046 TSK-058 hands custom headers over', async () => {
    const { ok } = await run('node.request', [], {}, { headers: { 'X-Tenant': 'acme', n: 1 } })
    expect(ok?.value).toMatchObject({ headers: { 'X-Tenant': 'acme', n: 1 } })
  })

  it('TSK-033 TSK-049 TSK-050 PUB-014 gives the request what the sender wrote', async () => {
    const id = await python.send(
      'node.request',
      ["it's"],
      { k: 1 },
      { shadow: 'short', correlation_id: 'c-1' },
    )
    expect((await python.get(id)).ok?.value).toMatchObject({
      id,
      rootId: id,
      parentId: null,
      argsRepr: "['it\\'s']",
      kwargs: { k: 1 },
      kwargsRepr: "{'k': 1}",
      shadow: 'short',
      correlationId: 'c-1',
      origin: expect.stringMatching(/^gen\d+@/),
    })
  })

  whenShared(
    kind,
    'PUB-013 PYO-023 a task sent inside a TypeScript task gets its root and parent by itself',
    async () => {
      const { ok } = await run('node.parent', ['node.request', 'node'])
      const sent = ok?.value as { id: string; rootId: string; child: string }
      expect((await python.get(sent.child)).ok?.value).toMatchObject({
        rootId: sent.rootId,
        parentId: sent.id,
      })
      expect(await python.meta(sent.id)).toMatchObject({ children: [sent.child] })
    },
  )

  it('TSK-109 ACK-016 ends a task at its soft limit with SoftTimeLimitExceeded', async () => {
    const { error } = await run('node.sleep', [30], {}, { soft_time_limit: 0.5 })
    expect(error).toMatchObject({ type: 'SoftTimeLimitExceeded' })
  })

  it('TSK-110 ACK-013 WRK-049 fails a task that passes its hard limit, and goes on', async () => {
    const { error } = await run('node.deaf', [4], {}, { time_limit: 0.5 })
    expect(error).toMatchObject({ type: 'TimeLimitExceeded', args: [0.5] })
    expect((await run('node.add', [1, 1])).ok?.value).toBe(2)
  })

  whenShared(kind, 'TSK-105 ACK-006 stores no state for an ignored task but STARTED', async () => {
    const id = await python.send('node.ignore')
    await eventually('it ran', () => seen.includes('ignored'))
    expect((await run('node.add', [1, 1])).ok?.value).toBe(2)
    expect((await python.meta(id)).status).toBe('STARTED')
  })

  it('WRK-030 TSK-112 stores NotRegistered for a name that it does not know, and goes on', async () => {
    const { error } = await run('node.nowhere')
    expect(error).toMatchObject({
      type: 'NotRegistered',
      module: 'celery.exceptions',
      args: ['node.nowhere'],
    })
    expect((await run('node.add', [1, 1])).ok?.value).toBe(2)
  })

  it('TSK-070 PUB-010 sends the callback with the result, and the errback with the id of the failed task', async () => {
    const sig = (task: string, args: unknown[] = []) => ({
      task,
      args,
      kwargs: {},
      options: { queue: 'node' },
      subtask_type: null,
      immutable: false,
    })
    const linked = sig('node.quiet', [])
    const mark = `link-${Math.random()}`
    await run('node.echo', [mark], {}, { link: [linked] })
    await eventually('the callback ran', () => seen.some((s) => String(s) === mark))
    const id = await python.send('node.fail', ['TypeError'], {}, { link_error: [sig('node.on_error')] })
    await eventually('the errback ran', () => seen.includes(`failed:${id}`))
  })
}
