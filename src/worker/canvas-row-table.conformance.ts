/** The canvases of surface 9.10, and of rows before it that say what a whole canvas gives. */
import { expect } from 'vitest'
import {
  chained,
  chorded,
  echo,
  grouped,
  type Node,
  pipe,
  type Row,
  type RowAnswer,
  si,
  type TaskNode,
  t,
  times,
} from './canvas-rows.conformance.js'

const add = (...args: unknown[]): TaskNode => t('add', ...args)
const addOnce = (...args: unknown[]): TaskNode => si('add', ...args)
const identity = (...args: unknown[]): TaskNode => t('identity', ...args)
const just = (value: unknown): TaskNode => si('identity', value)
const tsum = t('tsum')
const fails = si('boom')
const thousand = 'Celery takes the better part of a minute for a thousand tasks'
/** Ends its chord in TypeScript. */
const here = (node: TaskNode): TaskNode => ({ ...node, lang: 'node' })
const withErr = (node: Node, tag: string): Node => ({ ...node, err: [{ task: 'err', tag }] })
const withEcho = (node: Node, tag: string): Node => ({ ...node, err: [echo(tag)] })
const linked = (node: Node, tag: string): Node => ({ ...node, link: [echo(tag)] })
const pair = (a: Node, b: Node): Node => grouped(a, b)
const sumOfTwo = (value: number): Node => chorded(pair(add(value), add(value)), tsum)
const sumOfThree = (value: number, of = add): Node => chorded(grouped(of(value), of(value), of(value)), tsum)
const twos = times(2, () => add(1))

/** Values nested in an answer that look like ids, each as the number of its first place. */
export function numbered(value: unknown): unknown {
  const seen = new Map<string, string>()
  return JSON.parse(
    JSON.stringify(value ?? null).replace(/[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => {
      const known = seen.get(id) ?? `id ${seen.size}`
      seen.set(id, known)
      return known
    }),
  )
}

type Ids = readonly [root: string, parent: string | null, value: number]
type Tree = readonly [readonly [string, Tree | null], readonly Tree[] | null]

/** The results of a tree from the first one on. */
function path(tree: unknown): readonly Tree[] {
  const found: Tree[] = []
  for (let at = tree as Tree | null; at !== null; at = at[0][1]) found.unshift(at)
  return found
}

/** Headers of every kind, of which some tasks fail, and how many. */
const headers: readonly (readonly [name: string, failures: number, header: readonly Node[]])[] = [
  ['one that fails', 1, [fails]],
  ['three that fail', 3, times(3, () => fails)],
  ['one of two', 1, [fails, just(42)]],
  ['one of three', 1, [fails, just(42), just(42)]],
  ['two of three', 2, [fails, just(42), fails]],
  ['two of four', 2, [fails, just(42), fails, just(42)]],
  ['three of five', 3, [fails, just(42), fails, just(42), fails]],
]

const bodies: Readonly<Record<string, Node>> = {
  task: addOnce(9, 7),
  chain: chained(addOnce(9, 7), addOnce(5, 7)),
  group: pair(addOnce(9, 7), addOnce(5, 7)),
  chord: chorded(pair(addOnce(1, 1), addOnce(2, 2)), addOnce(10, 10)),
}

const oneChain: readonly Row[] = [
  {
    name: 'CNV-045 the callback of a chain with a group at its end is called by each member',
    canvas: linked(chained(just(1), pair(just(2), just(3))), 'callback'),
    gives: [2, 3],
    notes: ['callback', 'callback'],
  },
  { name: 'CNV-147 three steps', canvas: pipe(add(4, 4), add(8), add(16)), gives: 32 },
  { name: 'CNV-148 one step', canvas: chained(add(3, 4)), gives: 7 },
  { name: 'CNV-148 a chain of a chain', canvas: { list: [{ list: [identity(42)] }] }, gives: 42 },
  {
    name: 'CNV-149 a replaced step in a chain in a chain, and a group at its end',
    canvas: pipe(
      add(2, 2),
      pipe(add(4), t('add_replaced', 8), add(16), add(32)),
      grouped(...times(4, (i) => add(i))),
    ),
    gives: [64, 65, 66, 67],
  },
  {
    name: 'CNV-150 the members of a group after a step are given its value',
    canvas: pipe(add(5, 6), pair(pipe(add(1), add(2)), add(3))),
    gives: [14, 14],
  },
  {
    name: 'CNV-042 the members of a group that comes first are given the arguments',
    canvas: chained(pair(add(1), add(2)), tsum),
    call: { args: [10] },
    gives: 23,
  },
  {
    name: 'CNV-042 the header of a chord that comes first is given the arguments',
    canvas: chained(chorded([add(1), add(2)], tsum), add(100)),
    call: { args: [10] },
    gives: 123,
  },
  {
    name: 'CNV-151 a task between two groups',
    canvas: pipe(
      grouped(...times(3, (i) => echo(`before ${i}`))),
      echo('connect'),
      grouped(...times(2, (i) => echo(`after ${i}`))),
    ),
    gives: [0, 0],
    notes: ['before 0', 'before 1', 'before 2', 'connect', 'after 0', 'after 1'],
    check: (_answer, notes) => {
      const places = notes.map(({ tag }) => tag.split(' ')[0])
      expect(places).toEqual(['before', 'before', 'before', 'connect', 'after', 'after'])
    },
  },
  {
    name: 'CNV-152 a chain with a group at its end, in a group',
    canvas: grouped(just(1), just(2), chained(just(5), pair(just(3), just(4)))),
    gives: [1, 2, [3, 4]],
  },
  {
    name: 'CNV-153 a step that fails',
    canvas: chained(add(1, 2), t('boom'), add(3, 4)),
    fails: 'ValueError',
  },
  {
    name: 'CNV-154 tasks that are replaced twice over',
    canvas: { task: 'outer', args: [false], tag: 'log' },
    gives: null,
    notes: ['log in A', 'log in B', 'log C', 'log out B', 'log out A'],
    check: (_answer, notes) =>
      expect(notes.map(({ tag }) => tag)).toEqual([
        'log in A',
        'log in B',
        'log C',
        'log out B',
        'log out A',
      ]),
  },
  {
    name: 'CNV-155 the ids of ten steps',
    canvas: { list: times(10, (i) => si('ids', i)) },
    check: ({ value, tree }) => {
      const ids = path(tree).map(([[id]]) => id)
      expect(ids).toHaveLength(10)
      expect(value).toEqual([ids[0], ids[8], 9])
    },
  },
  {
    name: 'CNV-156 a header member that handles its soft time limit',
    canvas: chorded([add(1, 2), { task: 'patient', lang: 'node', options: { soft_time_limit: 0.2 } }], {
      ...tsum,
      lang: 'py',
    }),
    gives: 3,
    notAsked: 'soft time limits need Celery to run processes',
  },
  {
    name: 'CNV-157 a chord that begins later, with an errback',
    canvas: { ...chained(pair(add(3, 0), add(7, 0)), tsum), err: [echo('never')] },
    call: { countdown: 0.5 },
    gives: 10,
  },
]

const chords: readonly Row[] = [
  {
    name: 'CNV-158 a group after a group after a task',
    canvas: pipe(addOnce(1, 0), grouped(...twos), grouped(tsum, tsum), tsum),
    gives: 8,
  },
  {
    name: 'CNV-159 two upgraded chords',
    canvas: pipe(addOnce(1, 0), grouped(...twos), tsum, add(1), grouped(...twos), tsum),
    gives: 12,
  },
  {
    name: 'CNV-159 an upgraded chord and one that is written',
    canvas: pipe(addOnce(1, 0), grouped(...twos), tsum, add(1), chorded(grouped(...twos), tsum)),
    gives: 12,
  },
  {
    name: 'CNV-160 six chords in two chains that are joined',
    canvas: pipe(
      chained(chorded(pair(addOnce(1, 0), addOnce(1, 0)), tsum), sumOfTwo(1), sumOfTwo(0)),
      chained(sumOfTwo(10), sumOfTwo(0), sumOfTwo(1)),
    ),
    gives: 178,
  },
  {
    name: 'CNV-161 nine chords of three',
    canvas: chained(
      chorded(grouped(...times(3, () => addOnce(1, 0))), tsum),
      ...times(7, () => sumOfThree(1)),
      sumOfThree(0),
    ),
    gives: 29520,
  },
  {
    name: 'CNV-162 a chord, a task and a group after a task',
    canvas: pipe(addOnce(1, 0), grouped(...twos), tsum, add(1), grouped(...twos)),
    gives: [6, 6],
  },
  ...[1, 2, 3].map((n) => ({
    name: `CNV-162 a chord, ${n} tasks and a group`,
    canvas: pipe(pair(add(1, 1), add(1, 1)), tsum, ...times(n, () => add(1)), grouped(...twos)),
    gives: [5 + n, 5 + n],
  })),
  {
    name: 'CNV-163 a group in the middle of a chain',
    canvas: chained(identity(42), pair(identity(), identity()), identity()),
    gives: [42, 42],
  },
  {
    name: 'CNV-163 a group at the end of a chain',
    canvas: chained(identity(42), pair(identity(), identity())),
    gives: [42, 42],
  },
  {
    name: 'CNV-164 a chain that is a group',
    canvas: chained(pair(identity(42), identity(42))),
    gives: [42, 42],
    notAsked: 'it waits for ever, though all has been done (the row says so)',
    notFromPython: 'it waits for ever',
  },
  {
    name: 'CNV-174 a chain with a group in it as the body of a chord in a chord',
    canvas: chorded(
      [add(0, 1)],
      chorded([tsum, tsum], chained(tsum, pair(add(8), add(16)), pipe(tsum, add(32)))),
    ),
    gives: 60,
  },
  {
    name: 'CNV-175 a chain of a chord of groups and a chain',
    canvas: chained(
      pipe(pair(echo('a1'), echo('a2')), pair(echo('a3'), echo('a4'))),
      pipe(echo('a5'), echo('b')),
    ),
    gives: 0,
    notes: ['a1', 'a2', 'a3', 'a4', 'a5', 'b'],
  },
  ...(['groups', 'a chord of groups', 'a chord of groups and tasks'] as const).map((kind) => {
    const [one, two] = [
      grouped(...times(3, (i) => echo(`${i + 1}`))),
      grouped(...times(3, (i) => echo(`${i + 4}`))),
    ]
    const start = kind === 'groups' ? [one, two] : [chorded(one, two)]
    const seventh = kind === 'a chord of groups and tasks' ? echo('7') : grouped(echo('7'))
    return {
      name: `CNV-173 a chain of ${kind} runs each task once`,
      canvas: chained(...start, seventh, grouped(echo('8')), echo('9'), echo('done')),
      gives: 0,
      notes: ['1', '2', '3', '4', '5', '6', '7', '8', '9', 'done'],
    }
  }),
  ...[echo('done'), grouped(echo('done'))].map((done, at) => ({
    name: `CNV-173 groups of two, three and four, then ${at === 0 ? 'a task' : 'a group of one'}`,
    canvas: chained(
      pair(echo('1'), echo('2')),
      grouped(...times(3, (i) => echo(`${i + 3}`))),
      grouped(...times(4, (i) => echo(`${i + 6}`))),
      done,
    ),
    gives: 0,
    notes: ['1', '2', '3', '4', '5', '6', '7', '8', '9', 'done'],
  })),
  {
    name: 'CNV-172 a chain before a chord that the broker delivers twice has one header id',
    canvas: chained(t('doubled', 42), chorded([{ task: 'group_id', tag: 'group' }, identity()], identity())),
    check: (_answer, notes) => {
      const groups = notes.filter(({ tag }) => tag.endsWith('group')).map(({ id }) => id)
      expect(groups).toHaveLength(2)
      expect(new Set(groups).size).toBe(1)
    },
    notes: ['group', 'group'],
    gives: [null, 42],
  },
]

const replaced: readonly Row[] = [
  {
    name: 'CNV-165 a chain in the place of a step, with a callback',
    canvas: chained(identity('Hello '), { task: 'replace_with_chain', tag: 'inner' }, add('world')),
    gives: 'Hello world',
    notes: ['inner'],
  },
  {
    name: 'CNV-165 the same with a callback of the outer chain',
    canvas: linked(
      chained(identity('Hello '), { task: 'replace_with_chain', tag: 'inner' }, add('world')),
      'outer',
    ),
    gives: 'Hello world',
    notes: ['inner', 'outer'],
  },
  {
    name: 'CNV-166 a chain that fails in the place of a step',
    canvas: chained(identity('Hello '), { task: 'replace_raises', tag: 'inner' }, add('never')),
    fails: 'ValueError',
    notes: ['inner'],
  },
  {
    name: 'CNV-166 the same with an errback of the outer chain',
    canvas: withEcho(
      chained(identity('Hello '), { task: 'replace_raises', tag: 'inner' }, add('never')),
      'outer',
    ),
    fails: 'ValueError',
    notes: ['inner', 'outer'],
  },
  {
    name: 'CNV-167 the callback of a chain that is spliced into another one',
    canvas: chained(
      { ...chained(identity('a'), add('b')), link: [echo('link of b')], err: [t('identity', 'never')] },
      add('c'),
    ),
    gives: 'abc',
    notes: ['link of b'],
  },
  {
    name: 'CNV-168 an empty chain in the place of a step',
    canvas: chained(identity(1), t('replace_empty')),
    fails: 'ImproperlyConfigured',
  },
  {
    name: 'CNV-169 a callback of each of 42 steps',
    canvas: { list: times(42, () => linked(just(1337), 'step')) },
    gives: 1337,
    notes: times(42, () => 'step'),
  },
  {
    name: 'CNV-169 an errback of each of 42 steps that would fail',
    canvas: { list: times(42, () => withEcho(fails, 'step')) },
    fails: 'ValueError',
    notes: ['step'],
  },
  {
    name: 'CNV-170 a callback of a chain whose step is replaced',
    canvas: linked(chained(si('add_replaced', 42, 1337), identity()), 'chain'),
    gives: 1379,
    notes: ['chain'],
  },
  {
    name: 'CNV-170 an errback of a chain whose step is replaced',
    canvas: withEcho(chained(si('add_replaced', 42, 1337), t('boom')), 'chain'),
    fails: 'ValueError',
    notes: ['chain'],
  },
  {
    name: 'CNV-170 a callback of a replaced step',
    canvas: chained(linked(si('add_replaced', 42, 1337), 'step'), identity()),
    gives: 1379,
    notes: ['step'],
  },
  {
    name: 'CNV-170 an errback of a replaced step',
    canvas: chained(withEcho(si('boom_replaced'), 'step'), just(42)),
    fails: 'ValueError',
    notes: ['step'],
  },
  { name: 'CNV-171 alone', canvas: si('replace_with_chain', 42), gives: 42 },
  {
    name: 'CNV-171 the first of a chain',
    canvas: chained(si('replace_with_chain', 42), identity()),
    gives: 42,
  },
  {
    name: 'CNV-171 in the middle of a chain',
    canvas: chained(identity(42), t('replace_with_chain'), identity()),
    gives: 42,
  },
  { name: 'CNV-171 the last of a chain', canvas: chained(identity(42), t('replace_with_chain')), gives: 42 },
  {
    name: 'CNV-171 members of a group',
    canvas: grouped(si('replace_with_chain', 42), t('replace_with_chain', 1337), identity(31337)),
    gives: [42, 1337, 31337],
  },
  {
    name: 'CNV-171 the header of a chord',
    canvas: chorded(si('replace_with_chain', 42), identity()),
    gives: [42],
  },
  {
    name: 'CNV-171 in the header of a chord',
    canvas: chorded(
      [si('replace_with_chain', 42), t('replace_with_chain', 1337), identity(31337)],
      identity(),
    ),
    gives: [42, 1337, 31337],
  },
  {
    name: 'CNV-171 the body of a chord',
    canvas: chorded(identity(42), t('replace_with_chain')),
    gives: [42],
  },
  ...[0, 1, 2].map((at) => ({
    name: `CNV-171 step ${at} of a body`,
    canvas: chorded(
      identity(42),
      chained(...times(3, (i) => (i === at ? t('replace_with_chain') : identity()))),
    ),
    gives: [42],
  })),
  {
    name: 'CNV-185 groups in the places of twenty members',
    canvas: grouped(...times(10, () => [t('add_to_all', [2, 1], 1), t('add_to_all', [4, 3], 1)]).flat()),
    gives: times(10, () => [
      [3, 2],
      [5, 4],
    ]).flat(),
  },
  {
    name: 'CNV-187 replaced members and bodies of chords in a chord',
    canvas: chorded(
      [
        pipe(chorded([add(1, 2), t('add_replaced', 3, 4)], t('add_to_all', 5)), tsum),
        pipe(chorded([t('add_replaced', 6, 7), add(0, 0)], t('add_to_all', 8)), tsum),
      ],
      t('add_to_all', 9),
    ),
    gives: [29, 38],
  },
  {
    name: 'CNV-188 three tasks added to a chord',
    canvas: pipe(grouped(t('add_to_all_to_chord', [1, 2, 3], 4)), identity()),
    check: ({ value }) => expect([...(value as number[])].sort()).toEqual([0, 5, 6, 7]),
  },
  {
    name: 'CNV-188 a chord added to a chord',
    canvas: pipe(grouped(t('add_chord_to_chord', [1, 2, 3], 4)), identity()),
    check: ({ value }) => expect(value).toEqual(expect.arrayContaining([0, 18])),
  },
]

const groups: readonly Row[] = [
  {
    name: 'CNV-179 the ids of 48 members after two steps',
    canvas: pipe(si('ids', 1), si('ids', 2), grouped(...times(48, (i) => si('ids', i + 2)))),
    check: ({ value, tree }) => {
      const [first, second] = path(tree).map(([[id]]) => id)
      expect(value).toEqual(times(48, (i) => [first, second, i + 2]))
    },
  },
  {
    name: 'CNV-180 groups in groups in a group',
    canvas: pair(addOnce(1, 10), pair(addOnce(1, 100), pair(addOnce(1, 1000), addOnce(1, 2000)))),
    gives: [11, 101, 1001, 2001],
  },
  {
    name: 'CNV-181 a group of 1000',
    notOverRabbit: thousand,
    canvas: grouped(...times(1000, (i) => identity(i))),
    gives: times(1000, (i) => i),
  },
  { name: 'CNV-182 a header of a task', canvas: grouped(chorded([just(42)], identity())), gives: [[42]] },
  {
    name: 'CNV-182 a header of a chain',
    canvas: grouped(chorded([{ list: times(42, () => just(1337)) }], identity())),
    gives: [[1337]],
  },
  {
    name: 'CNV-182 a header of a group',
    canvas: grouped(chorded([grouped(...times(42, () => just(1337)))], identity())),
    gives: [times(42, () => 1337)],
  },
  {
    name: 'CNV-182 a header of a chord',
    canvas: grouped(
      chorded(
        [
          chorded(
            times(42, () => just(1337)),
            just(31337),
          ),
        ],
        identity(),
      ),
    ),
    gives: [[31337]],
  },
  {
    name: 'CNV-182 a header of everything',
    canvas: grouped(
      chorded(
        [
          just(42),
          { list: times(42, () => just(42)) },
          grouped(...times(42, () => just(42))),
          chorded(
            times(42, () => just(42)),
            just(1337),
          ),
        ],
        identity(),
      ),
    ),
    gives: [[...times(44, () => 42), 1337]],
  },
  {
    name: 'CNV-183 a body that is a chain of one',
    canvas: grouped(chorded(just(42), { list: [identity()] })),
    gives: [[42]],
    notAsked: 'its first wait times out (the row says so)',
    notFromPython: 'its first wait times out',
  },
  {
    name: 'CNV-184 a callback of a group',
    canvas: linked(pair(just(42), just(1337)), 'group'),
    gives: [42, 1337],
    notes: ['group'],
  },
  {
    name: 'CNV-184 an errback of a group whose first member fails',
    canvas: withEcho(pair(t('boom'), just(42)), 'group'),
    fails: 'ValueError',
    notes: ['group'],
  },
  {
    name: 'CNV-184 an errback of a group whose last member fails',
    canvas: withEcho(pair(just(42), t('boom')), 'group'),
    fails: 'ValueError',
    notes: ['group'],
  },
  {
    name: 'CNV-184 an errback of a group of which 42 members of 66 fail',
    canvas: withEcho(grouped(...times(24, () => just(42)), ...times(42, () => t('boom'))), 'group'),
    fails: 'ValueError',
    notes: times(42, () => 'group'),
  },
  {
    name: 'CNV-184 an errback that is told the failing member',
    canvas: withErr(pair({ ...fails, tag: 'failed' }, just(42)), 'err'),
    fails: 'ValueError',
    notes: ['failed', 'err'],
    check: (_answer, notes) => expect(new Set(notes.map(({ id }) => id)).size).toBe(1),
  },
]

const headersAndBodies: readonly Row[] = [
  {
    name: 'CNV-186 the order of ten results',
    canvas: chorded(
      times(10, (i) => just(i)),
      identity(),
    ),
    gives: times(10, (i) => i),
  },
  {
    name: 'CNV-189 a group that a task gives from the values of a group',
    canvas: pipe(add(2, 2), grouped(...times(4, (i) => add(i))), t('add_to_all', 8)),
    gives: [12, 13, 14, 15],
  },
  {
    name: 'CNV-190 a group at the end of a chain in a group before a task',
    canvas: chained(
      addOnce(1, 0),
      pair(addOnce(1, 100), chained(addOnce(1, 200), pair(addOnce(1, 1000), addOnce(1, 2000)))),
      addOnce(1, 10),
    ),
    gives: 11,
  },
  { name: 'CNV-191 a header of one', canvas: chorded([add(2, 5)], t('add_to_all', 9)), gives: [16] },
  {
    name: 'CNV-191 a group of one before a task',
    canvas: pipe(grouped(add(2, 5)), t('add_to_all', 9)),
    gives: [16],
  },
  { name: 'CNV-191 an empty header', canvas: chorded([], t('add_to_all', 9)), gives: [] },
  { name: 'CNV-191 an empty group before a task', canvas: pipe(grouped(), t('add_to_all', 9)), gives: [] },
  {
    name: 'CNV-192 chords in the header of a chord',
    canvas: chorded(
      [chorded([add(1, 2), add(3, 4)], add([5])), chorded([add(6, 7)], add([10]))],
      t('add_to_all', ['A']),
    ),
    gives: [
      [3, 7, 5, 'A'],
      [13, 10, 'A'],
    ],
  },
  {
    name: 'CNV-192 upgraded groups in a group before a task',
    canvas: pipe(
      pair(pipe(pair(add(1, 2), add(3, 4)), add([5])), pipe(grouped(add(6, 7)), add([10]))),
      t('add_to_all', ['A']),
    ),
    gives: [
      [3, 7, 5, 'A'],
      [13, 10, 'A'],
    ],
  },
  {
    name: 'CNV-192 groups of one, four deep',
    canvas: pipe(
      grouped(pipe(grouped(pipe(grouped(pipe(grouped(add(1, 2)), add([3]))), add([4]))), add([5]))),
      add([6]),
    ),
    gives: [[[[3, 3], 4], 5], 6],
  },
  {
    name: 'CNV-192 chords in bodies of chords, four deep',
    canvas: [1, 2, 3, 4].reduce<Node>(
      (body, level) => chorded([level === 4 ? just(42) : identity()], body),
      identity(),
    ),
    gives: [[[[42]]]],
  },
  ...(['chord', 'pipe'] as const).map((kind): Row => {
    const header = times(47, (i) => si('ids', i + 3))
    const [first, second] = [si('ids', 1), si('ids', 2)]
    const [collect, last] = [t('collect_ids', 50), si('ids', 51)]
    return {
      name: `CNV-100 CNV-193 parents through a chain and a chord, written as a ${kind}`,
      canvas:
        kind === 'chord'
          ? chained(first, second, chorded(grouped(...header), chained(pipe(collect, last))))
          : pipe(first, second, grouped(...header), collect, last),
      check: (answer) => assertParents(answer),
    }
  }),
  {
    name: 'CNV-196 two chords side by side',
    canvas: pair(chorded(pair(add(1, 2), add(3, 4)), tsum), chorded(pair(add(1, 2), add(3, 4)), tsum)),
    gives: [10, 10],
  },
  {
    name: 'CNV-196 chords in chains in a chord',
    canvas: chorded(
      grouped(
        ...times(2, () => chained(addOnce(1, 2), chorded(pair(addOnce(1, 2), addOnce(1, 2)), addOnce(1, 2)))),
      ),
      addOnce(2, 2),
    ),
    gives: 4,
  },
  {
    name: 'CNV-196 a chain with a chord with a chain with a chord',
    canvas: chained(
      just(1),
      chorded([just(2), chained(just(3), chorded([just(4), just(5)], just(6)))], just(7)),
    ),
    gives: 7,
  },
  {
    name: 'CNV-197 a header of 1000',
    notOverRabbit: thousand,
    canvas: pipe(grouped(...times(1000, (i) => just(i))), tsum),
    gives: 499_500,
  },
  {
    name: 'CNV-197 a task before a header of 1000',
    notOverRabbit: thousand,
    canvas: pipe(just(1), grouped(...times(1000, () => identity())), tsum),
    gives: 1000,
  },
  { name: 'CNV-198 a priority', canvas: chained({ ...t('priority'), options: { priority: 3 } }), gives: 3 },
  {
    name: 'CNV-198 a priority of each step',
    canvas: pipe(
      { ...t('priority'), options: { priority: 3 } },
      { ...t('priority'), options: { priority: 5 } },
    ),
    gives: 5,
  },
  {
    name: 'CNV-199 a group in a header is taken apart',
    canvas: chorded([pair(identity(42), identity(42))], identity()),
    gives: [42, 42],
  },
  {
    name: 'CNV-099 CNV-199 a group at the end of a chain in a header is a list',
    canvas: chorded(grouped(chained(identity(42), pair(identity(), identity()))), identity()),
    gives: [[42, 42]],
  },
  {
    name: 'CNV-135 chunks before a task',
    canvas: pipe({ chunks: { task: 'add' }, it: times(5, (i) => [i, i]), n: 2 }, identity()),
    gives: [[0, 2], [4, 6], [8]],
  },
  {
    name: 'CNV-093 results that are not stored still count',
    canvas: chorded([t('add_quiet', 1, 2), add(3, 4)], { task: 'echo', tag: 'body' }),
    gives: 1,
    notes: ['body'],
  },
  {
    name: 'CNV-116 a member that retries counts once',
    canvas: chorded([t('retried', 1), t('retried', 2)], identity()),
    gives: [1, 2],
  },
  {
    name: 'CNV-117 a member that expires fails the body',
    notOverRabbit:
      'the broker drops what has expired before any worker sees it, and the chord waits for ever',
    canvas: withEcho(
      chorded([just(1), { ...just(2), options: { expires: 0.001 } }], { task: 'echo', tag: 'body' }),
      'err',
    ),
    fails: 'TaskRevokedError',
    notes: ['err'],
  },
  {
    name: 'CNV-083 a header of groups without members',
    canvas: chorded([grouped(), grouped(grouped())], identity()),
    gives: [],
  },
  {
    name: 'CNV-063 a group without members before a task in a group',
    canvas: grouped(grouped(), just(1)),
    gives: [1],
  },
  {
    name: 'CNV-086 a chain with a group without members at its end, in a header',
    canvas: chorded([chained(just(2), grouped()), just(1)], identity()),
    gives: [2, 1],
    notAsked: 'it never ends',
    notFromPython: 'it never ends',
  },
  {
    name: 'CNV-059 arguments for a chain of a chord and a task',
    canvas: chained(chorded([identity(), identity()], identity()), identity()),
    call: { args: [1] },
    gives: [1, 1],
  },
  {
    name: 'CNV-059 arguments for a chain of a chain',
    canvas: chained(chained(identity(), identity())),
    call: { args: [1] },
    gives: 1,
  },
]

const errors: readonly Row[] = [
  {
    name: 'CNV-200 a step before the last group',
    canvas: pipe(add(1, 1), { ...t('boom'), lang: 'node' }, pair(add(1), add(1))),
    fails: 'ValueError',
    notAsked: 'it never ends where the step fails in Celery (its issue 6437)',
  },
  {
    name: 'CNV-200 a member of the last group',
    canvas: pipe(add(1, 1), add(1), pair(add(1), t('boom'))),
    fails: 'ValueError',
  },
  ...Object.entries({
    task: t('boom'),
    'chain in its middle': chained(just(42), t('boom'), just(42)),
    'chain at its end': chained(just(42), t('boom')),
    group: pair(just(42), t('boom')),
  }).flatMap(([kind, child]): Row[] => [
    {
      name: `CNV-200 CNV-201 a header that is a ${kind}`,
      canvas: withEcho(chorded([child], { task: 'echo', tag: 'body' }), 'err'),
      fails: 'ValueError',
      notes: ['err'],
    },
    {
      name: `CNV-101 CNV-200 CNV-201 a body that is a ${kind}`,
      canvas: withEcho(chorded([just(42)], child), 'err'),
      fails: 'ValueError',
      notes: ['err'],
    },
  ]),
  {
    name: 'CNV-201 the errback of a chord whose header fails is told of its body',
    canvas: withErr(
      chorded([{ ...t('boom'), tag: 'failed' }], {
        ...identity(),
        options: { task_id: '11111111-0000-4000-8000-00000000c201' },
      }),
      'err',
    ),
    fails: 'ValueError',
    notes: ['failed', 'err'],
    check: ({ tree }, notes) => {
      const told = notes.find(({ tag }) => tag.endsWith('err'))?.id
      expect(told).toBe((tree as Tree)[0][0])
    },
  },
  {
    name: 'CNV-201 the errback of a chord whose body fails is told of the task that failed',
    canvas: withErr(chorded([just(42)], chained(just(1), { ...fails, tag: 'failed' }, just(2))), 'err'),
    fails: 'ValueError',
    notes: ['failed', 'err'],
    check: (_answer, notes) => expect(new Set(notes.map(({ id }) => id)).size).toBe(1),
  },
  ...Object.entries<Node>({
    'a chain': chained(just(1), just(2), just(3)),
    'a chain with a group': chained(just(1), pair(just(2), just(3)), just(4)),
  }).flatMap(([kind, body]): Row[] =>
    ['a chord', 'an upgraded chord'].map((which) => ({
      name: `CNV-113 CNV-201 the errback of ${which} whose body is ${kind} is called once when the header fails`,
      canvas: withErr(
        which === 'a chord' ? chorded([just(1), fails], body) : chained(pair(just(1), fails), body),
        'err',
      ),
      fails: 'ValueError',
      notes: ['err'],
      check: ({ tree }, [told]) => expect(told?.id).toBe((tree as Tree)[0][0]),
    })),
  ),
  {
    name: 'CNV-201 the errback of a chord of whose header 42 fail',
    canvas: withEcho(
      chorded([grouped(...times(24, () => just(42)), ...times(42, () => t('boom')))], identity()),
      'err',
    ),
    fails: 'ValueError',
    notes: ['err'],
  },
  {
    name: 'CNV-201 the errback of a chord of whose body 42 fail',
    canvas: withEcho(
      chorded([just(42)], grouped(...times(24, () => just(42)), ...times(42, () => t('boom')))),
      'err',
    ),
    fails: 'ValueError',
    notes: times(42, () => 'err'),
  },
  {
    name: 'CNV-202 a chord in a header fails',
    canvas: withEcho(
      chorded(grouped(just('t3'), chorded([just('t1'), fails], just('t2'))), { task: 'echo', tag: 'body' }),
      'err',
    ),
    fails: 'ChordError',
    // It is linked to both bodies. Where Celery fails the inner one it leaves the outer one waiting, and calls it once.
    notes: 'checked',
    check: (_answer, notes) => expect([['err'], ['err', 'err']]).toContainEqual(notes.map(({ tag }) => tag)),
  },
  ...headers.flatMap(([name, failures, header]): Row[] => [
    {
      name: `CNV-203 errbacks of their own: ${name}`,
      flag: true,
      canvas: chorded(
        header.map((one) => withEcho(one, 'header')),
        withEcho({ task: 'echo', tag: 'body', si: true }, 'body err'),
      ),
      fails: 'ValueError',
      notes: [...times(failures, () => 'header'), 'body err'],
    },
    ...(header.length === 1
      ? []
      : [
          {
            name: `CNV-203 the errback of an upgraded chord, by the flag: ${name}`,
            flag: true as const,
            canvas: withEcho(chained(grouped(...header), { task: 'echo', tag: 'body', si: true }), 'err'),
            fails: 'ValueError',
            notes: times(failures + 1, () => 'err'),
          },
        ]),
    {
      name: `CNV-204 the errback of a chord without the flag: ${name}`,
      canvas: withEcho(chorded(header, { task: 'echo', tag: 'body', si: true }), 'err'),
      fails: 'ValueError',
      notes: ['err'],
    },
  ]),
  ...Object.entries(bodies).map(([kind, body]) => ({
    name: `CNV-205 a group that fails before a ${kind}`,
    canvas: chained(pair(addOnce(15, 7), fails), body),
    // Celery fails the members of a group, and has its workers mark them as revoked: which comes last is chance.
    fails: kind === 'group' ? ['ValueError', 'TaskRevokedError'] : 'ValueError',
  })),
  {
    name: 'CNV-194 the errback of a body is told its id',
    canvas: chorded([add(1, 2), add(3, 4), fails], withErr(identity(), 'err')),
    fails: 'ValueError',
    notes: ['err'],
    check: ({ tree, stored }, [told]) => {
      expect(told?.id).toBe((tree as Tree)[0][0])
      expect(stored).toEqual(['ChordError', expect.stringMatching(/^Dependency [-0-9a-f]{36} raised /)])
    },
  },
  {
    name: 'CNV-107 a header with a group in it, of which a member fails',
    canvas: chorded([here(just(1)), chained(here(just(2)), pair(here(just(3)), here(fails)))], identity()),
    fails: 'ValueError',
    check: ({ stored }) => expect(stored).toEqual(['ChordError', "Join error: ValueError('deliberate')"]),
    notAsked: 'it says the same, but for the times when its join finds nothing within three seconds',
  },
  {
    name: 'CNV-206 a group that fails in a chain in a chain',
    canvas: chained(chained(pair(addOnce(1, 1), fails), identity()), identity()),
    fails: 'ValueError',
  },
  {
    name: 'CNV-207 a step that fails before a group in a chain in a group',
    canvas: chained(
      pair(just(1), chained({ ...fails, lang: 'node' }, pair(just(2), just(3)), just(4))),
      identity(),
    ),
    fails: 'ValueError',
    notAsked: 'it never ends where the step fails in Celery 5.6',
  },
]

const stamp = { tenant: 'acme', seats: [1, 2] }
const stamped: readonly Row[] = [
  ...Object.entries<Node>({
    task: t('stamps'),
    chain: chained(t('stamps'), t('stamps')),
    'chain of chains': chained(chained(t('stamps'), t('stamps')), t('stamps')),
    group: pair(t('stamps'), t('stamps')),
    'group of groups': pair(t('stamps'), pair(t('stamps'), t('stamps'))),
    'group of chains': pair(t('stamps'), chained(t('stamps'), t('stamps'))),
    'chain with a group': chained(t('stamps'), pair(t('stamps'), t('stamps'))),
    chord: chorded([t('stamps'), t('stamps')], t('stamps')),
    'chord of chords': chorded([chorded([t('stamps')], t('stamps')), t('stamps')], t('stamps')),
    'chain that becomes a chord': chained(pair(t('stamps'), t('stamps')), t('stamps')),
    'chord with a chain as body': chorded([t('stamps')], chained(t('stamps'), t('stamps'))),
  }).map(([kind, canvas]) => ({ name: `CNV-209 a stamped ${kind}`, canvas: { ...canvas, stamp } })),
  { name: 'CNV-209 a stamped task that retries', canvas: { ...t('stamps_retried'), stamp }, gives: stamp },
  {
    name: 'CNV-209 a stamped task that is replaced by one with stamps of its own',
    canvas: { ...t('stamps_replaced'), stamp },
    gives: [{ inner: 'yes' }],
  },
  {
    name: 'CNV-072 CNV-143 a stamped task that sends a group',
    canvas: { ...t('fan'), stamp },
    check: ({ value, children }) => {
      expect([...(value as string[])].sort()).toEqual(['seats', 'tenant'])
      expect(children).toHaveLength(1)
      expect((children as Tree[])[0]?.[1]).toHaveLength(2)
    },
  },
  {
    name: 'CNV-212 the results of two groups, one after the other',
    canvas: chained(just(1), pair(just(2), just(3)), pair(just(4), just(5)), just(6)),
    gives: 6,
    check: ({ tree }) =>
      expect(path(tree).map(([, members]) => members?.length)).toEqual([undefined, 2, 2, undefined]),
  },
]

/** All of them. */
export const canvasRows: readonly Row[] = [
  ...oneChain,
  ...chords,
  ...replaced,
  ...groups,
  ...headersAndBodies,
  ...errors,
  ...stamped,
]

/** What CNV-193 says of `task | task | group | body | task`, each of which gives `[root, parent, value]`. */
function assertParents({ value, tree }: RowAnswer): void {
  const [first, second, header, body, last] = path(tree)
  expect([first, second, header, body, last].map((one) => one?.[1]?.length ?? null)).toEqual([
    null,
    null,
    47,
    null,
    null,
  ])
  const [root, parent] = value as Ids
  expect([root, parent]).toEqual([first?.[0][0], body?.[0][0]])
}
