import { describe, expect, it } from 'vitest'
import { DecodeError } from '../../protocol/errors.js'
import type { ResultMeta } from '../../protocol/result-meta.js'
import type { ChordCounter, ResultBackend } from '../backend/backend.js'
import { applierOf } from './applier.js'
import { applySignature } from './apply-signature.js'
import { execute } from './execute.js'
import { sig, TestHost, testRequest } from './test-host.conformance.js'

/** The steps that the message sent as number `index` carries. */
const chainOf = (host: TestHost, index: number) =>
  (host.sent[index]?.options['chain'] ?? []) as readonly { readonly task: string; readonly options: object }[]
const ids = (host: TestHost) => host.sent.map((one) => one.options['task_id'])
const names = (host: TestHost) => host.sent.map((one) => one.signature['task'])
const group = (tasks: readonly unknown[], options: object = {}) =>
  sig('celery.group', [], { type: 'group', kwargs: { tasks }, options })
const chain = (tasks: readonly unknown[], options: object = {}) =>
  sig('celery.chain', [], { type: 'chain', kwargs: { tasks }, options })

/** A counter as Redis has it, for as long as this test lives. */
function counting(host: TestHost): Map<string, number> {
  const sizes = new Map<string, number>()
  const parts = new Map<string, ResultMeta[]>()
  const chords: ChordCounter = {
    begin: async (groupId, size) => void sizes.set(groupId, size),
    partDone: async (groupId, index, meta) => {
      host.events.push('part')
      const known = parts.get(groupId) ?? []
      known[index] = meta
      parts.set(groupId, known)
      return known.filter(Boolean).length === sizes.get(groupId) ? known : undefined
    },
  }
  const backend: { -readonly [K in keyof ResultBackend]?: ResultBackend[K] } = host.backend
  backend.chords = chords
  return sizes
}

describe('callbacks and the rest of a chain', () => {
  it('TSK-070 one callback gets the value before its own arguments, this task as parent and its root', async () => {
    const host = new TestHost()
    host.define('t', () => 4)
    const request = testRequest('t', [], { message: { rootId: 'r' }, body: { callbacks: [sig('cb', [10])] } })
    await execute(request, host)
    expect(host.sent[0]?.signature['args']).toEqual([4, 10])
    expect(host.sent[0]?.options).toMatchObject({ parent_id: 't-1', root_id: 'r' })
    expect(host.sent[0]?.options).not.toHaveProperty('priority')
  })

  it('TSK-070 the priority is inherited only with task_inherit_parent_priority', async () => {
    const host = new TestHost({ inheritParentPriority: true })
    host.define('t', () => 4)
    await execute(testRequest('t', [], { priority: 7, body: { callbacks: [sig('cb')] } }), host)
    expect(host.sent[0]?.options['priority']).toBe(7)
  })

  it('TSK-070 several callbacks go as one group, after the groups among them', async () => {
    const host = new TestHost()
    host.define('t', () => 4)
    const callbacks = [sig('a'), group([sig('g1'), sig('g2')]), sig('b', [1], { immutable: true })]
    await execute(testRequest('t', [], { body: { callbacks } }), host)
    expect(names(host)).toEqual(['g1', 'g2', 'a', 'b'])
    expect(host.sent.map((one) => one.options['group_index'])).toEqual([0, 1, 0, 1])
    const groupIds = host.sent.map((one) => one.options['group_id'])
    expect(new Set(groupIds).size).toBe(2)
    expect(host.sent[3]?.signature['args']).toEqual([1])
    expect((await host.backend.fetch('t-1'))?.children).toHaveLength(2)
  })

  it('TSK-071 CNV-041 the next step is the last of the list, and carries the rest', async () => {
    const host = new TestHost()
    host.define('t', () => 4)
    const rest = [sig('third'), sig('second', [1])]
    await execute(testRequest('t', [], { body: { chain: rest } }), host)
    expect(host.sent).toHaveLength(1)
    expect(host.sent[0]?.signature).toMatchObject({ task: 'second', args: [4, 1] })
    expect(host.sent[0]?.options['chain']).toEqual([rest[0]])
  })

  it('a bad callback turns the finished task into a failure, since it is applied before the result is stored', async () => {
    const host = new TestHost()
    host.define('t', () => 4)
    const outcome = await execute(
      testRequest('t', [], { body: { callbacks: [sig('x', [], { type: 'heap' })] } }),
      host,
    )
    expect(outcome).toMatchObject({ kind: 'failed', error: { type: 'ValueError' } })
    expect((await host.backend.fetch('t-1'))?.state).toBe('FAILURE')
  })

  it('BLT-013 CNV-039 a chain as callback is taken apart: first step first, the rest inside it, reversed', async () => {
    const host = new TestHost()
    host.define('t', () => 4)
    const steps = chain([sig('a'), chain([sig('b'), sig('c')])], { task_id: 'last' })
    await execute(testRequest('t', [], { body: { callbacks: [steps] } }), host)
    expect(names(host)).toEqual(['a'])
    const rest = chainOf(host, 0)
    expect(rest.map((step) => step.task)).toEqual(['c', 'b'])
    expect(rest[0]?.options).toMatchObject({ task_id: 'last' })
    expect((await host.backend.fetch('t-1'))?.children).toEqual([[[ids(host)[0], null], null]])
  })

  it('CNV-051 a chain as a step is put before what remains of the outer one', async () => {
    const host = new TestHost()
    host.define('t', () => 4)
    await execute(testRequest('t', [], { body: { chain: [sig('end'), chain([sig('a'), sig('b')])] } }), host)
    const rest = chainOf(host, 0)
    expect(rest.map((step) => step.task)).toEqual(['end', 'b'])
  })

  it('CNV-045 CNV-089 errbacks of a chain are linked once to each step, to a chord by its body, never to its header', async () => {
    const host = new TestHost()
    counting(host)
    const eb = sig('eb')
    const step = sig('celery.chord', [], {
      type: 'chord',
      kwargs: { kwargs: {}, header: [sig('part')], body: sig('sum', [], { options: { link_error: [eb] } }) },
    })
    await applySignature(applierOf(host), chain([step, sig('last')], { link_error: [eb] }), {})
    expect(host.sent).toHaveLength(1)
    expect(host.sent[0]?.options).not.toHaveProperty('link_error')
    expect(host.sent[0]?.options['chord']).toMatchObject({ task: 'sum', options: { link_error: [eb] } })
    const chord = host.sent[0]?.options['chord'] as { options: { chain: { options: object }[] } }
    expect(chord.options.chain[0]?.options).toMatchObject({ link_error: [eb] })
  })

  it('CNV-045 CNV-089 errbacks of a chain reach every part of a header with task_allow_error_cb_on_chord_header', async () => {
    const host = new TestHost({ errbacksOnChordHeader: true })
    counting(host)
    const [eb, own] = [sig('eb'), sig('own')]
    const header = [sig('a'), sig('b', [], { options: { link_error: [own] } })]
    const step = sig('celery.chord', [], {
      type: 'chord',
      kwargs: { kwargs: {}, header, body: sig('sum') },
    })
    await applySignature(applierOf(host), chain([step, sig('last')], { link_error: [eb] }), {})
    expect(names(host)).toEqual(['a', 'b'])
    expect(host.sent.map((one) => one.options['link_error'])).toEqual([[eb], [own, eb]])
    expect(host.sent[0]?.options['chord']).toMatchObject({ options: { link_error: [eb] } })
  })

  it('CNV-061 errbacks of a chain that ends in a group are those of each member', async () => {
    const host = new TestHost()
    const eb = sig('eb')
    await applySignature(
      applierOf(host),
      chain([sig('x'), group([sig('a'), sig('b')])], { link_error: [eb] }),
      {},
    )
    const last = chainOf(host, 0)[0] as unknown as { options: object; kwargs: { tasks: unknown[] } }
    expect(last.options).not.toHaveProperty('link_error')
    expect(last.kwargs.tasks).toMatchObject([
      { task: 'a', options: { link_error: [eb] } },
      { task: 'b', options: { link_error: [eb] } },
    ])
  })

  it('CNV-005 stored group ids and stamps stay, and CNV-006 null options are dropped', async () => {
    const host = new TestHost()
    const options = { group_id: 'mine', stamped_headers: ['s'], s: 1, queue: 'q' }
    await applySignature(applierOf(host), sig('x', [], { options }), {
      options: { group_id: 'yours', s: 2, queue: null, priority: 3 },
    })
    expect(host.sent[0]?.options).toMatchObject({ group_id: 'mine', s: 1, queue: 'q', priority: 3 })
  })

  it('refuses a canvas type that it does not know', async () => {
    await expect(
      applySignature(applierOf(new TestHost()), sig('x', [], { type: 'heap' }), {}),
    ).rejects.toThrow('which Celery does not know')
  })
})

describe('what was sent before by a run that ended in the death of its worker', () => {
  const ended = (taskId: string, result: unknown = null): ResultMeta => ({
    taskId,
    state: 'SUCCESS',
    result,
    traceback: undefined,
    children: [],
    dateDone: undefined,
  })
  const step = (id: string) => sig('next', [], { options: { task_id: id } })

  it('TSK-072 a next step that has succeeded is not sent again, and stays a child; without its result it is', async () => {
    const host = new TestHost()
    host.define('t', () => 4)
    await host.backend.store(ended('ran'))
    const run = (id: string, redelivered: boolean) =>
      execute(testRequest('t', [], { redelivered, body: { chain: [step(id)] } }), host)
    await run('unknown', true)
    expect(ids(host)).toEqual(['unknown'])
    await host.backend.forget('t-1')
    await run('ran', true)
    expect(ids(host)).toEqual(['unknown'])
    expect((await host.backend.fetch('t-1'))?.children).toEqual([[['ran', null], null]])
    await run('ran', false)
    expect(ids(host)).toEqual(['unknown', 'ran'])
  })

  it('TSK-071 is prepared once where the broker cannot do all in one step', async () => {
    const host = new TestHost()
    host.define('t', () => 4)
    let prepared = 0
    Object.assign(host, { prepareMany: () => void prepared++ })
    Object.assign(host.backend, { seal: () => undefined })
    Object.defineProperty(host.backend, 'place', { value: { server: 'one', database: 0 } })
    const run = (handsOver: boolean) => {
      const request = testRequest('t', [], { body: { chain: [step('next')] } })
      return execute(
        { ...request, courier: { handsOver: () => handsOver, handOver: async () => false } },
        host,
      )
    }
    await run(false)
    expect([prepared, ids(host)]).toEqual([0, ['next']])
    await run(true)
    expect(prepared).toBe(1)
  })

  it('TSK-072 nothing is sent where the task has stored its success and its children, whatever became of those', async () => {
    const host = new TestHost()
    host.define('t', () => 5)
    const run = (redelivered: boolean) =>
      execute(testRequest('t', [], { redelivered, body: { chain: [step('waits')] } }), host)
    await run(false)
    await run(true)
    expect(ids(host)).toEqual(['waits'])
    // As if the first run had stored its success without having sent anything.
    await host.backend.forget('t-1')
    await host.backend.store(ended('t-1', 4))
    await run(true)
    expect(ids(host)).toEqual(['waits', 'waits'])
  })

  it('TSK-072 a next step is sent where the success that is stored had another one', async () => {
    const host = new TestHost()
    host.define('t', () => 5)
    const run = (id: string, redelivered: boolean) =>
      execute(testRequest('t', [], { redelivered, body: { chain: [step(id)] } }), host)
    await run('of an earlier chain', false)
    await run('waits', true)
    expect(ids(host)).toEqual(['of an earlier chain', 'waits'])
  })

  it('TSK-072 all is sent when the store cannot tell', async () => {
    const host = new TestHost()
    host.define('t', () => 4)
    host.backend.fetchMany = () => Promise.reject(new Error('away'))
    await execute(testRequest('t', [], { redelivered: true, body: { chain: [step('ran')] } }), host)
    expect(ids(host)).toEqual(['ran'])
  })

  it('CNV-119 of a group those members that have succeeded are left out, and the body of a chord as a whole', async () => {
    const host = new TestHost()
    const sizes = counting(host)
    host.define('t', () => 4)
    await host.backend.store(ended('a'))
    const again = (body: object, message: object = {}) =>
      execute(testRequest('t', [], { redelivered: true, message, body }), host)
    await again({ chain: [group([step('a'), step('b')])] })
    expect(ids(host)).toEqual(['b'])
    const header = [step('a')]
    const whole = sig('celery.chord', [], {
      type: 'chord',
      kwargs: { kwargs: {}, header, body: step('body') },
    })
    await again({ chain: [whole] })
    expect([ids(host), [...sizes.keys()]]).toEqual([['b'], []])
    await host.backend.store(ended('body'))
    await host.backend.chords?.begin('g', 1)
    await again({ chord: step('body') }, { id: 'part', groupId: 'g', groupIndex: 0 })
    expect(ids(host)).toEqual(['b'])
  })
})

describe('chords', () => {
  const chord = (header: readonly unknown[], body: unknown) =>
    sig('celery.chord', [], { type: 'chord', kwargs: { kwargs: {}, header, body } })

  it('BLT-004 CNV-111 without a counting backend sends celery.chord_unlock first, for the body’s queue', async () => {
    const host = new TestHost()
    const body = sig('sum', [], { options: { queue: 'q', priority: 3 } })
    const applied = await applySignature(applierOf(host), chord([sig('a'), sig('b')], body), { args: [7] })
    expect(names(host)).toEqual(['celery.chord_unlock', 'a', 'b'])
    const [unlock, a, b] = host.sent
    const [gid] = (unlock?.signature['args'] ?? []) as unknown[]
    expect(unlock?.options).toMatchObject({ countdown: 1, queue: 'q', priority: 3 })
    expect(unlock?.signature['kwargs']).toEqual({
      interval: null,
      max_retries: null,
      result: [
        [[a?.options['task_id'], null], null],
        [[b?.options['task_id'], null], null],
      ],
    })
    expect(a?.options).toMatchObject({
      group_id: gid,
      group_index: 0,
      chord: { task: 'sum', options: { group_id: gid } },
    })
    expect(a?.signature['args']).toEqual([7])
    expect(b?.options['group_index']).toBe(1)
    expect(applied?.parent?.id).toBe(gid)
  })

  it('CNV-087 with a counting backend the size is known before the first part can end', async () => {
    const host = new TestHost()
    const sizes = counting(host)
    await applySignature(
      applierOf(host),
      chord([sig('a'), group([sig('b'), sig('c')]), chain([sig('d'), sig('e')])], sig('sum')),
      {},
    )
    expect([...sizes.values()]).toEqual([4])
    expect(names(host)).toEqual(['a', 'c', 'b', 'd'])
    const last = chainOf(host, 3)[0]
    expect(last?.options).toMatchObject({ group_index: 3, chord: { task: 'sum' } })
    expect(host.sent[3]?.options).not.toHaveProperty('chord')
  })

  it('CNV-064 CNV-087 sends the parts in one batch, in order, once the backend knows how many there are', async () => {
    const host = new TestHost()
    counting(host)
    const begin = async (): Promise<void> => {
      await new Promise(setImmediate)
      host.events.push('size')
    }
    Object.assign(host.backend.chords as ChordCounter, { begin })
    await applySignature(applierOf(host), chord([sig('a'), sig('b'), sig('c')], sig('sum')), {})
    expect(host.events).toEqual(['size', 'send a', 'send b', 'send c'])
    expect(host.batches).toEqual([3])
  })

  it('CNV-064 sends nothing of a group when one of its members cannot be sent', async () => {
    const host = new TestHost()
    const unknown = sig('y', [], { type: 'heap' })
    await expect(
      applySignature(applierOf(host), group([sig('x'), chain([sig('a')]), chain([unknown])]), {}),
    ).rejects.toThrow('which Celery does not know')
    expect(host.events).toEqual([])
  })

  it('CNV-109 saves a header with a member that gives a list, so that its values arrive as one', async () => {
    const host = new TestHost()
    counting(host)
    const saved: [string, unknown][] = []
    host.backend.storeGroup = async (id, tuple) => void saved.push([id, tuple])
    await applySignature(applierOf(host), chord([sig('a'), sig('b')], sig('sum')), {})
    expect(saved).toEqual([])
    const member = chain([sig('c'), group([sig('d'), sig('e')])])
    await applySignature(applierOf(host), chord([sig('a'), member], sig('sum')), {})
    const [, , a, c] = host.sent
    const inGroup = chainOf(host, 3)[0] as unknown as { kwargs: { tasks: { options: object }[] } }
    const [d, e] = inGroup.kwargs.tasks.map((task) => task.options as { task_id: string })
    expect(saved).toMatchObject([
      [
        a?.options['group_id'],
        [
          [a?.options['group_id'], null],
          [
            [[a?.options['task_id'], null], null],
            [
              [expect.any(String), [[c?.options['task_id'], null], null]],
              [
                [[d?.task_id, null], null],
                [[e?.task_id, null], null],
              ],
            ],
          ],
        ],
      ],
    ])
  })

  it('CNV-083 an empty header sends the body at once, with an empty list', async () => {
    const host = new TestHost()
    await applySignature(applierOf(host), chord([], sig('sum')), {})
    expect(names(host)).toEqual(['sum'])
    expect(host.sent[0]?.signature['args']).toEqual([[]])
  })

  it.each([false, true])(
    'CNV-105 plans the body for one step only where an acknowledgement is left for it (late: %s)',
    async (acksLate) => {
      const host = new TestHost()
      counting(host)
      let planned = 0
      Object.assign(host, { prepareMany: () => void planned++ })
      await host.backend.chords?.begin('g', 1)
      host.define('t', () => 1, { acksLate })
      const request = testRequest('t', [], {
        message: { groupId: 'g', groupIndex: 0 },
        body: { chord: sig('sum', [], { options: { task_id: 'body' } }) },
      })
      const courier = {
        handsOver: () => true,
        handOver: () => Promise.reject(new Error('nothing was prepared')),
      }
      await execute({ ...request, courier }, host)
      expect([planned, names(host)]).toEqual([acksLate ? 1 : 0, ['sum']])
    },
  )

  it('CNV-105 CNV-108 the part that completes the header sends the body with all values, in order', async () => {
    const host = new TestHost()
    counting(host)
    await host.backend.chords?.begin('g', 2)
    host.define('t', (_self, x: number) => x)
    const part = (x: number, groupIndex: number) =>
      testRequest('t', [x], {
        message: { id: `part-${x}`, groupId: 'g', groupIndex },
        body: { chord: sig('sum', [], { options: { task_id: 'body' } }) },
      })
    await execute(part(5, 1), host)
    expect(host.sent).toEqual([])
    await execute(part(4, 0), host)
    expect(ids(host)).toEqual(['body'])
    expect(host.sent[0]?.signature['args']).toEqual([[4, 5]])
  })

  it('CNV-113 TSK-112 a failed part fails the body, once all have ended, and calls its errbacks with the body’s id', async () => {
    const host = new TestHost()
    counting(host)
    await host.backend.chords?.begin('g', 2)
    host.define('ok', () => 1)
    host.define('bad', () => {
      throw new RangeError('x')
    })
    const body = { chord: sig('sum', [], { options: { task_id: 'body', link_error: [sig('eb')] } }) }
    await execute(testRequest('bad', [], { message: { groupId: 'g', groupIndex: 0 }, body }), host)
    expect(await host.backend.fetch('body')).toBeUndefined()
    await execute(testRequest('ok', [], { message: { groupId: 'g', groupIndex: 1 }, body }), host)
    expect(await host.backend.fetch('body')).toMatchObject({
      state: 'FAILURE',
      result: {
        type: 'ChordError',
        module: 'celery.exceptions',
        args: ["Dependency bad-1 raised ValueError('x')"],
      },
    })
    expect(host.sent.map((one) => [one.signature['task'], one.signature['args']])).toEqual([['eb', ['body']]])
  })

  it('CNV-107 a body whose parts cannot be read fails with Join error', async () => {
    const host = new TestHost()
    counting(host)
    Object.assign(host.backend.chords as ChordCounter, {
      partDone: () => Promise.reject(new DecodeError('not a part')),
    })
    host.define('ok', () => 1)
    const body = { chord: sig('sum', [], { options: { task_id: 'body' } }) }
    const ended = await execute(
      testRequest('ok', [], { message: { groupId: 'g', groupIndex: 0 }, body }),
      host,
    )
    expect(ended.kind).toBe('succeeded')
    expect((await host.backend.fetch('body'))?.result).toMatchObject({
      type: 'ChordError',
      args: [expect.stringMatching(/^Join error: \w+\('not a part'\)$/)],
    })
  })

  it('CNV-114 a body that is a group fails by its members: each with the error itself, told to its errbacks, the group too', async () => {
    const host = new TestHost()
    counting(host)
    await host.backend.chords?.begin('g', 1)
    host.define('bad', () => {
      throw new RangeError('x')
    })
    const members = ['m1', 'm2'].map((id) =>
      sig(id, [], { options: { task_id: id, link_error: [sig('eb')] } }),
    )
    const body = { chord: group(members, { task_id: 'both' }) }
    await execute(testRequest('bad', [], { message: { groupId: 'g', groupIndex: 0 }, body }), host)
    for (const id of ['m1', 'm2', 'both']) {
      expect(await host.backend.fetch(id), id).toMatchObject({
        state: 'FAILURE',
        result: { type: 'ValueError', args: ['x'] },
      })
    }
    expect(host.sent.map((one) => [one.signature['task'], one.signature['args']])).toEqual([
      ['eb', ['m1']],
      ['eb', ['m2']],
    ])
  })

  it('CNV-107 a header that was saved as a group fails the body with Join error', async () => {
    const host = new TestHost()
    const error = { type: 'ValueError', module: 'builtins', args: ['x'], traceback: undefined }
    const backend: { -readonly [K in keyof ResultBackend]?: ResultBackend[K] } = host.backend
    backend.chords = {
      begin: async () => {},
      partDone: async (_id, _index, meta) => [{ ...meta, state: 'FAILURE', result: error, isJoined: true }],
    }
    host.define('bad', () => {
      throw new RangeError('x')
    })
    const body = { chord: sig('sum', [], { options: { task_id: 'body' } }) }
    await execute(testRequest('bad', [], { message: { groupId: 'g', groupIndex: 0 }, body }), host)
    expect((await host.backend.fetch('body'))?.result).toMatchObject({
      type: 'ChordError',
      args: ["Join error: ValueError('x')"],
    })
  })

  it('CNV-105 a body that cannot be sent fails with Callback error', async () => {
    const host = new TestHost()
    counting(host)
    await host.backend.chords?.begin('g', 1)
    host.define('ok', () => 1)
    host.failure.send = new Error('away')
    const body = { chord: sig('sum', [], { options: { task_id: 'body' } }) }
    await execute(testRequest('ok', [], { message: { groupId: 'g', groupIndex: 0 }, body }), host)
    expect((await host.backend.fetch('body'))?.result).toMatchObject({
      args: ["Callback error: Exception('away')"],
    })
  })
})

describe('errbacks', () => {
  const failing = (): never => {
    throw new TypeError('boom')
  }

  it('CNV-121 CNV-122 old-style ones are sent as one group with the failed id, known here or not', async () => {
    const host = new TestHost()
    host.define('t', failing)
    host.define('known', () => undefined)
    const errbacks = [sig('known', ['x']), sig('stranger', [], { immutable: true })]
    await execute(testRequest('t', [], { message: { rootId: 'r' }, body: { errbacks } }), host)
    expect(host.sent.map((one) => one.signature['args'])).toEqual([['t-1', 'x'], []])
    expect(host.sent[0]?.options).toMatchObject({ parent_id: 't-1', root_id: 'r', group_index: 0 })
  })

  it('CNV-121 PYO-011 those that take a request run here, with request, error and traceback', async () => {
    const host = new TestHost()
    const seen: unknown[] = []
    host.define('t', failing)
    host.define('eb', (_self, ...all: never[]) => void seen.push(...all), { errbackStyle: 'request' })
    await execute(testRequest('t', [], { body: { errbacks: [sig('eb', ['own'])] } }), host)
    expect(host.sent).toEqual([])
    expect(seen).toMatchObject([
      { id: 't-1' },
      { type: 'TypeError', args: ['boom'] },
      expect.stringContaining('boom'),
      'own',
    ])
  })

  it('CNV-123 one that throws is logged and changes nothing', async () => {
    const host = new TestHost()
    host.define('t', failing)
    host.define(
      'eb',
      () => {
        throw new Error('worse')
      },
      { errbackStyle: 'request' },
    )
    const outcome = await execute(testRequest('t', [], { body: { errbacks: [sig('eb')] } }), host)
    expect(outcome).toMatchObject({ kind: 'failed', error: { type: 'TypeError' } })
    expect(host.logged('error')).toContain('Error callback eb of t[t-1] raised')
  })

  it('CNV-124 are for failures only: not for a retry', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.retry())
    await execute(testRequest('t', [], { body: { errbacks: [sig('eb')] } }), host)
    expect(host.sent).toEqual([])
  })

  it('CNV-054 CNV-055 every remaining step is marked, a chord by its body, those without an id are skipped', async () => {
    const host = new TestHost()
    host.define('t', failing)
    const later = sig('celery.chord', [], {
      type: 'chord',
      kwargs: { kwargs: {}, header: [], body: sig('sum', [], { options: { task_id: 'body' } }) },
    })
    await execute(
      testRequest('t', [], {
        body: {
          chain: [later, group([]), sig('next', [], { options: { task_id: 'n', reply_to: 'caller' } })],
        },
      }),
      host,
    )
    expect(host.storedFor.at(-1)).toBe('caller')
    expect(host.stored.map((meta) => [meta.taskId, meta.state])).toEqual([
      ['t-1', 'FAILURE'],
      ['body', 'FAILURE'],
      ['n', 'FAILURE'],
    ])
  })

  it('CNV-054 CNV-055 a chord that will not start counts as a failed part of the chord around it', async () => {
    const host = new TestHost()
    counting(host)
    await host.backend.chords?.begin('outer', 1)
    host.define('t', failing)
    const outer = sig('end', [], { options: { task_id: 'end', link_error: [sig('eb')] } })
    const inner = sig('sum', [], {
      options: { task_id: 'sum', chord: outer, group_id: 'outer', group_index: 0 },
    })
    const later = sig('celery.chord', [], {
      type: 'chord',
      kwargs: { kwargs: {}, header: [], body: chain([sig('a', [], { options: { task_id: 'a' } }), inner]) },
    })
    await execute(testRequest('t', [], { body: { chain: [later] } }), host)
    expect(host.stored.map((meta) => [meta.taskId, meta.state])).toEqual([
      ['t-1', 'FAILURE'],
      ['a', 'FAILURE'],
      ['sum', 'FAILURE'],
      ['end', 'FAILURE'],
    ])
    expect(host.stored.at(-1)?.result).toMatchObject({ type: 'ChordError' })
    expect(host.sent.map((one) => one.signature['args'])).toEqual([['end']])
  })

  it('CNV-113 CNV-202 a body that is a part of another chord fails that one too, and each errback is called once', async () => {
    const host = new TestHost()
    counting(host)
    await host.backend.chords?.begin('inner', 1)
    await host.backend.chords?.begin('outer', 1)
    host.define('t', failing)
    const outer = sig('end', [], { options: { task_id: 'end', link_error: [sig('eb', ['outer'])] } })
    const chord = sig('sum', [], {
      options: {
        task_id: 'sum',
        chord: outer,
        group_id: 'outer',
        group_index: 0,
        link_error: [sig('eb', ['inner']), sig('eb', ['inner'])],
      },
    })
    await execute(
      testRequest('t', [], { message: { groupId: 'inner', groupIndex: 0 }, body: { chord } }),
      host,
    )
    expect(host.sent.map((one) => one.signature['args'])).toEqual([
      ['sum', 'inner'],
      ['end', 'outer'],
    ])
    expect(host.stored.map((meta) => meta.taskId)).toEqual(['t-1', 'sum', 'end'])
  })

  it('CNV-054 a step that cannot be read does not keep the errbacks from being called', async () => {
    const host = new TestHost()
    host.define('t', failing)
    const body = {
      chain: [{ nonsense: true }, sig('next', [], { options: { task_id: 'n' } })],
      errbacks: [sig('eb')],
    }
    expect(await execute(testRequest('t', [], { body }), host)).toMatchObject({
      error: { type: 'TypeError' },
    })
    expect(host.stored.map((meta) => meta.taskId)).toEqual(['t-1', 'n'])
    expect(names(host)).toEqual(['eb'])
  })

  it('TSK-065 are called once, and parts counted once, when onFailure itself fails', async () => {
    const host = new TestHost()
    counting(host)
    await host.backend.chords?.begin('g', 2)
    host.define('t', failing, {
      handlers: {
        onFailure: () => {
          throw new Error('hook')
        },
      },
    })
    const body = { chord: sig('sum'), errbacks: [sig('eb')] }
    await execute(testRequest('t', [], { message: { groupId: 'g', groupIndex: 0 }, body }), host)
    expect(names(host)).toEqual(['eb'])
    expect(host.events.filter((event) => event === 'part')).toHaveLength(1)
  })

  it('TSK-065 a step that was sent on is not failed when onSuccess fails afterwards', async () => {
    const host = new TestHost()
    host.define('t', () => 5, {
      handlers: {
        onSuccess: () => {
          throw new Error('hook')
        },
      },
    })
    const step = sig('next', [], { options: { task_id: 'n' } })
    expect(await execute(testRequest('t', [], { body: { chain: [step] } }), host)).toMatchObject({
      kind: 'failed',
    })
    expect(names(host)).toEqual(['next'])
    expect(await host.backend.fetch('n')).toBeUndefined()
  })
})
