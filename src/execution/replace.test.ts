import { describe, expect, it } from 'vitest'
import type { ChordCounter, ResultBackend } from '../backend/backend.js'
import { execute } from './execute.js'
import { sig, TestHost, testRequest } from './test-host.conformance.js'

const names = (host: TestHost) => host.sent.map((one) => one.signature['task'])
const chain = (tasks: readonly unknown[], options: object = {}) =>
  sig('celery.chain', [], { type: 'chain', kwargs: { tasks }, options })
const group = (tasks: readonly unknown[]) => sig('celery.group', [], { type: 'group', kwargs: { tasks } })

/** Counts nothing, but remembers which chords grew. */
function growing(host: TestHost): string[] {
  const grown: string[] = []
  const chords: ChordCounter = {
    begin: async () => {},
    partDone: async () => undefined,
    grow: async (groupId) => void grown.push(groupId),
  }
  const backend: { -readonly [K in keyof ResultBackend]?: ResultBackend[K] } = host.backend
  backend.chords = chords
  return grown
}

describe('replace', () => {
  it('TSK-092 TSK-094 CNV-128 CNV-129 sends the new task under the same id and stores nothing', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.replace(sig('other', [1])))
    const chord = sig('body', [], { options: { task_id: 'b' } })
    const request = testRequest('t', [], {
      message: { rootId: 'r', groupId: 'g', groupIndex: 2, replacedTaskNesting: 1 },
      body: { chord, callbacks: [sig('cb')], errbacks: [sig('eb')] },
    })
    expect(await execute(request, host)).toEqual({ kind: 'ignored' })
    expect(host.sent).toHaveLength(1)
    expect(host.sent[0]?.options).toMatchObject({
      task_id: 't-1',
      root_id: 'r',
      group_id: 'g',
      group_index: 2,
      chord,
      link: [sig('cb')],
      link_error: [sig('eb')],
      replaced_task_nesting: 2,
    })
    expect(host.stored).toEqual([])
  })

  it('CNV-128 CNV-171 the rest of the chain follows what comes in its place, with its own ids', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.replace(chain([sig('a'), sig('b')])))
    const rest = [
      sig('last', [], { options: { task_id: 'l' } }),
      sig('next', [], { options: { task_id: 'n' } }),
    ]
    await execute(testRequest('t', [], { body: { chain: rest } }), host)
    const steps = host.sent[0]?.options['chain'] as { task: string; options: Record<string, unknown> }[]
    expect(names(host)).toEqual(['a'])
    expect(steps.map((step) => [step.task, step.options['task_id']])).toEqual([
      ['last', 'l'],
      ['next', 'n'],
      ['b', 't-1'],
    ])
    expect(steps.every((step) => step.options['replaced_task_nesting'] === 1)).toBe(true)
  })

  it('CNV-128 a chain ends in its last task where a group without members is behind that', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.replace(chain([sig('a'), sig('b'), group([])])))
    await execute(testRequest('t'), host)
    const steps = host.sent[0]?.options['chain'] as { task: string; options: Record<string, unknown> }[]
    expect(steps.map((step) => [step.task, step.options['task_id']])).toEqual([['b', 't-1']])
  })

  it('CNV-128 CNV-165 CNV-170 callbacks move to the last task of a chain, once', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.replace(chain([sig('a'), sig('b')], { link: [sig('own')] })))
    await execute(testRequest('t', [], { body: { callbacks: [sig('cb')] } }), host)
    const steps = host.sent[0]?.options['chain'] as { options: Record<string, unknown> }[] | undefined
    expect(steps?.[0]?.options['link']).toEqual([sig('own'), sig('cb')])
    expect(host.sent[0]?.options).not.toHaveProperty('link')
  })

  it('CNV-127 CNV-185 a group becomes a chord whose body gives the list of values', async () => {
    const host = new TestHost()
    growing(host)
    host.define('t', (self) => self.replace(group([sig('a'), sig('b')])))
    await execute(testRequest('t'), host)
    expect(names(host)).toEqual(['a', 'b'])
    expect(host.sent[0]?.options['chord']).toMatchObject({
      task: 'celery.accumulate',
      kwargs: { index: 0 },
      options: { task_id: 't-1' },
    })
  })

  it.each([
    [false, [undefined, undefined]],
    [true, [[sig('eb')], [sig('eb')]]],
  ])(
    'CNV-089 CNV-128 errbacks of a task reach the header of a chord in its place: %s, as the setting says',
    async (errbacksOnChordHeader, expected) => {
      const host = new TestHost({ errbacksOnChordHeader })
      growing(host)
      const kwargs = { kwargs: {}, header: [sig('a'), sig('b')], body: sig('sum') }
      host.define('t', (self) => self.replace(sig('celery.chord', [], { type: 'chord', kwargs })))
      await execute(testRequest('t', [], { body: { errbacks: [sig('eb')] } }), host)
      expect(names(host)).toEqual(['a', 'b'])
      expect(host.sent.map((one) => one.options['link_error'])).toEqual(expected)
      expect(host.sent[0]?.options['chord']).toMatchObject({ options: { link_error: [sig('eb')] } })
    },
  )

  it('CNV-126 CNV-168 refuses an empty chain, and a task that is in a chord', async () => {
    const host = new TestHost()
    host.define('empty', (self) => self.replace(chain([])))
    host.define('taken', (self) => self.replace(sig('x', [], { options: { chord: sig('body') } })))
    expect(await execute(testRequest('empty'), host)).toMatchObject({
      kind: 'failed',
      error: { type: 'ImproperlyConfigured', args: ['Cannot replace with an empty chain'] },
    })
    expect(await execute(testRequest('taken'), host)).toMatchObject({
      error: {
        type: 'ImproperlyConfigured',
        args: ['A signature replacing a task must not be part of a chord'],
      },
    })
    expect(host.sent).toEqual([])
  })
})

describe('addToChord', () => {
  const chord = sig('body')
  const inChord = { message: { rootId: 'r', groupId: 'g', groupIndex: 1 }, body: { chord } }

  it('TSK-093 CNV-188 CNV-189 makes the chord wait for one more, and sends it with the place of this task', async () => {
    const host = new TestHost()
    const grown = growing(host)
    host.define('t', (self) => self.addToChord(sig('more', [5])).then(() => 1))
    expect(await execute(testRequest('t', [], inChord), host)).toMatchObject({ kind: 'succeeded' })
    expect(grown).toEqual(['g'])
    expect(host.sent[0]).toMatchObject({
      signature: { task: 'more', args: [5] },
      options: { group_id: 'g', group_index: 1, root_id: 'r', chord },
    })
  })

  it('TSK-093 with lazy gives the task back, frozen, for the caller to send', async () => {
    const host = new TestHost()
    const grown = growing(host)
    let given: unknown
    host.define('t', async (self) => {
      given = await self.addToChord(self.signature([7]), { lazy: true })
    })
    await execute(testRequest('t', [], inChord), host)
    expect(grown).toEqual(['g'])
    expect(host.sent).toEqual([])
    expect(given).toMatchObject({ task: 't', args: [7], options: { task_id: 'id-1', chord } })
  })

  it('TSK-093 fails outside a chord, and where the store does not count', async () => {
    const host = new TestHost()
    host.define('t', (self) => self.addToChord(sig('more')))
    expect(await execute(testRequest('t'), host)).toMatchObject({
      error: { type: 'ValueError', args: ['Current task is not member of any chord'] },
    })
    expect(await execute(testRequest('t', [], inChord), host)).toMatchObject({
      error: { type: 'NotImplementedError', args: ['Backend does not support add_to_chord'] },
    })
  })
})
