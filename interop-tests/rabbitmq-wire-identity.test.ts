/**
 * Celery 5.6.3 and celeriac do the same, each on a virtual host of its own; a proxy writes down the frames of both. For
 * each step what was published and settled must be equal, and after it all that was declared so far: every argument,
 * property and header with its type. What may differ is told in redis-wire-identity-monitor.ts (ids, moments, `lang`,
 * `origin`), in wire-identity-steps.ts (members that are not compared) and in `differences` below.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { AmqpRecord } from './amqp-frames.js'
import { eventually } from './node-app.js'
import { noRabbit, RabbitServer } from './rabbitmq-server.js'
import { nodeSide, pythonSide, type Side } from './rabbitmq-wire-identity-sides.js'
import { byKey, Normal } from './redis-wire-identity-monitor.js'
import type { Settings } from './wire-identity-programs.js'
import { casesOf, passesOver, signatureOf, useSides, useWorkers } from './wire-identity-steps.js'

/** What one program does and the other does not, and why that is no difference for anybody else. */
const differences: readonly {
  readonly side?: Side['name']
  readonly what: RegExp
  readonly key: RegExp
  readonly why: string
}[] = [
  {
    what: /^qos$/,
    key: /./,
    why: 'a limit of one channel: compared where it matters, at the start of a worker',
  },
  {
    side: 'celeriac',
    what: /^delete$/,
    key: /celery\.pidbox/,
    why: 'the mailbox of a worker that stops, and a reply queue with its answers, go at once; those of Celery expire',
  },
  {
    side: 'celeriac',
    what: /^purge$/,
    key: /^queue w1@wire\.celery\.pidbox$/,
    why: 'commands to a worker that was not there are not obeyed; of Celery they are, unless the queue has expired',
  },
  {
    side: 'celeriac',
    what: /^cancel$/,
    key: /^queue w1@wire\.celery\.pidbox$/,
    why: 'Celery closes the channel instead',
  },
  {
    what: /^(cancel|consume)$/,
    key: /reply\.celery\.pidbox|^queue id/,
    why: 'Celery keeps consuming replies for as long as its client lives; a queue of ours is for one question',
  },
]

/** What exists on one side alone, and why. */
const undeclared: readonly { readonly name: RegExp; readonly why: string }[] = [
  { name: /^exchange celeryev$/, why: 'a worker of Celery declares it even where events are off' },
  {
    name: /reply\.celery\.pidbox/,
    why: 'one per client of Celery, one per question of ours; compared by itself',
  },
]

describe.skipIf(noRabbit)(
  `Celery and celeriac on RabbitMQ, frame by frame${noRabbit ? ` (${noRabbit})` : ''}`,
  () => {
    let server: RabbitServer
    // After the two programs: what is registered first ends last.
    afterAll(() => server?.close())
    const { both, id } = useSides(async () => {
      server = await RabbitServer.start()
      return Promise.all([pythonSide(server), nodeSide(server)])
    })

    /** Runs a step on both sides and compares; returns all that each side and its server said. */
    async function same(run: (side: Side) => Promise<unknown>): Promise<(readonly AmqpRecord[])[]> {
      const seen = await both(async (side) => {
        const normal = new Normal(passesOver)
        const skips = (what: string, key: string): boolean =>
          differences.some(
            (each) => (each.side ?? side.name) === side.name && each.what.test(what) && each.key.test(key),
          )
        // What both say between two steps (a worker's last ack) belongs to no step.
        side.effects.take(side.proxy.take(), new Normal(passesOver), () => true)
        await run(side)
        const records = side.proxy.take()
        const effects = side.effects.take(records, normal, skips)
        const declared = side.effects.declared(new Normal(passesOver), (name) =>
          undeclared.some((each) => each.name.test(name)),
        )
        return { records, effects, declared }
      })
      const [celery, celeriac] = seen
      expect(byKey(celeriac.effects)).toEqual(byKey(celery.effects))
      expect(celeriac.declared).toEqual(celery.declared)
      return seen.map(({ records }) => records)
    }

    describe('publishing', () => {
      const signature = (task: string): Settings => signatureOf(task, [1], { task_id: `id-of-${task}` })
      const clients: Readonly<Record<string, Settings>> = {
        plain: {},
        old: { task_protocol: 1 },
        transient: { task_default_delivery_mode: 'transient' },
        queues: {
          task_default_queue: 'main',
          task_queues: [
            { name: 'main' },
            { name: 'feeds', exchange: { name: 'media', type: 'topic' }, routing_key: 'feed.#' },
            { name: 'stars', exchange: { name: 'media', type: 'topic' }, routing_key: '*.star' },
            { name: 'mail', exchange: { name: 'post', type: 'direct' }, routing_key: 'letter' },
            { name: 'all', exchange: { name: 'everyone', type: 'fanout' } },
            { name: 'brief', expires: 60, message_ttl: 5.5, max_length: 7, max_length_bytes: 70_000 },
            { name: 'vip', max_priority: 9 },
            { name: 'lasting', queue_arguments: { 'x-queue-type': 'quorum' }, routing_key: 'lasting' },
            {
              name: 'mourned',
              queue_arguments: { 'x-dead-letter-exchange': 'dead', 'x-dead-letter-routing-key': 'dead' },
            },
            {
              name: 'passing',
              exchange: { name: 'passing', type: 'topic', durable: false, auto_delete: true },
              durable: false,
              auto_delete: true,
            },
          ],
        },
        ranked: { task_default_queue: 'ranked', task_queue_max_priority: 5 },
        quorum: { task_default_queue: 'firm', task_default_queue_type: 'quorum' },
        missing: {
          task_default_queue: 'named',
          task_create_missing_queue_type: 'quorum',
          task_create_missing_queue_exchange_type: 'topic',
        },
      }
      beforeAll(async () => {
        await both(async (side) => {
          for (const [name, settings] of Object.entries(clients)) await side.use(name, settings)
        })
      })

      type Case = readonly [title: string, options: Settings, client?: string]
      const cases: readonly Case[] = [
        ['PUB-030 PUB-032 PUB-033 PUB-054 PUB-057 a plain call', {}],
        ['PUB-003 a countdown', { countdown: 30 }],
        ['PUB-004 an ETA', { eta: '2036-01-02T03:04:05+00:00' }],
        ['PUB-006 an expiry in seconds', { expires: 60 }],
        ['PUB-006 an expiry as a moment', { expires: '2036-01-02T03:04:05+02:00' }],
        ['PUB-061 PUB-065 priority 0', { priority: 0 }],
        ['PUB-061 priority 5', { priority: 5 }],
        ['PUB-061 priority 9', { priority: 9 }],
        [
          'PUB-018 headers of every type',
          { headers: { 'X-Trace': 'abc', depth: 3, share: 0.5, big: 2 ** 40 } },
        ],
        ['PUB-018 headers that hold tables', { headers: { of: { a: [1, 'ä', null, true, { b: -1 }] } } }],
        ['PUB-020 a shadow name', { shadow: 'shown' }],
        ['PUB-010 a link', { link: [signature('wire.cb')] }],
        ['PUB-010 a link_error', { link_error: [signature('wire.eb')] }],
        ['PUB-011 a chain', { chain: [signature('wire.third'), signature('wire.second')] }],
        ['PUB-022 gzip', { compression: 'gzip' }],
        ['PUB-022 bzip2', { compression: 'bzip2' }],
        ['PUB-022 YAML', { serializer: 'yaml' }],
        ['PUB-022 msgpack', { serializer: 'msgpack' }],
        ['PUB-047 PUB-048 another queue', { queue: 'billing' }],
        ['PUB-041 the anonymous exchange', { exchange: '', routing_key: 'billing' }],
        ['PUB-015 ignore_result', { ignore_result: true }],
        ['PUB-007 time limits', { time_limit: 30, soft_time_limit: 20.5 }],
        ['PUB-020 stamps', { stamped_headers: ['ticket'], ticket: 'T-1' }],
        ['PUB-017 reply_to and correlation_id', { reply_to: 'me', correlation_id: 'c' }],
        ['PUB-022 a transient message', { delivery_mode: 1 }],
        ['PUB-022 a transient message by setting', {}, 'transient'],
        ['PUB-013 a root, a parent and retries', { root_id: 'r', parent_id: 'p', retries: 2 }],
        ['PUB-012 a member of a group', { group_id: 'g', group_index: 1 }],
        ['PUB-035 protocol 1', { countdown: 30, priority: 4 }, 'old'],
        ['PUB-050 a topic exchange', { queue: 'feeds', routing_key: 'feed.a.b' }, 'queues'],
        ['PUB-050 another queue of it', { queue: 'stars', routing_key: 'big.star' }, 'queues'],
        ['PUB-055 a direct exchange', { queue: 'mail' }, 'queues'],
        ['PUB-050 a fanout exchange', { queue: 'all' }, 'queues'],
        ['PUB-051 a queue of limits', { queue: 'brief' }, 'queues'],
        ['PUB-061 a queue of priorities', { queue: 'vip', priority: 7 }, 'queues'],
        ['PUB-083 a quorum queue', { queue: 'lasting' }, 'queues'],
        ['PUB-050 a queue with dead letters', { queue: 'mourned' }, 'queues'],
        ['PUB-050 a queue that goes', { queue: 'passing' }, 'queues'],
        ['PUB-058 priorities of all queues', { priority: 5 }, 'ranked'],
        ['PUB-057 quorum queues by default', {}, 'quorum'],
        ['PUB-048 a missing queue of a type', { queue: 'made' }, 'missing'],
      ]
      /** Celery does not wait for the broker: the proxy says when it was sent. */
      const publish = async (
        side: Side,
        client: string,
        fields: { readonly options: Settings } & Settings,
      ): Promise<void> => {
        const { task_id: taskId } = fields.options
        await side.do(client, 'send', fields)
        await side.proxy.saw(
          `${side.name} sends`,
          ({ method, content }) =>
            method === 'Basic.Publish' &&
            (content?.headers?.id === taskId || content?.properties.correlation_id === taskId),
        )
      }
      const written = cases.map(([title, options, client = 'plain']) => [title, { options, client }] as const)
      it.each(written)('%s is declared and written alike', async (_title, { options, client }) => {
        const taskId = id()
        const seen = await same((side) =>
          publish(side, client, {
            name: 'wire.task',
            args: [1, 'ä', null],
            kwargs: { k: [1.5, true] },
            options: { task_id: taskId, ...options },
          }),
        )
        const sent = (seen[1] ?? []).find((record) => record.method === 'Basic.Publish')
        expect(sent?.args.mandatory, 'a task that no queue takes is told of').toBe(true)
      })

      it('PUB-057 a body of many frames is written alike', async () => {
        const taskId = id()
        const fields = {
          name: 'wire.task',
          args: ['x'.repeat(300_000)],
          options: { task_id: taskId, argsrepr: '(long)' },
        }
        const seen = await same((side) => publish(side, 'plain', fields))
        const frames = seen.map(
          (records) => records.find((record) => record.method === 'Basic.Publish')?.content?.frames,
        )
        expect(frames).toEqual([3, 3])
      })

      it('CTL-057 purging is alike', async () => {
        await same(async (side) => {
          for (const task_id of ['a', 'b'])
            await publish(side, 'ranked', { name: 'wire.task', options: { task_id } })
          expect(await side.do('ranked', 'purge')).toBe(3)
        })
      })

      it('PUB-057 deleting a queue is alike', async () => {
        await same((side) => side.do('plain', 'delete', { queue: 'brief.life' }))
      })
    })

    describe('working', () => {
      const workers = useWorkers()
      const queues: Settings = { task_default_queue: 'work' }
      const send = (side: Side, name: string, fields: Settings, client = 'worker'): Promise<unknown> =>
        side.do(client, 'send', { name, ...fields })

      /** Until everything of `work` that was handed out is settled, and this task's last state was sent. */
      const settled = (side: Side, what: string, taskId?: unknown): Promise<void> =>
        eventually(`${side.name}: ${what}`, () => {
          const open = new Set<string>()
          let isStored = taskId === undefined
          let wasHanded = false
          for (const record of side.proxy.peek()) {
            const { connection, channel, from, method, args, content } = record
            const tag = `${connection}/${channel}/${String(args.delivery_tag)}`
            const { correlation_id: of } = content?.properties ?? {}
            if (method === 'Basic.Deliver' && side.effects.queueOf(record) === 'work') {
              open.add(tag)
              wasHanded = true
            }
            if (from === 'client' && /^Basic\.(Ack|Reject|Nack)$/.test(method)) {
              // An ack of several at once settles all that stand before it on its channel.
              for (const other of [...open]) {
                const [place, number] = [
                  other.slice(0, other.lastIndexOf('/')),
                  Number(other.split('/').at(-1)),
                ]
                const isEarlier = place === `${connection}/${channel}` && number <= Number(args.delivery_tag)
                if (other === tag || (args.multiple === true && isEarlier)) open.delete(other)
              }
            }
            if (from === 'client' && method === 'Basic.Publish' && args.exchange === '' && of === taskId)
              isStored ||= /"status": ?"(SUCCESS|FAILURE|REVOKED)"/.test(content?.body.toString() ?? '')
          }
          return wasHanded && open.size === 0 && isStored
        })

      beforeAll(async () => {
        await both(async (side) => {
          await side.use('worker', queues)
          await side.use('old worker', { ...queues, task_protocol: 1 })
        })
      })

      it('WRK-022 CTL-001 PUB-057 a starting worker declares and consumes alike', async () => {
        const seen = await same(async (side) => {
          await workers.start(side, queues, 'work')
          await side.proxy.saw(
            `${side.name} consumes`,
            ({ method, args }) => method === 'Basic.Consume' && args.queue === 'work',
          )
        })
        const prefetch = seen.map((records) => {
          const consume = records.find(
            ({ method, args }) => method === 'Basic.Consume' && args.queue === 'work',
          )
          const limits = records.filter(
            ({ method, connection, channel }) =>
              method === 'Basic.Qos' && connection === consume?.connection && channel === consume.channel,
          )
          return limits.at(-1)?.args
        })
        expect(prefetch).toEqual([
          { prefetch_size: 0, prefetch_count: 4, global: true },
          { prefetch_size: 0, prefetch_count: 4, global: true },
        ])
      })

      const runs = casesOf([
        ['RES-031 success, acknowledged early', 'wire.add', { args: [1, 2] }],
        ['RES-031 a failure', 'wire.fail', {}],
        ['RES-031 success, acknowledged late', 'wire.late', { args: [{ a: [1, 'ä'] }] }],
        [
          'TSK-051 a task that ignores its result, but for a caller that wants it',
          'wire.quiet',
          { args: [1] },
        ],
        ['RES-031 STARTED', 'wire.tracked', { args: [1] }],
        ['RES-031 a state of its own', 'wire.progress', { args: [3] }],
        ['TSK-084 RETRY and the message of the retry', 'wire.retry', { args: [7] }],
        ['TSK-084 a retry with a priority', 'wire.retry', { args: [7], options: { priority: 6 } }],
        ['ACK-008 reject without requeue', 'wire.reject', {}, false],
        ['ACK-010 reject with requeue', 'wire.requeue', {}],
        ['RES-031 Ignore', 'wire.ignore', {}, false],
        [
          'RES-031 REVOKED because expired',
          'wire.add',
          {
            args: [1, 1],
            options: { eta: '2001-01-02T03:04:05+00:00', headers: { expires: '2001-01-02T03:04:05+00:00' } },
          },
        ],
        ['PUB-003 a delay', 'wire.add', { args: [1, 1], options: { countdown: 0.4 } }],
        ['PUB-020 a stamped task', 'wire.add', { args: [1, 1], options: { stamped_headers: ['s'], s: 'x' } }],
        [
          'RES-031 a correlation id of its own',
          'wire.add',
          { args: [1, 1], options: { correlation_id: 'mine' } },
        ],
        ['RES-031 nobody to answer to', 'wire.add', { args: [1, 1], options: { reply_to: '' } }],
        ['PUB-035 protocol 1', 'wire.add', { args: [1, 1] }, true, 'old worker'],
        ['WRK-030 a task that nobody knows', 'wire.nobody', {}],
      ])
      it.each(runs)('%s is settled and answered alike', async (_title, { name, fields, stored, client }) => {
        const taskId = id()
        await same(async (side) => {
          await send(side, name, { ...fields, options: { task_id: taskId, ...fields.options } }, client)
          await settled(side, name, stored ? (fields.options?.correlation_id ?? taskId) : undefined)
        })
      })

      const follow = (task: string, taskId: string, args: readonly unknown[] = []): Settings =>
        signatureOf(task, args, { task_id: taskId, reply_to: 'answers' })
      it('PUB-010 RES-031 a callback is sent alike', async () => {
        const [first, second] = [id(), id()]
        await same(async (side) => {
          const options = { task_id: first, link: [follow('wire.late', second)] }
          await send(side, 'wire.add', { args: [1, 2], options })
          await settled(side, 'the callback ran', second)
        })
      })
      it('PUB-011 RES-031 the next step of a chain is sent alike', async () => {
        const [first, second, third] = [id(), id(), id()]
        await same(async (side) => {
          const chain = [follow('wire.late', third), follow('wire.add', second, [5])]
          await send(side, 'wire.add', { args: [1, 2], options: { task_id: first, chain, priority: 3 } })
          await settled(side, 'the last step ran', third)
        })
      })

      it('RES-031 RES-032 a caller declares its queue before it sends, and consumes it without acks', async () => {
        const taskId = id()
        const seen = await same(async (side) => {
          await send(side, 'wire.add', { args: [2, 2], options: { task_id: taskId } })
          expect(await side.do('worker', 'get', { id: taskId })).toBe(4)
          await settled(side, 'it is acknowledged', taskId)
        })
        for (const records of seen) {
          const answer = records.find(
            ({ from, method, args, content }) =>
              from === 'server' &&
              method === 'Basic.Deliver' &&
              args.exchange === '' &&
              content?.properties.correlation_id === taskId &&
              content.headers?.task === undefined,
          )
          expect(answer?.content?.properties).toMatchObject({ delivery_mode: 1, priority: 0 })
        }
      })

      it('CTL-001 CTL-012 a broadcast and its reply', async () => {
        await same(async (side) => {
          expect(await side.do('worker', 'ping')).toEqual([{ 'w1@wire': { ok: 'pong' } }])
        })
      })

      it('CTL-040 RES-014 revoked by remote control', async () => {
        const taskId = id()
        await same((side) => side.do('worker', 'revoke', { id: taskId }))
        await same(async (side) => {
          await send(side, 'wire.add', { args: [1, 2], options: { task_id: taskId } })
          await settled(side, 'it is revoked', taskId)
        })
      })

      it('WRK-071 a warm shutdown cancels and leaves alike', async () => {
        await same(async (side) => {
          await workers.stop(side)
        })
      })
    })
  },
)
