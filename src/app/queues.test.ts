import { describe, expect, it } from 'vitest'
import { ConfigError, InvalidArgumentError, QueueNotFoundError } from '../errors.js'
import { loadConfig } from './config.js'
import { Queues, topologyOf, workerDirectQueue } from './queues.js'

function queues(settings: Record<string, unknown> = {}): Queues {
  let id = 0
  return new Queues(loadConfig({ settings }).settings, () => `uuid-${++id}`)
}

describe('declared queues', () => {
  it('PUB-057 CFG-154 CFG-155 are the default one when none is declared', () => {
    const [only, ...others] = queues().all.values()
    expect(others).toEqual([])
    expect(topologyOf([only!])).toEqual({
      exchanges: [{ name: 'celery', type: 'direct', durable: true, autoDelete: false }],
      queues: [{ name: 'celery', durable: true, exclusive: false, autoDelete: false, arguments: {} }],
      bindings: [{ from: 'celery', to: { queue: 'celery' }, routingKey: 'celery', arguments: {} }],
    })
    const quorum = queues({ taskDefaultQueue: 'jobs', taskDefaultQueueType: 'quorum' })
    expect(quorum.get('jobs').declaration.arguments).toEqual({ 'x-queue-type': 'quorum' })
    expect(quorum.get('jobs').exchange.name).toBe('jobs')
    expect(quorum.hasQuorum).toBe(true)
    expect(queues().hasQuorum).toBe(false)
  })

  it('PUB-050 PUB-051 share the default exchange and key in the list form', () => {
    const declared = queues({ taskQueues: [{ name: 'a' }, { name: 'b', routing_key: 'k', exchange: 'own' }] })
    expect(declared.get('a')).toMatchObject({
      routingKey: 'celery',
      exchange: { name: 'celery', type: 'direct' },
    })
    expect(declared.get('b')).toMatchObject({ routingKey: 'k', exchange: { name: 'own', type: 'direct' } })
    expect([...declared.all.keys()]).toEqual(['a', 'b'])
  })

  it('PUB-050 PUB-052 have their own name as key in the record form', () => {
    const declared = queues({
      taskQueues: {
        a: { exchange: 'media', exchange_type: 'topic', binding_key: 'a.#' },
        b: {},
        c: { exchange: 'x', durable: false, auto_delete: true },
        d: { name: 'whole', exchange: { name: 'e', type: 'fanout' } },
      },
    })
    expect(declared.get('a')).toMatchObject({ routingKey: 'a.#', exchange: { name: 'media', type: 'topic' } })
    expect(declared.get('b')).toMatchObject({ routingKey: 'b', exchange: { name: 'celery' } })
    expect(declared.get('c')).toMatchObject({
      exchange: { durable: false, autoDelete: true },
      declaration: { durable: false, autoDelete: true },
    })
    expect(declared.get('whole')).toMatchObject({ routingKey: 'celery', exchange: { type: 'fanout' } })
    expect(() => queues({ taskQueues: { a: { max_priority: 9 } } })).toThrow(
      'has no effect in the record form',
    )
    expect(() => queues({ taskQueues: ['a'] })).toThrow(ConfigError)
    expect(() => queues({ taskQueues: [{ exchange: 'x' }] })).toThrow('without a name')
  })

  it('PUB-058 turn their options into RabbitMQ arguments, the default priority only where none is set', () => {
    const declared = queues({
      taskQueueMaxPriority: 5,
      taskQueues: [
        { name: 'a', expires: 60, message_ttl: 5.5, max_length: 7, maxPriority: 10 },
        { name: 'b', queueArguments: { 'x-max-priority': 3, 'x-queue-mode': 'lazy' } },
        { name: 'c' },
      ],
    })
    expect(declared.get('a').declaration.arguments).toEqual({
      'x-expires': 60000,
      'x-message-ttl': 5500,
      'x-max-length': 7,
      'x-max-priority': 10,
    })
    expect(declared.get('b').declaration.arguments).toEqual({ 'x-max-priority': 3, 'x-queue-mode': 'lazy' })
    expect(declared.get('c').declaration.arguments).toEqual({ 'x-max-priority': 5 })
    expect(declared.get('made').declaration.arguments).toEqual({ 'x-max-priority': 5 })
  })

  it('PUB-053 are found by their alias', () => {
    const declared = queues({ taskQueues: [{ name: 'long-name', alias: 'short' }] })
    expect(declared.get('short').name).toBe('long-name')
  })

  it('PUB-059 may be broadcasts: a fanout exchange, and a queue of its own for each consumer', () => {
    const declared = queues({ taskQueues: [{ name: 'news', broadcast: true }] })
    expect(declared.get('news')).toMatchObject({
      name: 'bcast.uuid-1',
      alias: 'news',
      isBroadcast: true,
      exchange: { name: 'news', type: 'fanout', durable: true },
      declaration: { autoDelete: true, durable: true },
      routingKey: 'celery',
    })
  })

  it('PUB-050 are bound by the bindings that they list, and then not to the default exchange', () => {
    const bindings = [{ exchange: { name: 'media', type: 'topic' }, routing_key: 'v.#' }]
    const queue = queues({ taskQueues: [{ name: 'a', bindings }] }).get('a')
    const topology = topologyOf([queue])
    expect(topology.bindings.map(({ from, routingKey }) => [from, routingKey])).toEqual([['media', 'v.#']])
    expect(topology.exchanges.map(({ name, type }) => [name, type])).toEqual([['media', 'topic']])
    expect(queue.exchange.name).toBe('celery')
  })

  it('are not declared when they say so, nor are the exchanges of the broker', () => {
    const declared = queues({
      taskQueues: [
        { name: 'a', noDeclare: true },
        { name: 'b', exchange: { name: 'amq.topic', type: 'topic' }, routingKey: 'k' },
      ],
    })
    expect(topologyOf(declared.all.values())).toMatchObject({ exchanges: [], queues: [{ name: 'b' }] })
  })
})

describe('queues on demand', () => {
  it('PUB-047 PUB-048 CFG-149 CFG-150 CFG-151 are made direct and durable, with everything named alike', () => {
    expect(queues().get('new')).toMatchObject({
      name: 'new',
      routingKey: 'new',
      exchange: { name: 'new', type: 'direct', durable: true },
      declaration: { durable: true, arguments: {} },
    })
    const other = queues({
      taskCreateMissingQueueType: 'quorum',
      taskCreateMissingQueueExchangeType: 'topic',
    })
    expect(other.get('new')).toMatchObject({
      exchange: { type: 'topic' },
      declaration: { arguments: { 'x-queue-type': 'quorum' } },
    })
    expect(() => queues({ taskCreateMissingQueueType: 'odd' }).get('new')).toThrow("Invalid queue type 'odd'")
  })

  it('PUB-047 are refused when the setting is off', () => {
    expect(() => queues({ taskCreateMissingQueues: false }).get('new')).toThrow(QueueNotFoundError)
    expect(() => queues({ taskCreateMissingQueues: false }).get('new')).toThrow('missing from task_queues')
  })

  it('PUB-049 are consumed by a worker without a selection', () => {
    const all = queues()
    all.get('new')
    expect([...all.consumeFrom.keys()]).toEqual(['celery', 'new'])
  })
})

describe('what a worker consumes', () => {
  const declared = { taskQueues: [{ name: 'a' }, { name: 'b' }, { name: 'c' }] }
  const consumed = (all: Queues): string[] => [...all.consumeFrom.keys()]

  it('WRK-012 is all of them, WRK-013 or exactly those that were asked for', () => {
    const all = queues(declared)
    expect(consumed(all)).toEqual(['a', 'b', 'c'])
    all.select(['c', 'new'])
    expect(consumed(all)).toEqual(['c', 'new'])
    all.get('later')
    expect(consumed(all)).toEqual(['c', 'new'])
    expect(() => queues({ ...declared, taskCreateMissingQueues: false }).select(['new'])).toThrow(
      'Trying to select queue subset',
    )
  })

  it('WRK-014 is all but those that were left out, unknown ones ignored', () => {
    const all = queues(declared)
    all.deselect(['b', 'nonesuch'])
    expect(consumed(all)).toEqual(['a', 'c'])
    all.select(['a', 'b'])
    all.deselect(['a'])
    expect(consumed(all)).toEqual(['b'])
  })

  it('PUB-060 includes the queue of the worker itself, also beside a selection', () => {
    const all = queues(declared)
    all.select(['a'])
    all.selectAdd(workerDirectQueue('w1@host'))
    expect(consumed(all)).toEqual(['a', 'w1@host.dq2'])
    expect(topologyOf([all.get('w1@host.dq2')])).toMatchObject({
      exchanges: [{ name: 'C.dq2', type: 'direct', durable: true }],
      queues: [{ name: 'w1@host.dq2', durable: true, autoDelete: false }],
      bindings: [{ from: 'C.dq2', routingKey: 'w1@host' }],
    })
  })

  it('WRK-014 refuses names that are no text, and remembers nothing of them', () => {
    const all = queues()
    expect(() => all.get(5 as unknown as string)).toThrow(InvalidArgumentError)
    expect(() => all.select([5 as unknown as string])).toThrow(ConfigError)
    expect(() => all.select('celery' as unknown as string[])).toThrow("['celery']")
    expect(consumed(all)).toEqual(['celery'])
  })
})
