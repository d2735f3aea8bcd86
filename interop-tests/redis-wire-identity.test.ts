/**
 * Celery 5.6.3 and celeriac do the same, each on a Redis of its own; `MONITOR` records both. For each step the changes
 * of every key and the state left behind must be equal; what may differ is told in redis-wire-identity-monitor.ts
 * (ids, moments, `lang`, `origin`), in wire-identity-steps.ts (members that are not compared) and in `differences` below.
 */
import { beforeAll, describe, expect, it } from 'vitest'
import { eventually } from './node-app.js'
import { noRedis } from './redis-server.js'
import { byKey, type Effect, Normal } from './redis-wire-identity-monitor.js'
import { nodeSide, pythonSide, type Side } from './redis-wire-identity-sides.js'
import type { Settings } from './wire-identity-programs.js'
import { casesOf, passesOver, signatureOf, useSides, useWorkers } from './wire-identity-steps.js'

/** Changes that one program makes and the other does not, and why that is no difference for anybody else. */
const differences: readonly {
  readonly side?: Side['name']
  readonly what: RegExp
  readonly key: RegExp
  /** Of the command after its key. */
  readonly rest?: RegExp
  readonly why: string
}[] = [
  {
    side: 'celeriac',
    what: /^ZADD$/,
    key: /unacked_index$/,
    rest: /^XX /,
    why: 'renews the lease of a message that is held; Celery lets it run out while the task runs',
  },
  {
    side: 'celeriac',
    what: /^ZREM$/,
    key: /unacked_index$/,
    rest: /^$/,
    why: 'removes no member: the first write of a renewal, which Redis takes also when it is out of memory',
  },
  {
    side: 'celeriac',
    what: /SUBSCRIBE/,
    key: /^__redis__:invalidate$/,
    why: 'tells an idle worker of arrivals where Celery polls; nobody else sees it',
  },
  {
    side: 'celeriac',
    what: /./,
    key: /_celeriac\./,
    why: 'keys and channels of our own (who waits, what cannot be read), which no Python process looks at',
  },
  {
    what: /./,
    key: /unacked_mutex$/,
    why: 'kombu asks for the lock with each look for abandoned messages, and so do we, at other moments',
  },
  {
    what: /^DEL$/,
    key: /w1@wire\.celery\.pidbox/,
    why: 'the list of a mailbox, which is a channel, is always empty: we remove it at the start, Celery at the end',
  },
  {
    side: 'celeriac',
    what: /^PUNSUBSCRIBE$/,
    key: /\/0\.celery\.pidbox$/,
    why: 'before the connection is closed; Celery only closes it',
  },
  {
    what: /^UNSUBSCRIBE$/,
    key: /celery-task-meta-/,
    why: 'a channel is given back as soon as the result is there; Celery does so in get() or when the object goes',
  },
  {
    what: /SADD/,
    key: /_kombu\.binding\./,
    why: 'adding a member again changes nothing, and Celery does so with each connection; the sets are compared',
  },
]

describe.skipIf(noRedis)('Celery and celeriac on Redis, command by command', () => {
  const { both, id } = useSides(() => Promise.all([pythonSide(), nodeSide()]))

  /** Everything in the database, without what may differ. */
  async function state(side: Side, normal: Normal): Promise<Record<string, unknown>> {
    const client = side.server.client()
    const found: Record<string, unknown> = {}
    const put = (key: string, value: unknown, ttl = -1): void => {
      const minutes = ttl < 0 ? 'stays' : `${Math.round(ttl / 60)} min`
      found[normal.text(key)] = [normal.value(value, Date.now()), minutes]
    }
    for (const key of (await client.keys('*')).filter(isShared).sort()) {
      const ttl = await client.ttl(key)
      const type = await client.type(key)
      if (type === 'list') put(key, (await client.lrange(key, 0, -1)).map(plain))
      if (type === 'set') put(key, (await client.smembers(key)).sort())
      if (type === 'string') put(key, plain((await client.get(key)) ?? ''), ttl)
      if (type === 'hash')
        put(
          key,
          Object.values(await client.hgetall(key))
            .map(plain)
            .sort(byId),
        )
      if (type === 'zset') put(key, await client.zrange(key, '0', '-1'), ttl)
    }
    client.disconnect()
    return found
  }

  /** Removes what a step left, but for bindings, which clients declare once. */
  async function clean(side: Side): Promise<void> {
    const client = side.server.client()
    const keys = (await client.keys('*')).filter((key) => isShared(key) && !key.includes('_kombu.binding.'))
    if (keys.length > 0) await client.del(...keys)
    client.disconnect()
    await side.monitor.commands()
  }

  /** Runs a step on both sides and compares; returns all effects of each. */
  async function same(
    run: (side: Side) => Promise<unknown>,
    options: { readonly keep?: boolean; readonly besides?: RegExp } = {},
  ): Promise<Effect[][]> {
    const { keep = false, besides } = options
    const seen = await both(async (side) => {
      await side.monitor.commands()
      await run(side)
      const commands = await side.monitor.commands()
      const normal = new Normal(passesOver)
      const effects = normal.effects(
        commands,
        (what, key, rest) =>
          besides?.test(key) ||
          differences.some(
            (each) =>
              (each.side ?? side.name) === side.name &&
              each.what.test(what) &&
              each.key.test(key) &&
              (each.rest?.test(rest) ?? true),
          ),
      )
      const all = new Normal(() => false).effects(commands, (_what, key) => key.includes('_celeriac.'))
      const left = await state(side, normal)
      if (!keep) await clean(side)
      return { effects, left, all }
    })
    const [celery, celeriac] = seen
    expect(celery.effects.length, 'Celery wrote nothing').toBeGreaterThan(0)
    expect(byKey(celeriac.effects)).toEqual(byKey(celery.effects))
    expect(celeriac.left).toEqual(celery.left)
    return seen.map(({ all }) => all)
  }

  describe('publishing', () => {
    const signature = (task: string, options: Settings = {}): Settings =>
      signatureOf(task, [1], { task_id: `id-of-${task}`, ...options })
    const clients: Readonly<Record<string, Settings>> = {
      plain: {},
      old: { task_protocol: 1 },
      prefixed: { broker_transport_options: { global_keyprefix: 'pfx:' } },
      stepped: { broker_transport_options: { sep: ':', priority_steps: [0, 5] } },
      unprefixed: { broker_transport_options: { fanout_prefix: false } },
      queues: {
        task_default_queue: 'main',
        task_queues: [
          { name: 'main' },
          { name: 'feeds', exchange: { name: 'media', type: 'topic' }, routing_key: 'feed.#' },
          { name: 'stars', exchange: { name: 'media', type: 'topic' }, routing_key: '*.star' },
          { name: 'mail', exchange: { name: 'post', type: 'direct' }, routing_key: 'letter' },
          { name: 'all', exchange: { name: 'everyone', type: 'fanout' } },
        ],
      },
    }
    beforeAll(async () => {
      await both(async (side) => {
        for (const [name, settings] of Object.entries(clients)) await side.use(name, settings)
      })
    })

    type Case = readonly [title: string, options: Settings, client?: string]
    const cases: readonly Case[] = [
      ['PUB-069 PUB-070 PUB-071 PUB-072 RES-023 a plain call', {}],
      ['PUB-070 a countdown', { countdown: 30 }],
      ['PUB-070 an ETA', { eta: '2036-01-02T03:04:05+00:00' }],
      ['PUB-080 an expiry in seconds', { expires: 60 }],
      ['PUB-080 an expiry as a moment', { expires: '2036-01-02T03:04:05+02:00' }],
      ...[0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(
        (priority): Case => [`PUB-062 PUB-063 priority ${priority}`, { priority }],
      ),
      ['PUB-062 a priority out of range', { priority: 200 }],
      ['PUB-082 PUB-063 steps and a separator of its own', { priority: 7 }, 'stepped'],
      ['PUB-070 headers', { headers: { 'X-Trace': 'abc', depth: 3 } }],
      ['PUB-070 a shadow name', { shadow: 'shown' }],
      ['PUB-070 a link', { link: [signature('wire.cb')] }],
      ['PUB-070 a link_error', { link_error: [signature('wire.eb')] }],
      ['PUB-070 a chain', { chain: [signature('wire.third'), signature('wire.second')] }],
      [
        'PUB-070 a chord',
        { chord: signature('wire.body', { chord_size: 2 }), group_id: 'g', group_index: 1 },
      ],
      ['PUB-070 gzip', { compression: 'gzip' }],
      ['PUB-070 zlib', { compression: 'zlib' }],
      ['PUB-070 bzip2', { compression: 'bzip2' }],
      ['PUB-070 YAML', { serializer: 'yaml' }],
      ['PUB-070 msgpack', { serializer: 'msgpack' }],
      ['PUB-069 PUB-072 another queue', { queue: 'billing' }],
      ['PUB-072 the anonymous exchange', { exchange: '', routing_key: 'straight' }],
      ['PUB-070 RES-023 ignore_result', { ignore_result: true }],
      ['PUB-070 time limits', { time_limit: 30, soft_time_limit: 20.5 }],
      ['PUB-070 stamps', { stamped_headers: ['ticket'], ticket: 'T-1' }],
      ['PUB-070 reply_to and correlation_id', { reply_to: 'me', correlation_id: 'c' }],
      ['PUB-070 a transient message', { delivery_mode: 1 }],
      ['PUB-070 a root, a parent and retries', { root_id: 'r', parent_id: 'p', retries: 2 }],
      ['PUB-070 protocol 1', { countdown: 30, priority: 4 }, 'old'],
      ['PUB-078 a key prefix', { priority: 3 }, 'prefixed'],
      [
        'PUB-079 PUB-072 a topic exchange with one match',
        { queue: 'feeds', routing_key: 'feed.a.b' },
        'queues',
      ],
      ['PUB-079 a topic exchange with two matches', { queue: 'feeds', routing_key: 'feed.star' }, 'queues'],
      ['PUB-072 a direct exchange', { queue: 'mail' }, 'queues'],
      ['PUB-077 a fanout exchange', { queue: 'all' }, 'queues'],
    ]
    const written = cases.map(([title, options, client = 'plain']) => [title, { options, client }] as const)
    it.each(written)('%s is written alike', async (_title, { options, client }) => {
      const taskId = id()
      await same((side) =>
        side.do(client, 'send', {
          name: 'wire.task',
          args: [1, 'ä', null],
          kwargs: { k: [1.5, true] },
          options: { task_id: taskId, ...options },
        }),
      )
    })

    it('PUB-082 purging removes the same keys', async () => {
      await same(async (side) => {
        for (const priority of [0, 3, 9])
          await side.do('plain', 'send', { name: 'wire.task', options: { task_id: `${priority}`, priority } })
        expect(await side.do('plain', 'purge')).toBe(3)
      })
    })

    it('PUB-072 deleting a queue removes its binding and its lists', async () => {
      await same((side) => side.do('plain', 'delete', { queue: 'brief' }))
    })
  })

  describe('working', () => {
    const workers = useWorkers()

    const send = (side: Side, name: string, fields: Settings, client = 'worker'): Promise<unknown> =>
      side.do(client, 'send', { name, ...fields })
    const held = async (side: Side): Promise<number> => {
      const client = side.server.client()
      const size = await client.hlen('unacked')
      client.disconnect()
      return size
    }
    const settled = async (side: Side, what: string, taskId?: string): Promise<void> => {
      const client = side.server.client()
      try {
        await eventually(`${side.name}: ${what}`, async () => {
          if ((await client.keys(`work*`)).length > 0) return false
          // Between a pop and its record a message of Celery is nowhere.
          if (!side.monitor.saw('HDEL')) return false
          if (taskId !== undefined) {
            const stored = await client.get(`celery-task-meta-${taskId}`)
            if (!/"status": ?"(SUCCESS|FAILURE|REVOKED)"/.test(stored ?? '')) return false
          }
          return (await client.hlen(`unacked`)) === 0
        })
      } finally {
        client.disconnect()
      }
    }
    const queues: Settings = { task_default_queue: 'work' }

    beforeAll(async () => {
      await both(async (side) => {
        await side.use('worker', queues)
        await side.use('old worker', { ...queues, task_protocol: 1 })
        await clean(side)
      })
    })

    it('PUB-073 PUB-074 PUB-075 PUB-077 RES-021 a starting worker declares itself and returns what another one abandoned', async () => {
      const taskId = id()
      await both(async (side) => {
        await send(side, 'wire.add', { args: [1, 2], options: { task_id: taskId, priority: 3 } })
        const client = side.server.client()
        const envelope = (await client.rpop('work\x06\x163')) ?? ''
        const tag = (JSON.parse(envelope) as { properties: { delivery_tag: string } }).properties.delivery_tag
        await client.hset('unacked', tag, `[${envelope}, "", "work"]`)
        await client.zadd('unacked_index', 1_000_000_000, tag)
        client.disconnect()
      })
      await same(async (side) => {
        await workers.start(side, queues, 'work')
        await settled(side, 'it ran', taskId)
      })
    })

    const runs = casesOf([
      ['PUB-073 RES-021 success, acknowledged early', 'wire.add', { args: [1, 2] }],
      ['PUB-073 RES-021 a failure', 'wire.fail', {}],
      ['PUB-073 RES-021 success, acknowledged late', 'wire.late', { args: [{ a: [1, 'ä'] }] }],
      ['PUB-073 a task that ignores its result', 'wire.quiet', { args: [1] }, false],
      ['RES-021 STARTED', 'wire.tracked', { args: [1] }],
      ['RES-021 a state of its own', 'wire.progress', { args: [3] }],
      ['PUB-073 RES-021 RETRY and the message of the retry', 'wire.retry', { args: [7] }],
      ['PUB-068 a retry with a priority', 'wire.retry', { args: [7], options: { priority: 6 } }],
      ['PUB-073 reject without requeue', 'wire.reject', {}, false],
      ['PUB-075 PUB-073 reject with requeue', 'wire.requeue', { options: { priority: 9 } }],
      ['PUB-073 Ignore', 'wire.ignore', {}, false],
      ['RES-021 PUB-073 REVOKED because expired', 'wire.add', { args: [1, 1], options: { expires: -5 } }],
      ['PUB-073 a delay', 'wire.add', { args: [1, 1], options: { countdown: 0.4 } }],
      ['RES-021 a stamped task', 'wire.add', { args: [1, 1], options: { stamped_headers: ['s'], s: 'x' } }],
      ['RES-021 protocol 1', 'wire.add', { args: [1, 1] }, true, 'old worker'],
    ])
    it.each(runs)('%s is settled and stored alike', async (_title, { name, fields, stored, client }) => {
      const taskId = id()
      await same(async (side) => {
        await send(side, name, { ...fields, options: { task_id: taskId, ...fields.options } }, client)
        await settled(side, name, stored ? taskId : undefined)
      })
    })

    it('PUB-073 RES-021 a late ack follows the stored result, on both sides', async () => {
      const taskId = id()
      const effects = await same(async (side) => {
        await send(side, 'wire.late', { args: [1], options: { task_id: taskId } })
        await settled(side, 'it ran', taskId)
      })
      for (const one of effects) {
        const kinds = one.map(({ what }) => what.split(' ')[0])
        expect(kinds.lastIndexOf('keep')).toBeGreaterThan(kinds.indexOf('HSET'))
        expect(kinds.indexOf('HDEL')).toBeGreaterThan(kinds.lastIndexOf('keep'))
      }
    })

    const follow = (task: string, taskId: string, args: readonly unknown[] = []): Settings =>
      signatureOf(task, args, { task_id: taskId })
    it('PUB-070 RES-021 a callback is sent alike', async () => {
      const [first, second] = [id(), id()]
      await same(async (side) => {
        const options = { task_id: first, link: [follow('wire.late', second)] }
        await send(side, 'wire.add', { args: [1, 2], options })
        await settled(side, 'the callback ran', second)
      })
    })
    it('PUB-070 RES-021 the next step of a chain is sent alike', async () => {
      const [first, second, third] = [id(), id(), id()]
      await same(async (side) => {
        const chain = [follow('wire.late', third), follow('wire.add', second, [5])]
        await send(side, 'wire.add', { args: [1, 2], options: { task_id: first, chain, priority: 3 } })
        await settled(side, 'the last step ran', third)
      })
    })
    it('PUB-070 RES-021 a task sent by a task is its child', async () => {
      const [first, second] = [id(), id()]
      await same(async (side) => {
        await send(side, 'wire.parent', { args: [second], options: { task_id: first } })
        await settled(side, 'the child ran', second)
        await settled(side, 'the parent ran', first)
      })
    })
    it('RES-020 RES-028 the last part of a chord sends the body', async () => {
      const [part, body, group] = [id(), id(), id()]
      await both(async (side) => {
        const client = side.server.client()
        await client.set(`celery-taskset-meta-${group}.s`, 1)
        client.disconnect()
      })
      await same(async (side) => {
        const chord = follow('wire.late', body)
        const options = { task_id: part, chord, group_id: group, group_index: 0 }
        await send(side, 'wire.add', { args: [1, 2], options })
        await settled(side, 'the body ran', body)
      })
    })
    it('RES-021 a task that nobody knows', async () => {
      const taskId = id()
      await same(async (side) => {
        await send(side, 'wire.nobody', { options: { task_id: taskId } })
        await settled(side, 'it failed', taskId)
      })
    })

    it('RES-022 RES-023 RES-025 a caller subscribes before it sends, and unsubscribes when it has its result', async () => {
      const taskId = id()
      const effects = await same(async (side) => {
        await send(side, 'wire.add', { args: [2, 2], options: { task_id: taskId } })
        expect(await side.do('worker', 'get', { id: taskId })).toBe(4)
        await settled(side, 'it is acknowledged', taskId)
        await side.do('worker', 'forget', { id: taskId })
      })
      for (const one of effects) {
        const own = one.filter(({ key }) => key === 'work' || key.endsWith(taskId))
        const at = (kind: string): number => own.findIndex(({ what }) => what === kind)
        expect(at('SUBSCRIBE')).toBeGreaterThanOrEqual(0)
        expect(at('SUBSCRIBE')).toBeLessThan(at('LPUSH'))
        expect(at('UNSUBSCRIBE')).toBeGreaterThan(at('PUBLISH'))
        expect(at('DEL')).toBeGreaterThan(at('UNSUBSCRIBE'))
      }
    })

    // Every claim of ours is recorded; one that needs no ack is settled at once, Celery's never is in `unacked`.
    const replies = { besides: /^unacked/ }
    it('PUB-077 PUB-072 a broadcast and its reply', async () => {
      await same(async (side) => {
        expect(await side.do('worker', 'ping')).toEqual([{ 'w1@wire': { ok: 'pong' } }])
      }, replies)
    })

    it('RES-021 PUB-077 REVOKED by remote control', async () => {
      const taskId = id()
      await same((side) => side.do('worker', 'revoke', { id: taskId }), replies)
      await same(async (side) => {
        await send(side, 'wire.add', { args: [1, 2], options: { task_id: taskId } })
        await settled(side, 'it is revoked', taskId)
      })
    })

    it("PUB-073 PUB-076 delayed messages are held, and a warm shutdown returns them and the worker's bindings", async () => {
      const ids = [id(), id(), id()]
      await same(async (side) => {
        for (const [at, task_id] of ids.entries()) {
          // One for each list: in one list Celery turns their order, as it pushes the oldest first.
          const options = { task_id, eta: '2036-01-02T03:04:05+00:00', priority: at * 3 }
          await send(side, 'wire.add', { args: [at, 0], options })
          await eventually(`${side.name} holds it`, async () => (await held(side)) === at + 1)
        }
        await workers.stop(side)
      })
    })
  })

  describe('results', () => {
    const clients: Readonly<Record<string, Settings>> = {
      results: {},
      lasting: { result_expires: null },
      brief: { result_expires: 90.7 },
      'prefixed results': { result_backend_transport_options: { global_keyprefix: 'shop' } },
      'separated results': { result_backend_transport_options: { global_keyprefix: 'shop:' } },
    }
    beforeAll(async () => {
      await both(async (side) => {
        for (const [name, settings] of Object.entries(clients)) await side.use(name, settings)
        await clean(side)
      })
    })

    it.each(Object.keys(clients))(
      'RES-020 RES-021 are stored and published alike by a client with %s',
      async (client) => {
        for (const [state, result] of [
          ['SUCCESS', { a: [1, 'ä', null] }],
          ['PROGRESS', { done: 1 }],
          ['STARTED', null],
        ] as const) {
          const taskId = id()
          await same((side) => side.do(client, 'store', { id: taskId, state, result }))
        }
      },
    )

    it('RES-021 a stored SUCCESS is not written over', async () => {
      const taskId = id()
      await same(async (side) => {
        await side.do('results', 'store', { id: taskId, state: 'SUCCESS', result: 1 })
        await side.do('results', 'store', { id: taskId, state: 'PROGRESS', result: 2 })
      })
    })

    it('RES-020 RES-025 a group is saved and forgotten alike', async () => {
      const [group, ...of] = [id(), id(), id()]
      await same((side) => side.do('results', 'save_group', { id: group, members: of }), {
        keep: true,
        // Celery listens for the members of any GroupResult that is made, we for those that are waited for.
        besides: /^celery-task-meta-/,
      })
      await same((side) => side.do('results', 'forget_group', { id: group }))
    })
  })

  describe('working with prefixes, late acks and extended results', () => {
    const settings: Settings = {
      task_default_queue: 'work',
      task_acks_late: true,
      task_track_started: true,
      result_extended: true,
      result_expires: null,
      broker_transport_options: { global_keyprefix: 'pfx:' },
      result_backend_transport_options: { global_keyprefix: 'rp' },
    }
    const workers = useWorkers()
    beforeAll(async () => {
      await both(async (side) => {
        await side.use('extended', settings)
        await clean(side)
      })
    })
    const run = async (side: Side, name: string, fields: Settings, taskId: string): Promise<void> => {
      const client = side.server.client()
      await side.do('extended', 'send', { name, ...fields })
      await eventually(`${side.name}: ${name} ran`, async () => {
        const stored = await client.get(`rp_celery-task-meta-${taskId}`)
        if (!/"status": ?"(SUCCESS|FAILURE)"/.test(stored ?? '')) return false
        return (await client.hlen('pfx:unacked')) === 0
      })
      client.disconnect()
    }

    it('PUB-078 PUB-077 a worker with a prefix declares itself alike', async () => {
      await same(async (side) => {
        await workers.start(side, settings, 'work')
        await eventually(`${side.name} listens`, () => side.monitor.saw('PSUBSCRIBE'))
      })
    })
    const member = { group_id: 'g', group_index: 1, parent_id: 'p', root_id: 'r' }
    const runs: readonly (readonly [title: string, name: string, fields: Settings])[] = [
      ['success', 'wire.add', { args: [1, 2] }],
      ['a failure', 'wire.fail', {}],
      ['a stamped task', 'wire.add', { args: [1, 2], stamped_headers: ['ticket'], ticket: 'T-1' }],
      ['a state of its own', 'wire.progress', { args: [2] }],
      ['a member of a group', 'wire.add', { args: [1, 2], ...member }],
    ]
    it.each(runs)(
      'PUB-078 RES-020 RES-021 %s, late, STARTED, extended, without expiry and with prefixes',
      async (_title, name, { args = [], ...options }) => {
        const taskId = id()
        await same((side) => run(side, name, { args, options: { task_id: taskId, ...options } }, taskId))
      },
    )
    it('PUB-078 a worker with a prefix takes itself away alike', async () => {
      await same(async (side) => {
        await workers.stop(side)
      })
    })
  })
})

/** Entries of `unacked`: a hash has no order. */
function byId(a: unknown, b: unknown): number {
  const idOf = (entry: unknown): string => String((entry as [{ headers?: { id?: string } }])[0]?.headers?.id)
  return idOf(a) < idOf(b) ? -1 : 1
}

/** Python reads none of the others. */
function isShared(key: string): boolean {
  return !key.includes('_celeriac.')
}

function plain(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
