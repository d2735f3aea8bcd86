import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { ResultMeta } from '../../protocol/result-meta.js'
import { createCodec } from '../../protocol/serializers.js'
import { BrokerUnavailableError, ConfigError, UnroutableError } from '../errors.js'
import { createMemoryTransport } from '../transport/memory-transport.js'
import type { Connection, Outgoing } from '../transport/transport.js'
import { CountingClock, metaOf } from './backend.conformance.js'
import type { BackendOptions } from './backend-options.js'
import { openBackend } from './open.js'
import type { RpcBroker } from './rpc-broker.js'
import { RpcInbox } from './rpc-inbox.js'

const codec = createCodec()
const never = new AbortController().signal
const request = (id: string, replyTo: string | undefined = 'me') => ({ id, replyTo, correlationId: id })

/** The memory broker, with doors to watch and to slam. */
class TestBroker implements RpcBroker {
  readonly sent: (readonly Outgoing[])[] = []
  readonly opened: Connection[] = []
  /** How many messages each publish had, taken or not. */
  readonly tries: number[] = []
  refuses: Error | undefined
  /** Reply queues that are not there. */
  readonly absent = new Set<string>()
  readonly #transport = createMemoryTransport()
  #reading: Promise<Connection> | undefined
  #writing: Promise<Connection> | undefined

  async connect(signal: AbortSignal): Promise<Connection> {
    signal.throwIfAborted()
    if (this.refuses !== undefined) throw this.refuses
    this.#reading ??= this.dial()
    const connection = await this.#reading
    void connection.closed.then(() => {
      this.#reading = undefined
    })
    return connection
  }

  async publish(messages: readonly Outgoing[], signal: AbortSignal): Promise<void> {
    if (this.refuses !== undefined) throw this.refuses
    const returned = messages.filter(
      ({ to, mandatory }) => mandatory !== false && this.absent.has(to.routingKey),
    )
    const taken = messages.filter(({ to }) => !this.absent.has(to.routingKey))
    if (taken.length > 0) this.sent.push(taken)
    this.tries.push(messages.length)
    if (returned.length > 0) throw new UnroutableError('no queue', returned)
    this.#writing ??= this.dial()
    await (await this.#writing).publish(messages, { signal })
  }

  async dial(): Promise<Connection> {
    const connection = await this.#transport.connect('memory://', { transportOptions: {} })
    this.opened.push(connection)
    return connection
  }

  async close(): Promise<void> {
    await Promise.all(this.opened.map((connection) => connection.close()))
  }
}

describe('rpc results', () => {
  let broker: TestBroker
  let clock: CountingClock
  let client: ReturnType<typeof open>
  let worker: ReturnType<typeof open>
  const opened: ReturnType<typeof openBackend>[] = []

  function open(replyTo: string, options: Partial<BackendOptions> = {}, persistent?: boolean) {
    const rpc = { broker, replyTo, persistent }
    const backend = openBackend('rpc://', { codec, clock, rpc, ...options })
    opened.push(backend)
    return backend
  }
  async function collect(watch: AsyncIterable<ResultMeta>): Promise<ResultMeta[]> {
    const metas: ResultMeta[] = []
    for await (const meta of watch) metas.push(meta)
    return metas
  }

  beforeEach(() => {
    broker = new TestBroker()
    clock = new CountingClock()
    client = open('me')
    worker = open('worker')
  })
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((each) => each.close()))
    await broker.close()
    expect(clock.live).toBe(0)
  })

  it('RES-029 needs the broker of an app', () => {
    expect(() => openBackend('rpc://', { codec })).toThrow(ConfigError)
    expect(client).toMatchObject({ kind: 'rpc', displayUrl: 'rpc://', persistent: false, autoExpires: true })
  })

  it('RES-031 sends each state to reply_to through the default exchange, as Celery writes it', async () => {
    const meta = metaOf('id-1', 'SUCCESS', 5, {
      children: [],
      dateDone: '2026-11-20T10:12:55.143897+00:00',
      groupId: 'g',
      parentId: 'p',
    })
    await worker.store(meta, { id: 'id-1', replyTo: 'me', correlationId: 'its-own' })
    const [[message]] = broker.sent as [[Outgoing]]
    expect(message).toEqual({
      envelope: {
        body: expect.any(Uint8Array),
        contentType: 'application/json',
        contentEncoding: 'utf-8',
        headers: {},
        properties: { correlationId: 'its-own', deliveryMode: 1, priority: 0 },
      },
      to: { exchange: '', routingKey: 'me' },
      mandatory: true,
    })
    const celerys = '{"task_id": "id-1", "status": "SUCCESS", "result": 5, "traceback": null, "children": []}'
    const body = JSON.parse(Buffer.from(message.envelope.body).toString())
    expect(Object.entries(body)).toEqual(Object.entries(JSON.parse(celerys)))
  })

  it('RES-031 sends results again whose reply queue is away for a moment, in their order and without holding up the task', async () => {
    broker.absent.add('me')
    await worker.store(metaOf('a', 'STARTED', null), request('a'))
    await worker.store(metaOf('a', 'SUCCESS', 1), request('a'))
    await worker.store(metaOf('b', 'SUCCESS', 2), request('b', 'other'))
    expect(broker.sent).toHaveLength(1)
    broker.absent.delete('me')
    await vi.waitFor(() => expect(broker.sent).toHaveLength(2))
    const states = broker.sent[1]?.map(
      ({ envelope }) => JSON.parse(Buffer.from(envelope.body).toString()).status,
    )
    expect(states).toEqual(['STARTED', 'SUCCESS'])
    await worker.store(metaOf('c', 'SUCCESS', 3), request('c'))
    expect(broker.sent).toHaveLength(3)
  })

  it('RES-032 awaits a reply queue that does not come for three seconds, once', async () => {
    broker.absent.add('me')
    await worker.store(metaOf('a', 'SUCCESS', 1), request('a'))
    await vi.waitFor(() => expect(broker.tries).toHaveLength(7), 8000)
    // From now on nobody asks whether it arrived.
    await vi.waitFor(async () => {
      await worker.store(metaOf('b', 'SUCCESS', 1), request('b'))
      expect(broker.tries.at(-1)).toBe(1)
      expect(clock.live).toBe(0)
    })
    expect(broker.sent).toEqual([])
  }, 10_000)

  it('RES-032 ends at once while a reply queue is awaited', async () => {
    broker.absent.add('me')
    await worker.store(metaOf('a', 'SUCCESS', 1), request('a'))
    broker.absent.delete('me')
    await worker.close()
    expect(broker.sent).toHaveLength(1)
  })

  it('CFG-116 sends persistent messages with result_persistent', async () => {
    await open('other', {}, true).store(metaOf('a', 'SUCCESS', 1), request('a'))
    expect(broker.sent[0]?.[0]?.envelope.properties.deliveryMode).toBe(2)
  })

  it.each([undefined, ''])('RES-031 sends nothing for the reply_to %j', async (replyTo) => {
    await worker.store(metaOf('a', 'SUCCESS', 1), { id: 'a', replyTo, correlationId: 'a' })
    await worker.store(metaOf('a', 'SUCCESS', 1))
    expect(broker.sent).toEqual([])
  })

  it('RES-032 declares a queue by the name of reply_to that goes with its reader and expires', async () => {
    const declared = vi.fn<Connection['declare']>(async () => {})
    const connection = await broker.dial()
    const own = { ...broker, connect: async () => Object.assign(connection, { declare: declared }) }
    const expecting = (expires: number | null) =>
      openBackend('rpc', { codec, clock, expires, rpc: { broker: own as never, replyTo: 'me' } })
    await expecting(90.5).expect?.('a')
    await expecting(null).expect?.('a')
    const queue = { name: 'me', durable: false, exclusive: false, autoDelete: true }
    const topology = (args: object) => ({
      exchanges: [],
      queues: [{ ...queue, arguments: args }],
      bindings: [],
    })
    expect(declared.mock.calls).toEqual([[topology({ 'x-expires': 90_500 })], [topology({})]])
  })

  it('RES-031 yields each change of state, and ends with the last', async () => {
    const seen: string[] = []
    await worker.store(metaOf('a', 'STARTED', { pid: 1 }), request('a'))
    for await (const meta of client.watch(['a'], { signal: never, every: true })) {
      seen.push(meta.state)
      if (meta.state === 'STARTED') await worker.store(metaOf('a', 'PROGRESS', 10), request('a'))
      if (meta.state === 'PROGRESS') await worker.store(metaOf('a', 'SUCCESS', 'done'), request('a'))
    }
    expect(seen).toEqual(['STARTED', 'PROGRESS', 'SUCCESS'])
    expect((await client.fetch('a'))?.result).toBe('done')
  })

  it('RES-031 serves two thousand waits from one queue with one timer, and sends them in few publishes', async () => {
    const ids = Array.from({ length: 2000 }, (_, index) => `many-${index}`)
    const waits = ids.map((id) => collect(client.watch([id], { signal: never })))
    await Promise.all(ids.map((id) => worker.store(metaOf(id, 'SUCCESS', id), request(id))))
    const metas = await Promise.all(waits)
    expect(metas.map(([meta]) => meta?.result)).toEqual(ids)
    expect(broker.sent.length).toBe(Math.ceil(2000 / 256))
    expect(clock.live).toBe(0)
  })

  it('RES-033 keeps what nobody waits for yet: state, newest first, and a later wait', async () => {
    await worker.store(metaOf('a', 'STARTED'), request('a'))
    await worker.store(metaOf('b', 'SUCCESS', 1), request('b'))
    await worker.store(metaOf('a', 'PROGRESS', 20), request('a'))
    expect(await client.fetch('a')).toMatchObject({ state: 'PROGRESS', result: 20 })
    expect(await client.fetch('unknown')).toBeUndefined()
    expect([...(await client.fetchMany(['a', 'b', 'c'])).keys()]).toEqual(['a', 'b'])
    expect(await collect(client.watch(['b'], { signal: never }))).toHaveLength(1)
    await worker.store(metaOf('c', 'SUCCESS', 3), request('c'))
    await vi.waitFor(async () => expect((await client.fetch('c'))?.result).toBe(3), { interval: 2 })
  })

  it('RES-005 a SUCCESS that came is not replaced by a later state', async () => {
    await worker.store(metaOf('a', 'SUCCESS', 1), request('a'))
    await worker.store(metaOf('a', 'STARTED'), request('a'))
    expect((await client.fetch('a'))?.state).toBe('SUCCESS')
  })

  it('RES-031 finds a result by the task id in it when its correlation id is another', async () => {
    await worker.store(metaOf('a', 'SUCCESS', 1), { id: 'a', replyTo: 'me', correlationId: 'other' })
    expect((await client.fetch('a'))?.result).toBe(1)
  })

  it('RES-013 RES-015 sends errors and result objects as Celery does', async () => {
    const error = { type: 'KeyError', module: 'builtins', args: ['x'], traceback: undefined }
    await worker.store(metaOf('a', 'FAILURE', error, { traceback: 'Traceback' }), request('a'))
    await worker.store(metaOf('b', 'SUCCESS', { asTuple: () => [['inner', null], null] }), request('b'))
    expect(await client.fetch('a')).toMatchObject({ result: { ...error, traceback: 'Traceback' } })
    expect((await client.fetch('b'))?.result).toEqual([['inner', null], null])
  })

  it('CNV-092 RES-032 refuses chords and saved groups with Celery’s words', async () => {
    const refused = { code: 'NOT_SUPPORTED', message: expect.stringContaining('does not support chords!') }
    await expect(client.chords?.begin('g', 2)).rejects.toMatchObject(refused)
    expect(await client.chords?.partDone('g', 0, metaOf('a', 'SUCCESS'))).toBeUndefined()
    await expect(client.storeGroup('g', [])).rejects.toMatchObject({ message: /save_group is not supported/ })
    await expect(client.fetchGroup('g')).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
    await expect(client.forgetGroup('g')).rejects.toMatchObject({ code: 'NOT_SUPPORTED' })
  })

  it('RES-032 forgets in this process alone', async () => {
    await worker.store(metaOf('a', 'SUCCESS', 1), request('a'))
    expect(await client.fetch('a')).toBeDefined()
    await client.forget('a')
    expect(await client.fetch('a')).toBeUndefined()
  })

  it('lets a reply that cannot be read fail its own wait only', async () => {
    const waits = ['bad', 'good'].map((id) => collect(client.watch([id], { signal: never })))
    const properties = { correlationId: 'bad' }
    const envelope = { contentType: 'application/json', contentEncoding: 'utf-8', headers: {}, properties }
    const body = Buffer.from('{"status": "SUCC')
    await broker.publish([{ envelope: { ...envelope, body }, to: { exchange: '', routingKey: 'me' } }], never)
    await expect(waits[0]).rejects.toMatchObject({ code: 'DECODE_ERROR' })
    await worker.store(metaOf('good', 'SUCCESS', 1), request('good'))
    expect(await waits[1]).toHaveLength(1)
  })

  it('listens again after a loss, and serves the waits that went on', async () => {
    const waiting = collect(client.watch(['a'], { signal: never }))
    await vi.waitFor(() => expect(broker.opened).toHaveLength(1), { interval: 2 })
    await broker.opened[0]?.close()
    await vi.waitFor(() => expect(broker.opened).toHaveLength(2), { interval: 2 })
    await worker.store(metaOf('a', 'SUCCESS', 1), request('a'))
    expect(await waiting).toHaveLength(1)
  })

  it('says before a task is sent that the reply queue cannot be had', async () => {
    broker.refuses = new BrokerUnavailableError('down')
    await expect(client.expect?.('a')).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
    broker.refuses = undefined
    await client.expect?.('a')
  })

  it('waits out an outage when it sends, and gives up when it is closed', async () => {
    broker.refuses = new BrokerUnavailableError('down')
    const first = worker.store(metaOf('a', 'SUCCESS', 1), request('a'))
    await vi.waitFor(() => expect(clock.live).toBeGreaterThan(0), { interval: 1 })
    broker.refuses = undefined
    await first
    expect((await client.fetch('a'))?.result).toBe(1)
    broker.refuses = new BrokerUnavailableError('down')
    const second = worker.store(metaOf('b', 'SUCCESS', 1), request('b'))
    second.catch(() => {})
    await new Promise(setImmediate)
    await worker.close()
    await expect(second).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })

  it('closing ends every wait with an error', async () => {
    const waiting = collect(client.watch(['a'], { signal: never }))
    waiting.catch(() => {})
    await client.close()
    await client.close()
    await expect(waiting).rejects.toMatchObject({ code: 'BACKEND_UNAVAILABLE' })
  })

  it('an abort ends a watch without an error', async () => {
    const controller = new AbortController()
    const watch = collect(client.watch(['x'], { signal: controller.signal }))
    controller.abort()
    expect(await watch).toEqual([])
  })

  it('refuses an empty id and a value that has no form', async () => {
    await expect(client.fetch('')).rejects.toMatchObject({ code: 'INVALID_ARGUMENT' })
    await expect(worker.store(metaOf('', 'SUCCESS'), request(''))).rejects.toMatchObject({
      code: 'INVALID_ARGUMENT',
    })
    await expect(
      worker.store(
        metaOf('a', 'SUCCESS', () => 1),
        request('a'),
      ),
    ).rejects.toMatchObject({
      code: 'ENCODE_ERROR',
    })
    expect(broker.sent).toEqual([])
  })
})

describe('RpcInbox', () => {
  const envelope = (bytes: number) => ({
    body: new Uint8Array(bytes),
    contentType: '',
    contentEncoding: '',
    headers: {},
    properties: {},
  })

  it('drops what came first when there are too many, or too much', () => {
    const dropped: string[] = []
    const inbox = new RpcInbox((id) => dropped.push(id), { results: 3, bytes: 100 })
    for (const id of ['a', 'b', 'c', 'd']) inbox.put(id, envelope(10), false)
    expect(dropped).toEqual(['a'])
    inbox.put('e', envelope(85), false)
    expect(dropped).toEqual(['a', 'b', 'c'])
    expect(inbox.size).toBe(2)
    inbox.put('huge', envelope(500), false)
    expect(dropped).toEqual(['a', 'b', 'c', 'd', 'e'])
    expect(inbox.get('huge')).toBeDefined()
  })
})
