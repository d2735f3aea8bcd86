import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { SignatureData } from '../../protocol/signature-data.js'
import { tuple } from '../../protocol/values.js'
import { GroupResult } from '../backend/group-result.js'
import { signatureFromData } from '../canvas/algebra.js'
import { chain, chord, group } from '../canvas/build.js'
import { Chain } from '../canvas/chain.js'
import { Chord } from '../canvas/chord.js'
import { Group } from '../canvas/group.js'
import { Signature } from '../canvas/signature.js'
import { BackendDisabledError, Ignore, InvalidArgumentError } from '../errors.js'
import { RecordingApp } from './recording-app.conformance.js'

interface Body {
  readonly args: readonly unknown[]
  readonly kwargs: Readonly<Record<string, unknown>>
  readonly embed: Readonly<Record<string, unknown>>
}

let app: RecordingApp
beforeEach(() => {
  app = new RecordingApp(true)
})
afterEach(() => app.close())

/** The tasks that the tests below send; `odd` fails for odd numbers when it runs here. */
function tasksOf(of: RecordingApp) {
  return {
    add: of.task('t.add', { params: ['x', 'y'] }, (x: number, y: number) => x + y),
    xsum: of.task('t.xsum', (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0)),
    text: of.task('t.text', (value: unknown) => String(value)),
  }
}

function bodies(of: RecordingApp = app): Body[] {
  return of.outgoing.map(({ envelope }) => {
    const [args, kwargs, embed] = JSON.parse(Buffer.from(envelope.body).toString()) as [[], object, object]
    return { args, kwargs: kwargs as Body['kwargs'], embed: embed as Body['embed'] }
  })
}

const headers = (of: RecordingApp = app): readonly Readonly<Record<string, unknown>>[] =>
  of.outgoing.map(({ envelope }) => envelope.headers)

it('RES-023 has the store tell of the members of a group that is sent, and not of the parts of a chord', async () => {
  const { add, xsum } = tasksOf(app)
  const expected: string[] = []
  vi.spyOn(app.backend as { expect(id: string): Promise<void> }, 'expect').mockImplementation(async (id) => {
    expected.push(id)
  })
  await chord([add.s(1, 1), add.s(2, 2)], xsum.s()).applyAsync()
  expect(expected).toEqual([])
  const members = await group([add.s(1, 1), add.s(2, 2)]).applyAsync()
  expect(expected).toEqual(members.results.map(({ id }) => id))
})

describe('the algebra of signatures', () => {
  it('CNV-016 refuses what is no signature', () => {
    const { add } = tasksOf(app)
    const wrong = add as unknown as Signature<[number], number>
    expect(() => chain(add.s(1, 1), wrong)).toThrow(InvalidArgumentError)
    expect(() => add.s(1, 1).pipe(wrong)).toThrow('followed by another one only')
    expect(() => group([wrong])).toThrow('made of signatures')
    expect(() => chord([add.s(1, 1)], wrong as never)).toThrow('body of a chord')
    expect(() => chord(5 as never, add.s(1) as never)).toThrow('iterable')
  })

  it('CNV-019 CNV-023 a chain grows by one step after the other without being copied each time, and each stage stays what it was', () => {
    const { add } = tasksOf(app)
    const copies = vi.spyOn(Signature.prototype, 'cloneWire')
    try {
      const stages: Signature<[], number>[] = [add.s(0, 0)]
      for (let n = 1; n < 200; n++) stages.push((stages.at(-1) as Signature<[], number>).pipe(add.s(n)))
      expect(copies.mock.calls.length).toBeLessThan(3 * 200)
      expect(String(stages.at(-1)).split(' | ')).toHaveLength(200)
      const early = stages[2] as unknown as Chain
      early.tasks[1]?.setWire({ queue: 'other' })
      const branch = stages[2]?.pipe(add.s(7)) as unknown as Chain
      expect(String(branch)).toBe('t.add(0, 0) | add(1) | add(2) | add(7)')
      const next = stages[3] as unknown as Chain
      expect(String(next)).toBe('t.add(0, 0) | add(1) | add(2) | add(3)')
      expect([branch, next].map((chain) => chain.tasks[1]?.options)).toEqual([{ queue: 'other' }, {}])
    } finally {
      copies.mockRestore()
    }
  })

  it('CNV-018 shows signatures as Celery does', () => {
    const { add, xsum } = tasksOf(app)
    const body = xsum.s()
    const shown = [
      add.signature({ args: [2], kwargs: { y: 3 } }),
      add.s(2, 2).pipe(add.s(2)),
      group([]),
      chord([add.s(1, 1), add.s(2, 2)], body),
      chord([add.s(1, 1)], chain(body, add.s(3))),
      chain(chord([add.s(1, 1)], body), chord([add.s(1)], body)),
      chord([add.s(1, 1)], body).pipe(chord([add.s(1)], body)),
      add.s(1, 1).pipe(chord([add.s(1)], body)),
      xsum.map([[1, 2]]),
      add.starmap([tuple(1, 1) as unknown as [number, number]]),
    ]
    expect(shown.map(String)).toEqual([
      't.add(2, y=3)',
      't.add(2, 2) | add(2)',
      'group(<empty>)',
      '%t.xsum([add(1, 1), add(2, 2)])',
      '%(t.xsum([add(1, 1)]) | add(3))',
      '%t.xsum([add(1, 1)]) | %t.xsum([add(1)])',
      '%(t.xsum([add(1, 1)]) | %xsum([add(1)]))',
      't.add(1, 1) | %xsum([add(1)])',
      '[t.xsum(x) for x in [[1, 2]]]',
      '[t.add(*x) for x in [(1, 1)]]',
    ])
    expect(String(group(add.s(1, 1), add.s(2, 2)))).toBe('group([t.add(1, 1), add(2, 2)])')
  })

  it('CNV-022 CNV-025 keeps explicit chords beside each other flat, so that a chain of them does not grow in depth', () => {
    const { add, xsum } = tasksOf(app)
    const one = chord([add.s(1), add.s(2)], xsum.s())
    expect(add.s(1, 1).pipe(one)).toBeInstanceOf(Chain)
    const size = (n: number): number => {
      const chords = chain(Array.from({ length: n }, () => one)) as unknown as Chain
      expect(chords.tasks).toHaveLength(n)
      return JSON.stringify(chords).length
    }
    expect(size(40) / size(20)).toBeLessThan(2.1)
  })

  it('CNV-026 CNV-035 makes of several what they are together: a chain, a group or a chord', () => {
    const { add, xsum } = tasksOf(app)
    const both = group(add.s(1, 1), add.s(2, 2))
    expect(chain([both])).toBe(both)
    expect(chain(both, xsum.s())).toBeInstanceOf(Chord)
    expect(chain(add.si(1, 1), group(add.si(1, 1), add.si(2, 2)))).toBeInstanceOf(Chain)
    expect(chain(both)).toBeInstanceOf(Chain)
  })

  it('CNV-029 CNV-030 CNV-032 CNV-034 CNV-040 joins groups and chords by the table of 9.2', () => {
    const { add, xsum } = tasksOf(app)
    const two = group(add.s(1, 1), add.s(2, 2))
    const bodyOf = (signature: unknown): unknown => (signature as Chord).body
    expect(bodyOf(two.pipe(group(xsum.s(), xsum.s())))).toBeInstanceOf(Group)
    expect(two.pipe(group([]))).toBe(two)
    const made = chord([add.s(1, 1)], xsum.s())
    expect(String(bodyOf(made.pipe(group([add.s(5)]))))).toBe('t.xsum() | add(5)')
    const withGroup = made.pipe(group(add.s(5), add.s(6))) as unknown as Chain
    expect(withGroup.tasks.map((one) => one.task)).toEqual(['celery.chord', 'celery.group'])
    expect(String(chain([add.s(1, 1), group([]), add.s(2)]))).toBe('t.add(1, 1) | add(2)')
    // The errback of a chain is not one of what is put behind it.
    const guarded = chain(add.s(1, 1), chord([add.s(1)], xsum.s())).onError(add.s(9) as Signature)
    const longer = guarded.pipe(group(add.s(5), add.s(6))) as unknown as Chain
    expect(longer.options).toEqual({})
    expect(longer.tasks.map((one) => one.options['link_error'] !== undefined)).toEqual([true, false])
    const body = bodyOf(longer.tasks[1]) as Chain
    expect(body.tasks.map((one) => one.options['link_error'] !== undefined)).toEqual([true, false])
    // The operands stay as they were.
    expect(String(made)).toBe('%t.xsum([add(1, 1)])')
  })

  it('CNV-037 leaves a group alone whose members are still to be made', () => {
    const { add } = tasksOf(app)
    const made = group(
      (function* () {
        yield add.s(2)
      })(),
    )
    const whole = add.s(1, 1).pipe(made) as unknown as Chain
    expect(whole.tasks[1]).toBe(made)
    expect(made.length).toBe(1)
    expect((add.s(1, 1).pipe(made) as unknown as Chain).tasks[1]?.task).toBe('t.add')
  })

  it('CNV-008 CNV-017 copies deep enough that a copy can be linked and changed alone', () => {
    const { add, xsum } = tasksOf(app)
    const original = chain(add.s(1, 1), chord([add.s(1), add.s(2)], xsum.s()))
    const before = JSON.stringify(original)
    const copy = original.clone() as unknown as Chain
    copy.tasks[0]?.link(xsum.s())
    copy.tasks[1]?.link(xsum.s())
    copy.set({ queue: 'q' })
    expect(JSON.stringify(original)).toBe(before)
    expect(copy).toBeInstanceOf(Chain)
    expect(original.equals(original.clone())).toBe(true)
    expect(original.equals(copy)).toBe(false)
  })

  it('CNV-062 CNV-090 makes the members of a group, and the header of a chord, immutable', () => {
    const { add, xsum } = tasksOf(app)
    const members = group(add.s(1, 1), add.s(2, 2)).set({ immutable: true })
    expect(members.tasks.map((one) => one.immutable)).toEqual([true, true])
    const made = chord([add.s(1, 1)], xsum.s()).set({ immutable: true })
    expect([made.tasks[0]?.immutable, made.body.immutable]).toEqual([true, false])
  })

  it('CNV-075 counts and lists the members of a group', () => {
    const { add } = tasksOf(app)
    const members = group(add.s(1, 1), add.s(2, 2))
    expect(members.length).toBe(2)
    expect([...members].map((one) => one.args[0])).toEqual([1, 2])
  })

  it('CNV-086 counts the completions that a chord waits for', () => {
    const { add, xsum } = tasksOf(app)
    const two = group(add.s(1), add.s(2))
    const sizes = [
      add.s(1, 1),
      two,
      group(two, add.s(1, 1)),
      chain(add.s(1, 1), two),
      new Chain(app, [add.s(1, 1), group([])] as never),
      chord([add.s(1, 1), add.s(2, 2)], xsum.s()),
      chord([add.s(1, 1)], group(xsum.s(), xsum.s())),
      new Chain(app, []),
    ].map((one) => one.chordSize())
    expect(sizes).toEqual([1, 2, 3, 2, 1, 1, 2, 0])
  })

  it('CNV-089 links errbacks to the body of a chord, and to its header where the setting says so', async () => {
    const withHeader = new RecordingApp(true, { taskAllowErrorCbOnChordHeader: true })
    for (const [of, header] of [
      [app, 0],
      [withHeader, 1],
    ] as const) {
      const { add, xsum, text } = tasksOf(of)
      const inner = chord([add.s(1, 1)], xsum.s())
      const made = chord([add.s(1, 1), inner], xsum.s()).onError(text.s())
      const errbacks = (one: Signature<never, unknown, never> | undefined): number =>
        (one?.toSignatureData().options as { link_error?: unknown[] } | undefined)?.link_error?.length ?? 0
      expect(
        [made.tasks[0], inner.tasks[0], inner.body, made.body].map((one) => errbacks(one as never)),
      ).toEqual([header, header, 1, 1])
    }
    await withHeader.close()
  })

  it('CNV-208 becomes data and is made of it again, whatever is nested in it', () => {
    const { add, xsum } = tasksOf(app)
    const two = group(add.s(1), add.s(2))
    const shapes = [
      add.s(1, 1),
      chain(add.s(1, 1), add.s(2)),
      group(add.s(1, 1), chain(add.s(2, 2), add.s(3))),
      chord([add.s(1, 1)], xsum.s()),
      chain(add.s(1, 1), two, xsum.s()),
      group(group(chain(add.s(1, 1), two), add.s(3, 3))),
      chord([chord([add.s(1, 1)], xsum.s()), add.s(1, 1)], chain(xsum.s(), add.s(1))),
      chord(two, group(xsum.s(), xsum.s())),
      chain(chord([add.s(1, 1)], xsum.s()), chord([add.s(1), add.s(2)], xsum.s())),
    ]
    for (const shape of shapes) {
      const text = JSON.stringify(shape)
      const again = signatureFromData(app, JSON.parse(text) as SignatureData)
      expect(JSON.stringify(again)).toBe(text)
      expect(again.constructor).toBe(shape.constructor)
    }
  })

  it('CNV-004 CNV-077 reads every form that Celery 4 to 5.6 writes', () => {
    const task = { task: 't.add', args: [1], kwargs: {}, options: {}, subtask_type: null, immutable: false }
    const old = { ...task, chord_size: null }
    const forms: readonly (readonly [SignatureData, string])[] = [
      [old, 't.add(1)'],
      [{ task: 't.add', args: tuple(1), options: {} }, 't.add(1)'],
      [
        { task: 'celery.chain', kwargs: { tasks: tuple(task, old) }, options: {}, subtask_type: 'chain' },
        't.add(1) | add(1)',
      ],
      [
        { task: 'celery.group', kwargs: { tasks: [task] }, options: {}, subtask_type: 'group' },
        'group([t.add(1)])',
      ],
      [
        { task: 'celery.chord', kwargs: { header: [task], body: task }, options: {}, subtask_type: 'chord' },
        '%t.add([add(1)], 1)',
      ],
      [
        {
          task: 'celery.chord',
          kwargs: {
            kwargs: {},
            header: {
              task: 'celery.group',
              kwargs: { tasks: [task] },
              options: { task_id: 'g' },
              subtask_type: 'group',
            },
            body: task,
          },
          options: { task_id: 'g' },
          subtask_type: 'chord',
        },
        '%t.add([add(1)], 1)',
      ],
      [
        { task: 'celery.map', kwargs: { task, it: [1] }, options: {}, subtask_type: 'xmap' },
        '[t.add(x) for x in [1]]',
      ],
      [
        { task: 'celery.starmap', kwargs: { task, it: [[1]] }, options: {}, subtask_type: 'xstarmap' },
        '[t.add(*x) for x in [[1]]]',
      ],
      [
        {
          task: 'celery.chunks',
          kwargs: { task, it: [[1], [2], [3]], n: 2 },
          options: {},
          subtask_type: 'chunks',
        },
        'celery.chunks(',
      ],
    ]
    for (const [data, text] of forms) expect(String(signatureFromData(app, data))).toContain(text)
    for (const wrong of [null, [], 'x', { task: 't', subtask_type: 'grid' }, { task: 't', kwargs: [] }]) {
      expect(() => signatureFromData(app, wrong)).toThrow(InvalidArgumentError)
    }
  })
})

describe('sending a canvas', () => {
  it('CNV-074 sends a canvas in one batch, or none of it', async () => {
    const { add, xsum } = tasksOf(app)
    await group(
      add.s(1, 1),
      chord([add.s(1, 1), add.s(2, 2)], xsum.s()),
      chain(add.s(1, 1), add.s(2)),
    ).applyAsync()
    expect(app.batches).toEqual([4])
    const wrong = add.s(1, 1).clone({ args: [3] })
    await expect(group(add.s(1, 1), wrong).applyAsync()).rejects.toThrow(TypeError)
    expect(app.batches).toEqual([4])
  })

  it('CNV-049 CNV-050 CNV-063 sends nothing for nothing', async () => {
    const { add } = tasksOf(app)
    expect(await chain([]).applyAsync()).toBeUndefined()
    const empty = await group([]).applyAsync()
    expect(await empty.get()).toEqual([])
    expect(empty.id).toMatch(/^[0-9a-f-]{36}$/)
    const steps = chain(add.s(1, 1), add.s(2))
    steps.freeze()
    expect(steps.id).toBeUndefined()
    expect(app.outgoing).toEqual([])
  })

  it('CNV-047 gives the real result of a chain of one', async () => {
    const { add } = tasksOf(app)
    const one = await chain(group(add.s(1, 1), add.s(2, 2))).applyAsync()
    expect(one).toBeInstanceOf(GroupResult)
    expect(headers().map(({ id }) => id)).toEqual(one.results.map(({ id }) => id))
  })

  it('CNV-051 extends the rest of a chain that it is a step of, and leaves that as it is', async () => {
    const { add } = tasksOf(app)
    const rest = [add.s(9).toSignatureData()]
    await (chain(add.s(1, 1), add.s(2)) as unknown as Chain).applyWire({ options: { chain: rest } })
    const sent = bodies()[0]?.embed.chain as SignatureData[] | undefined
    expect(sent?.map(({ args }) => args)).toEqual([[9], [2]])
    expect(rest).toHaveLength(1)
  })

  it('CNV-052 links the steps of a chain as callbacks in protocol 1', async () => {
    const old = new RecordingApp(true, { taskProtocol: 1 })
    const { add } = tasksOf(old)
    await chain(add.s(1, 1), add.s(2), add.s(3)).applyAsync()
    const body = JSON.parse(Buffer.from(old.outgoing[0]?.envelope.body ?? []).toString()) as {
      callbacks: { args: unknown[]; options: { link: { args: unknown[] }[] } }[]
    }
    expect(body.callbacks.map(({ args }) => args)).toEqual([[2]])
    expect(body.callbacks[0]?.options.link.map(({ args }) => args)).toEqual([[3]])
    await old.close()
  })

  it('CNV-060 takes signatures, a list, a group, one signature, and iterables of both kinds', async () => {
    const { add } = tasksOf(app)
    async function* coming() {
      yield add.s(1, 1)
      yield add.s(2, 2)
    }
    const groups = [
      group(add.s(1, 1), add.s(2, 2)),
      group([add.s(1, 1), add.s(2, 2)]),
      group(group(add.s(1, 1), add.s(2, 2))),
      group(new Set([add.s(1, 1), add.s(2, 2)])),
      group(coming()),
    ]
    for (const one of groups) expect((await one.applyAsync()).length).toBe(2)
    expect((await group(add.s(1, 1)).applyAsync()).length).toBe(1)
    expect(() => group(coming()).tasks).toThrow('await group.load() first')
    const inside = chain(add.s(1, 1), group(coming() as AsyncIterable<Signature<[number], number>>))
    await inside.applyAsync()
    expect(JSON.stringify(bodies().at(-1)?.embed.chain)).toContain('celery.group')
  })

  it('CNV-044 CNV-157 counts the countdown of a chord once: its header begins late, and its body at once after that', async () => {
    const { add, xsum } = tasksOf(app)
    await chain(group(add.s(1, 1), add.s(2, 2)), xsum.s()).applyAsync({ countdown: 60 })
    expect(headers().map(({ eta }) => typeof eta)).toEqual(['string', 'string'])
    for (const { embed } of bodies()) expect(embed['chord']).not.toHaveProperty('options.countdown')
  })

  it('CNV-045 gives the callback of a chain to each member of a group at its end, beside their own', async () => {
    const { add, text } = tasksOf(app)
    const own = add.s(1)
    own.link(text.s())
    const made = chain(add.s(1, 1), group(own, add.s(2)))
    made.link(text.s('chain'))
    await made.applyAsync()
    const [{ embed } = {} as Body] = bodies()
    const [last] = embed['chain'] as readonly [SignatureData]
    const { tasks } = last['kwargs'] as {
      readonly tasks: readonly { readonly options: { link: SignatureData[] } }[]
    }
    expect(tasks.map(({ options }) => options.link.map(({ args }) => args))).toEqual([
      [[], ['chain']],
      [['chain']],
    ])
    expect(tasks.flatMap(({ options }) => options.link.map(({ immutable }) => immutable))).not.toContain(true)
    // As Celery writes it.
    const python = signatureFromData(app, { ...last, options: { link: [text.s('python')] } } as never)
    await python.applyAsync({ args: [2] })
    expect(
      bodies()
        .slice(1)
        .map(({ embed: { callbacks } }) => (callbacks as unknown[]).length),
    ).toEqual([3, 2])
  })

  it('CNV-030 sends a chord whose body turns out to be an empty group', async () => {
    const { add } = tasksOf(app)
    const result = await chord([add.s(1, 1)], group([] as Signature<[number[]], number>[])).applyAsync()
    expect(app.outgoing).toHaveLength(1)
    expect(await result.get()).toEqual([])
  })

  it('CNV-061 refuses callbacks for a group as a whole', async () => {
    const { add, text } = tasksOf(app)
    await expect(group(add.s(1, 1)).applyAsync({ link: text.s() })).rejects.toThrow('use a chord')
    await expect(group(add.s(1, 1)).applyAsync({ linkError: text.s() })).rejects.toThrow('individual tasks')
  })

  it('CNV-087 CNV-195 sends the first tasks of a header before the last ones are made, and its size before the last', async () => {
    const { add, xsum } = tasksOf(app)
    const sentBefore: number[] = []
    const toldBefore: number[] = []
    async function* coming() {
      for (let i = 0; i < 9; i++) {
        sentBefore.push(app.outgoing.length)
        toldBefore.push(app.told.length)
        yield add.s(i, i)
      }
    }
    const result = await chord(coming(), xsum.s()).applyAsync()
    expect(sentBefore).toEqual([0, 0, 1, 1, 3, 3, 3, 3, 7])
    expect(toldBefore.at(-1)).toBe(0)
    expect(app.told).toEqual([['size', result.parent?.id, 9]])
    expect(headers().map(({ group_index: index }) => index)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8])
    expect(result.parent?.results).toHaveLength(9)
  })

  it.each([
    ['an iterable', function* () {}],
    ['an asynchronous iterable', async function* () {}],
  ])('CNV-083 CNV-087 sends the body at once where %s gives no header', async (_name, made) => {
    const { xsum } = tasksOf(app)
    await chord(made() as Iterable<Signature<[], number>>, xsum.s()).applyAsync()
    expect(bodies().map(({ args }) => args)).toEqual([[[]]])
    expect(app.told).toEqual([])
  })

  it('CNV-092 refuses a chord where no results are kept', async () => {
    const without = new RecordingApp(false, { resultBackend: 'disabled://' })
    const { add, xsum } = tasksOf(without)
    await expect(chord([add.s(1, 1)], xsum.s()).applyAsync()).rejects.toThrow(BackendDisabledError)
    // A chain says so before its first step, too.
    await expect(chain(add.s(1, 1), group(add.s(1), add.s(2)), xsum.s()).applyAsync()).rejects.toThrow(
      BackendDisabledError,
    )
    expect(without.outgoing).toEqual([])
    await without.close()
  })

  it('stops waiting for a backend that does not answer when the signal of the call aborts', async () => {
    const { add, xsum } = tasksOf(app)
    const ending = new AbortController()
    const begin = (): Promise<void> => {
      ending.abort(new Error('enough'))
      return new Promise(() => {})
    }
    Object.assign(app.backend.chords ?? {}, { begin })
    const sending = chord([add.s(1, 1)], xsum.s()).applyAsync({ signal: ending.signal })
    await expect(sending).rejects.toThrow('enough')
    expect(app.outgoing).toEqual([])
  })

  it('goes out whole when its app is closed while it is sent', async () => {
    const { add, xsum } = tasksOf(app)
    let goOn = (): void => {}
    const begin = (): Promise<void> =>
      new Promise((resolve) => {
        goOn = resolve
      })
    Object.assign(app.backend.chords ?? {}, { begin })
    const sending = chord([add.s(1, 1), add.s(2, 2)], xsum.s()).applyAsync()
    const closing = app.close()
    for (let turns = 0; turns < 5; turns++) await turn()
    goOn()
    await Promise.all([sending, closing])
    expect(app.outgoing).toHaveLength(2)
  })

  it('CNV-139..142 keeps stamps of any type through copies and calls', async () => {
    const { add } = tasksOf(app)
    const stamped = add.s(1, 1).stamp({ tenant: 'acme', sizes: [1, 2], urgent: true })
    await stamped.clone().applyAsync({ stamps: { tenant: 'other' } })
    expect(headers()[0]).toMatchObject({
      stamped_headers: ['tenant', 'sizes', 'urgent'],
      stamps: { tenant: 'acme', sizes: [1, 2], urgent: true },
    })
    const merged = add
      .s(1, 1)
      .stamp({ a: [1] })
      .stamp({ a: [2], b: null }, { append: true })
      .stamp({ b: 3 }, { append: true })
    expect(merged.options).toMatchObject({ a: [2, 1], b: [3, null] })
  })

  it('CNV-211 keeps its own priority where the call has none, and the ids that it was frozen with', async () => {
    const { add } = tasksOf(app)
    const one = add.s(1, 1).set({ priority: 7, groupId: 'g' })
    one.freeze({ taskId: 'id', rootId: 'r', parentId: 'p', groupIndex: 3, groupId: 'other' })
    await one.applyAsync({ priority: null })
    expect(app.outgoing[0]?.envelope.properties.priority).toBe(7)
    expect(headers()[0]).toMatchObject({ id: 'id', root_id: 'r', parent_id: 'p', group: 'g', group_index: 3 })
  })
})

describe('running a canvas here', () => {
  beforeEach(async () => {
    await app.close()
    app = new RecordingApp(false, { taskAlwaysEager: true })
  })

  it('CNV-053 CNV-210 runs the steps of a chain one after the other, each the parent of the next', async () => {
    const { add, text } = tasksOf(app)
    const result = await chain(add.s(1), add.s(8), text.s()).applyAsync({ args: [1] })
    expect(await result.get()).toBe('10')
    expect(await result.parent?.get()).toBe(10)
    expect(await result.parent?.parent?.get()).toBe(2)
    const named = await chain(add.s(), add.s(8), add.s(10)).applyAsync({ kwargs: { x: 1, y: 1 } } as never)
    expect(await named.get()).toBe(20)
    expect(app.outgoing).toEqual([])
  })

  it('CNV-053 stops a chain at a step without a result', async () => {
    const { add } = tasksOf(app)
    const ran: number[] = []
    const ignored = app.task('t.ignored', (x: number): number => {
      throw new Ignore(`not ${x}`)
    })
    const last = app.task('t.last', (x: number) => ran.push(x))
    const result = await chain(add.s(1, 1), ignored.s(), last.s()).apply()
    expect(await result.state()).toBe('IGNORED')
    expect(ran).toEqual([])
  })

  it('CNV-076 CNV-094 CNV-210 runs groups and chords, nested ones too', async () => {
    const { add, xsum } = tasksOf(app)
    const both = await group(add.s(1, 1), add.s(2, 2)).applyAsync()
    expect(await both.get()).toEqual([2, 4])
    expect((await group([]).apply()).id).toBeDefined()
    const sum = await chord([add.s(1, 1), add.s(2, 2)], xsum.s()).applyAsync()
    expect(await sum.get()).toBe(6)
    const lists = await chord([add.s(1, 1)], group(xsum.s(), xsum.s())).applyAsync()
    expect(await lists.get()).toEqual([2, 2])
    const mixed = await chain(add.s(1, 1), group(add.s(1), add.s(2)), xsum.s(), add.s(10)).applyAsync()
    expect(await mixed.get()).toBe(17)
  })

  it('CNV-013 has no function of its own to call', () => {
    const { add } = tasksOf(app)
    expect(() => chain(add.s(1, 1), add.s(2)).call()).toThrow('delay()')
    expect(add.s(1).call(2)).toBe(3)
  })

  it('CNV-130 runs here what comes in the place of a task, and gives its value', async () => {
    const { add, xsum } = tasksOf(app)
    const replaced = app.task('t.replaced', { bind: true }, (self, x: number) =>
      self.replace(chain(add.s(x, 1), add.s(10))),
    )
    const parted = app.task('t.parted', { bind: true }, (self) =>
      self.replace(chord([add.s(1, 1), add.s(2, 2)], xsum.s())),
    )
    expect(await (await replaced.apply({ args: [1] })).get()).toBe(12)
    expect(await (await parted.apply()).get()).toBe(6)
  })

  it('CNV-146 shows the stamps of its call to a task that runs here', async () => {
    const stamped = app.task('t.stamped', { bind: true }, (self) => [
      self.request.stamps,
      self.request.stampedHeaders,
    ])
    const call = stamped.s()
    call.stamp({ tenant: ['acme'] })
    const result = await call.apply()
    expect(await result.get()).toEqual([{ tenant: ['acme'] }, ['tenant']])
  })
})

describe('one task for many items', () => {
  it('TSK-078 CNV-135 PUB-046 chunks, map and starmap go where the task in them goes; members where each goes', async () => {
    await app.close()
    app = new RecordingApp(true, { taskRoutes: { 't.add': { queue: 'sums' }, 't.text': { queue: 'texts' } } })
    const { add, text } = tasksOf(app)
    const pairs = [1, 2, 3].map((n) => tuple(n, n) as [number, number])
    await add.chunks(pairs, 2).applyAsync()
    await add.starmap(pairs).applyAsync()
    await text.map([1, 2]).applyAsync()
    await add.chunks(pairs, 3).group().pipe(text.s()).applyAsync()
    await group(add.s(1, 1), text.s(1)).applyAsync()
    await chain(text.s(1), add.s(2) as never).applyAsync()
    // A later step of a chain, as a worker sends it.
    const step = JSON.parse(JSON.stringify(text.map([1, 2]))) as SignatureData
    await signatureFromData(app, step).applyAsync({ args: [1] })
    const sent = app.outgoing.map(({ envelope, to }) => [envelope.headers['task'], to.routingKey])
    expect(sent).toEqual([
      ['celery.starmap', 'sums'],
      ['celery.starmap', 'sums'],
      ['celery.starmap', 'sums'],
      ['celery.map', 'texts'],
      ['celery.starmap', 'sums'],
      ['t.add', 'sums'],
      ['t.text', 'texts'],
      ['t.text', 'texts'],
      ['celery.map', 'texts'],
    ])
  })
})
