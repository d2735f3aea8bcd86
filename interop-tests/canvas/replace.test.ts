/** A task that puts another canvas in its place gives what it gives where only Celery runs, in whichever language it is. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Broker, redisKind } from '../brokers.js'
import { skipNote } from '../redis-server.js'
import { CanvasRig } from './rig.js'
import type { Fn, Lang, Spec, TaskSpec } from './spec.js'

/** What is put in the place of a task of language `a`, where; its other tasks are of `b` and `a` by turns. */
function shapes(a: Lang, b: Lang): Readonly<Record<string, Spec>> {
  let tags = 0
  const task = (lang: Lang, fn: Fn = 'mark', n?: Spec): TaskSpec => ({
    k: 'task',
    lang,
    fn,
    tag: `t${tags++}`,
    ...(n === undefined ? {} : { n }),
  })
  const chain = (...steps: Spec[]): Spec => ({ k: 'chain', steps })
  const chord = (header: Spec[], body: Spec): Spec => ({ k: 'chord', header, body })
  const others: Readonly<Record<string, () => Spec>> = {
    task: () => task(b),
    chain: () => chain(task(b), task(a)),
    group: () => ({ k: 'group', members: [task(b), task(a)] }),
  }
  const all: Record<string, Spec> = {}
  for (const [name, other] of Object.entries(others)) {
    const replaced = (): Spec => task(a, 'replaced', other())
    all[`a ${name}, alone`] = replaced()
    all[`a ${name}, in a chain`] = chain(task(b), replaced(), task(b))
    all[`a ${name}, at the end of a chain`] = chain(task(b), replaced())
    all[`a ${name}, in a header`] = chord([replaced(), task(b)], task(a))
    all[`a ${name}, in a chain in a header`] = chord([chain(task(b), replaced()), task(b)], task(a))
    all[`a ${name}, as a body`] = chord([task(b), task(a)], replaced())
  }
  return all
}

describe.skipIf(redisKind.missing)(`tasks that replace themselves${skipNote(redisKind.missing)}`, () => {
  const brokers: Broker[] = []
  let pure: CanvasRig
  let mixed: CanvasRig
  beforeAll(async () => {
    brokers.push(...(await Promise.all([redisKind.start(), redisKind.start()])))
    const [first, second] = brokers as [Broker, Broker]
    ;[pure, mixed] = await Promise.all([
      CanvasRig.start(first, { pythonRuns: ['py', 'node'], nodeRuns: [] }),
      CanvasRig.start(second),
    ])
  })
  afterAll(async () => {
    await Promise.all([pure?.close(), mixed?.close()])
    await Promise.all(brokers.map((broker) => broker.close()))
  })

  it.each([
    ['TypeScript', 'node', 'py'],
    ['Python', 'py', 'node'],
  ] as const)(
    'TSK-092 CNV-127 CNV-128 CNV-129 a task in %s is replaced by a task, a chain and a group as in Celery alone',
    async (_language, a, b) => {
      const canvases = shapes(a, b)
      const specs = Object.values(canvases)
      const [expected, byPython, byNode] = await Promise.all([
        pure.run(specs),
        mixed.run(specs),
        mixed.runFromNode(specs),
      ])
      for (const [at, name] of Object.keys(canvases).entries()) {
        expect(expected[at], name).toHaveProperty('value')
        expect(byPython[at], `${name}, sent from Python`).toEqual(expected[at])
        expect(byNode[at], `${name}, sent from TypeScript`).toEqual(expected[at])
      }
    },
  )
})
