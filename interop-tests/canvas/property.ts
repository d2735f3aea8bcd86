/** Random canvases, run and compared with a model of Celery's rules. */
import { SeededRandom } from '../loss/seeded-random.js'
import { endingOf, isEnding } from './model.js'
import type { Answer, CanvasRig } from './rig.js'
import { type Lang, randomSpec, type Spec, tasksOf } from './spec.js'

/** One kind of random canvases, and who runs them. */
export interface Mix {
  readonly name: string
  readonly depth: number
  readonly failures: number
  readonly pythonRuns: readonly Lang[]
  readonly nodeRuns: readonly Lang[]
}

const both: readonly Lang[] = ['py', 'node']

/**
 * Tasks of both languages, each run by its own: deep ones that succeed, flat ones that may fail. Deep ones that fail are
 * run by TypeScript workers alone, because Python's never end some of them (surface CNV-055); so are messages that come
 * twice: two Python workers that end one chord may start its body with nothing.
 */
export const mixes: readonly Mix[] = [
  { name: 'mixed', depth: 5, failures: 0, pythonRuns: ['py'], nodeRuns: ['node'] },
  { name: 'mixed-failing', depth: 2, failures: 0.15, pythonRuns: ['py'], nodeRuns: ['node'] },
  { name: 'typescript-failing', depth: 5, failures: 0.05, pythonRuns: [], nodeRuns: both },
]

/** The same canvases run by Celery alone: what the model is checked against. */
export const pureMixes: readonly Mix[] = [
  { name: 'celery', depth: 5, failures: 0, pythonRuns: both, nodeRuns: [] },
  { name: 'celery-failing', depth: 2, failures: 0.15, pythonRuns: both, nodeRuns: [] },
]

/** The canvas of `seed`. */
export function specOf(seed: number, { depth, failures, pythonRuns }: Mix): Spec {
  const random = new SeededRandom(seed)
  return randomSpec(random, {
    depth: 2 + (seed % (depth - 1)),
    langs: ['py', 'node'],
    failures,
    duplicates: pythonRuns.length === 0,
    runsInPython: pythonRuns.length > 0,
    mark: `-${seed}`,
  })
}

/** Runs the canvases of `count` seeds from `from`; a line for each that did not end as the model says. */
export async function runMix(
  rig: CanvasRig,
  mix: Mix,
  { from, count, timeout = 30 }: { readonly from: number; readonly count: number; readonly timeout?: number },
): Promise<readonly string[]> {
  const wrong: string[] = []
  const atOnce = 20
  for (let first = from; first < from + count; first += atOnce) {
    const seeds = Array.from({ length: Math.min(atOnce, from + count - first) }, (_, index) => first + index)
    const specs = seeds.map((seed) => specOf(seed, mix))
    const half = specs.length >> 1
    const answers: readonly Answer[] = (
      await Promise.all([rig.run(specs.slice(0, half), timeout), rig.runFromNode(specs.slice(half), timeout)])
    ).flat()
    for (const [index, spec] of specs.entries()) {
      const ending = endingOf(spec)
      const answer = answers[index] as Answer
      if (isEnding(ending, answer)) continue
      wrong.push(
        `${mix.name}, seed ${seeds[index]}, ${index < half ? 'Python' : 'TypeScript'} client: ` +
          `got ${JSON.stringify(answer)}, not ${JSON.stringify(ending)}, of ${JSON.stringify(spec)}`,
      )
    }
    wrong.push(...(await untold(rig, specs, mix, first)))
  }
  return wrong
}

/** Error callbacks of tasks that failed, and that were not called within ten seconds. */
async function untold(rig: CanvasRig, specs: readonly Spec[], mix: Mix, seed: number): Promise<string[]> {
  const failing = specs.flatMap(tasksOf).filter(({ fn, err }) => fn === 'fail' && err !== undefined)
  const end = performance.now() + 10_000
  for (;;) {
    const notes = rig.notes()
    const ran = new Set(notes.filter(({ what }) => what === 'run').map(({ tag }) => tag))
    const told = new Set(notes.filter(({ what }) => what === 'errback').map(({ tag }) => tag))
    const missing = failing.filter(({ tag, err }) => ran.has(tag) && !told.has(err ?? ''))
    if (missing.length === 0) return []
    if (performance.now() > end) {
      return missing.map(({ err }) => `${mix.name}, seeds from ${seed}: error callback ${err} was not called`)
    }
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
