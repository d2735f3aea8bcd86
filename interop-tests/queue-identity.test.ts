import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { loadConfig } from '../src/app/config.js'
import { Queues, topologyOf, workerDirectQueue } from '../src/app/queues.js'
import type { Topology } from '../src/transport/transport.js'

const python = fileURLToPath(new URL('../.venv/bin/python', import.meta.url))

/** Declares with kombu on a memory channel that notes what it is asked to do. */
const script = `
import json, sys
from celery import Celery
from celery.utils.nodenames import worker_direct
from kombu import Connection, Exchange, Queue, binding
from kombu.transport.base import to_rabbitmq_queue_arguments

def exchange_of(spec):
    return Exchange(spec['name'], type=spec.get('type', 'direct')) if isinstance(spec, dict) else spec

def queue_of(spec):
    spec = dict(spec)
    bindings = [binding(exchange_of(b['exchange']), routing_key=b['routing_key']) for b in spec.pop('bindings', [])]
    return Queue(spec.pop('name'), exchange=exchange_of(spec.pop('exchange', None)), bindings=bindings or None, **spec)

def declared(queue):
    told = {'exchanges': [], 'queues': [], 'bindings': []}
    channel = Connection('memory://').channel()
    channel.prepare_queue_arguments = to_rabbitmq_queue_arguments
    channel.exchange_declare = lambda exchange, type, durable, auto_delete, arguments, **kw: told['exchanges'].append(
        [exchange, type, durable, auto_delete, arguments or {}])
    channel.queue_declare = lambda queue, durable, exclusive, auto_delete, arguments, **kw: told['queues'].append(
        [queue, durable, exclusive, auto_delete, arguments or {}])
    channel.queue_bind = lambda queue, exchange, routing_key, arguments, **kw: told['bindings'].append(
        [exchange, queue, routing_key, arguments or {}])
    queue(channel).declare()
    return told

answers = []
for settings, name in json.load(sys.stdin):
    queues = settings.get('task_queues')
    if isinstance(queues, list):
        settings['task_queues'] = [queue_of(spec) for spec in queues]
    app = Celery('queues', broker='memory://', set_as_current=False)
    app.conf.update(settings)
    answers.append(declared(worker_direct(name) if '@' in name else app.amqp.queues[name]))
json.dump(answers, sys.stdout)
`

const topic = { name: 'media', type: 'topic' }
const list = [
  { name: 'plain' },
  { name: 'own', exchange: { name: 'own-exchange' }, routing_key: 'k' },
  { name: 'topic', exchange: topic, routing_key: 'feed.#', queue_arguments: { 'x-queue-type': 'quorum' } },
  { name: 'fanout', exchange: { name: 'all', type: 'fanout' } },
  { name: 'limited', expires: 60, message_ttl: 5.5, max_length: 7, max_length_bytes: 9, max_priority: 10 },
  { name: 'brief', durable: false, auto_delete: true },
  { name: 'mine', exclusive: true },
  { name: 'bound', bindings: [{ exchange: topic, routing_key: 'v.#' }] },
  { name: 'undeclared', no_declare: true },
]
const record = {
  compat: { exchange: 'media', exchange_type: 'topic', binding_key: 'a.#' },
  bare: {},
  keyed: { exchange: 'x', routing_key: 'k' },
  brief: { exchange: 'x', durable: false, auto_delete: true },
  split: { exchange: 'x', queue_durable: false, exchange_durable: true, exchange_auto_delete: true },
  exclusive: { exclusive: true, binding_arguments: { a: 1 } },
  args: { queue_arguments: { 'x-max-priority': 3 }, exchange: 'x', exchange_arguments: { e: 1 } },
}
const cases: readonly (readonly [Record<string, unknown>, string])[] = [
  [{}, 'celery'],
  [{}, 'made'],
  [{ task_default_queue: 'jobs', task_default_queue_type: 'quorum', task_queue_max_priority: 4 }, 'jobs'],
  [
    { task_default_exchange: 'ex', task_default_exchange_type: 'topic', task_default_routing_key: 'rk' },
    'celery',
  ],
  [{ task_create_missing_queue_type: 'quorum', task_create_missing_queue_exchange_type: 'topic' }, 'made'],
  [{ task_queue_max_priority: 5 }, 'made'],
  ...list.map(({ name }) => [{ task_queues: list }, name] as const),
  ...list.slice(0, 5).map(({ name }) => [{ task_queues: list, task_queue_max_priority: 2 }, name] as const),
  ...Object.keys(record).map((name) => [{ task_queues: record }, name] as const),
  [{ task_queues: record, task_default_exchange: 'ex', task_default_exchange_type: 'topic' }, 'bare'],
  [{}, 'w1@host'],
]

function told({ exchanges, queues, bindings }: Topology): unknown {
  return {
    exchanges: exchanges.map((e) => [e.name, e.type, e.durable, e.autoDelete, e.arguments ?? {}]),
    queues: queues.map((q) => [q.name, q.durable, q.exclusive, q.autoDelete, q.arguments]),
    bindings: bindings.map((b) => [
      b.from,
      'queue' in b.to ? b.to.queue : '',
      b.routingKey,
      b.arguments ?? {},
    ]),
  }
}

describe('queues as kombu declares them', () => {
  const answers = JSON.parse(
    execFileSync(python, ['-c', script], { input: JSON.stringify(cases), encoding: 'utf8' }),
  ) as unknown[]

  it.each(cases.map(([settings, name], i) => [i, name, settings] as const))(
    'PUB-048 PUB-050 PUB-051 PUB-052 PUB-057 PUB-058 PUB-060 case %i: %s',
    (i, name, settings) => {
      const queues = new Queues(loadConfig({ config: settings }).settings)
      const queue = name.includes('@') ? workerDirectQueue(name) : queues.get(name)
      expect(told(topologyOf([queue]))).toEqual(answers[i])
    },
  )
})
