/** Canvases as plain descriptions that both languages build from, and random ones (see canvas_app.py). */
import type { SeededRandom } from '../loss/seeded-random.js'

/** Where a task runs. */
export type Lang = 'py' | 'node'

/** What a task of the tests does; see canvas_app.py. */
export type Fn = 'mark' | 'fail' | 'flaky' | 'twice' | 'again' | 'replaced'

/** One task. Its value is `[tag, ...what it was given]`. */
export interface TaskSpec {
  readonly k: 'task'
  readonly lang: Lang
  readonly fn: Fn
  readonly tag: string
  /** Immutable: takes nothing from the step before. */
  readonly im?: boolean
  /** An argument in front of the tag: how often `flaky` retries, what `replaced` puts in its place. */
  readonly n?: number | Spec
  /** The tag of an error callback. */
  readonly err?: string
}

/** Any canvas. */
export type Spec =
  | TaskSpec
  | { readonly k: 'chain'; readonly steps: readonly Spec[]; readonly err?: string; readonly errlang?: Lang }
  | { readonly k: 'group'; readonly members: readonly Spec[] }
  | { readonly k: 'chord'; readonly header: readonly Spec[]; readonly body: Spec; readonly err?: string }

/** A message carries all that comes after its task, and each part of a chord does, so size grows with every nesting. */
const mostTasks = 20

/** What random canvases are made of. */
export interface Wishes {
  readonly depth: number
  readonly langs: readonly [Lang, ...Lang[]]
  /** Behind every tag, so that those of several canvases differ. */
  readonly mark: string
  /** Whether messages come twice. */
  readonly duplicates: boolean
  /** Share of tasks that fail, 0 to 1. */
  readonly failures: number
  /** Whether Celery's workers run some of the tasks. */
  readonly runsInPython: boolean
}

/**
 * A random canvas. Left out is what Celery 5.6 itself gets wrong (`npm run canvas-property -- --pure` shows it when it is
 * let in): a member of a group that is a chord with a chain as its body (the client waits for an id that no task has), a
 * chord somewhere in what follows a group (each value is passed on alone), a chain that follows a group where the chain
 * around both began with another group (the same: `group | group | chain` is a chord whose body, the second group, is
 * given the rest of the chain member by member), two groups after each other in a chain inside a chain (the same, where
 * a chord stands before it), a group as the end of a chain that others
 * wait for as one value, and empty groups.
 */
export function randomSpec(random: SeededRandom, wishes: Wishes): Spec {
  let tags = 0
  const chance = (share: number): boolean => random.next() < share
  const tag = (): string => `t${tags++}${wishes.mark}`
  const many = <T>(low: number, high: number, make: () => T): T[] =>
    Array.from({ length: Math.floor(random.between(low, high + 1)) }, make)

  const task = (): TaskSpec => {
    const kind = random.pick(['mark', 'mark', 'mark', 'mark', 'flaky', 'twice', 'again'] as const)
    const fn: Fn = chance(wishes.failures) ? 'fail' : kind === 'twice' && !wishes.duplicates ? 'mark' : kind
    return {
      k: 'task',
      lang: random.pick(wishes.langs),
      fn,
      tag: tag(),
      ...(chance(0.15) ? { im: true } : {}),
      ...(fn === 'flaky' ? { n: 1 } : {}),
      ...(fn === 'fail' && chance(0.5) ? { err: `e${tags++}${wishes.mark}` } : {}),
    }
  }
  /** A canvas of one result: a task, a chain that ends in one, a chord. */
  const single = (depth: number, place: Place): Spec => {
    if (depth <= 1 || chance(0.35)) return task()
    return chance(0.5) && place !== 'body of a member' ? chain(depth, place) : chord(depth, place)
  }
  const chain = (depth: number, place: Place): Spec => {
    const steps: Spec[] = []
    const length = 1 + Math.floor(random.between(1, 4))
    let hadGroup = false
    while (steps.length < length - 1) {
      const isGroup = chance(0.3)
      if (hadGroup && !isGroup && place === 'member') break
      steps.push(
        isGroup
          ? group(depth - 1)
          : afterGroup(steps, () => (place === 'anywhere' ? single(depth - 1, place) : task())),
      )
      hadGroup ||= isGroup
    }
    steps.push(
      afterGroup(steps, () => single(depth - 1, hadGroup && place === 'member' ? 'body of a member' : place)),
    )
    return { k: 'chain', steps }
  }
  const afterGroup = (before: readonly Spec[], make: () => Spec): Spec => {
    const isChord = before.length > 1 && before[0]?.k === 'group'
    for (;;) {
      const made = make()
      if (made.k === 'chain' && hasGroupAfterGroup(made.steps)) continue
      if (before.at(-1)?.k !== 'group' || !(hasChord(made) || (isChord && made.k === 'chain'))) return made
    }
  }
  const group = (depth: number): Spec => ({
    k: 'group',
    members: many(2, 3, () => single(depth - 1, 'member')),
  })
  const chord = (depth: number, place: Place): Spec => ({
    k: 'chord',
    header: many(1, 3, () => single(depth - 1, 'anywhere')),
    body: single(depth - 1, place === 'anywhere' ? place : 'body of a member'),
  })
  for (;;) {
    const made = random.pick([chain, chord, group, chain])(wishes.depth, 'anywhere')
    if (tasksOf(made).length <= mostTasks && !(wishes.runsInPython && mayWaitForEver(made))) return made
  }
}

/** Where a canvas stands, as far as Celery cares: what a group waits for must not be a chord whose body is a chain. */
type Place = 'anywhere' | 'member' | 'body of a member'

function hasGroupAfterGroup(steps: readonly Spec[]): boolean {
  return steps.some(
    (step, at) =>
      (step.k === 'group' && steps[at + 1]?.k === 'group') ||
      (step.k === 'chain' && hasGroupAfterGroup(step.steps)),
  )
}

/**
 * A chain that begins with a group, and in which a later group fails whose chord has a body of several steps: a Celery
 * worker that ends that header fails the body under an id that nobody waits for, and Celery's client knows of the first
 * header only (surface CNV-055; `-- --pure` shows it). In chains of tasks and groups, which are all that fail there.
 */
function mayWaitForEver(spec: Spec): boolean {
  if (spec.k !== 'chain' || spec.steps[0]?.k !== 'group') return false
  const inner = spec.steps.slice(1, -2)
  return inner.some((step) => step.k === 'group' && tasksOf(step).some(({ fn }) => fn === 'fail'))
}

/** A chord, or a chain with one in it, which a group that something follows is. */
function hasChord(spec: Spec): boolean {
  return (
    spec.k === 'chord' ||
    (spec.k === 'chain' && spec.steps.some((step) => step.k === 'group' || hasChord(step)))
  )
}

/** Every task in it. */
export function tasksOf(spec: Spec): readonly TaskSpec[] {
  switch (spec.k) {
    case 'task':
      return [spec]
    case 'chain':
      return spec.steps.flatMap(tasksOf)
    case 'group':
      return spec.members.flatMap(tasksOf)
    case 'chord':
      return [...spec.header, spec.body].flatMap(tasksOf)
  }
}
