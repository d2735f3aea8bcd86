/** What the wire-identity tests share: the same asked of two programs, and what is not compared of what they write. */
import { afterAll, beforeAll } from 'vitest'
import type { Program, Settings, WireWorker } from './wire-identity-programs.js'

/** Members of written values that are not compared when they stand beside another one, and why not. */
const members: readonly {
  readonly name: string
  readonly beside: string
  readonly value?: RegExp
  readonly why: string
}[] = [
  {
    name: 'origin',
    beside: 'correlation_id',
    why: 'a retry of Celery takes the origin header for a message property as well; nobody reads it there',
  },
  {
    name: 'argsrepr',
    beside: 'retries',
    value: /^"(\(7,\)|\[7\])"$/,
    why: 'a retry sends the arguments as they came, a list; Celery makes a tuple of them; only shown to people',
  },
  {
    name: 'chain',
    beside: 'errbacks',
    value: /^(null|\[\])$/,
    why: 'the last step of a chain has an empty list from Celery, null from us: for both, nothing follows',
  },
]

/** True for a member of `of` that is not compared; for `Normal`. */
export function passesOver(name: string, value: unknown, of: Readonly<Record<string, unknown>>): boolean {
  return members.some(
    (each) => each.name === name && each.beside in of && (each.value?.test(JSON.stringify(value)) ?? true),
  )
}

/** Celery and celeriac for the tests of this `describe`. */
export function useSides<S extends Program>(start: () => Promise<readonly [celery: S, celeriac: S]>) {
  let sides: readonly S[] = []
  let count = 0
  beforeAll(async () => {
    sides = await start()
  }, 60_000)
  afterAll(async () => {
    await Promise.all(sides.map((side) => side.close()))
  })
  return {
    /** The same on both sides, Celery's answer first. */
    both: async <T>(run: (side: S) => Promise<T>): Promise<[T, T]> =>
      (await Promise.all(sides.map(run))) as [T, T],
    /** An id for a task, the same on both sides. */
    id: (): string => `00000000-0000-4000-8000-${String(++count).padStart(12, '0')}`,
  }
}

/** The workers of this `describe`, one a side; those that run at its end are stopped. */
export function useWorkers() {
  const running = new Map<string, WireWorker>()
  const stop = async ({ name }: Program): Promise<void> => {
    await running.get(name)?.stop()
    running.delete(name)
  }
  afterAll(async () => {
    await Promise.all([...running.values()].map((worker) => worker.stop()))
  })
  return {
    start: async (side: Program, settings: Settings, queue: string): Promise<void> => {
      running.set(side.name, await side.worker(settings, queue))
    },
    stop,
  }
}

/** A signature as it is written. */
export function signatureOf(task: string, args: readonly unknown[], options: Settings): Settings {
  return { task, args, kwargs: {}, options, subtask_type: null, immutable: false }
}

/** One run of a task: its title, its task, what it is sent with, whether a result is stored (true), who sends it. */
type Run = readonly [
  title: string,
  name: string,
  fields: { readonly args?: readonly unknown[]; readonly options?: Settings },
  stored?: boolean,
  client?: string,
]

/** For `it.each`. */
export function casesOf(runs: readonly Run[]) {
  return runs.map(([title, name, fields, stored = true, client = 'worker']) => {
    return [title, { name, fields, stored, client }] as const
  })
}
