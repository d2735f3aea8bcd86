/**
 * Who waits for which results, however they are found: by looking (result-poll.ts) or by being told (result-push.ts).
 *
 * Rule 1: what was found for a wait is yielded in the order of finding, and all of it before an error or the end.
 * Rule 2: an abort ends it quietly and at once: nothing is yielded after it.
 */
import type { ResultMeta } from '../../protocol/result-meta.js'
import { onAbort } from './abort-listener.js'

/** One open watch. */
export class ResultWait {
  /** Tasks whose last result has not been found. */
  readonly waiting: Set<string>
  /** Whether results that are not the last ones are told, too. */
  readonly every: boolean
  /** What such a result was read from when it was told, by task. */
  readonly seen = new Map<string, Uint8Array>()
  readonly #found: ResultMeta[] = []
  #error: { readonly reason: unknown } | undefined
  #isOver = false
  #wake = (): void => {}

  constructor(taskIds: Iterable<string>, every: boolean) {
    this.waiting = new Set(taskIds)
    this.every = every
  }

  /** True when nothing more is looked for. */
  get isOver(): boolean {
    return this.#isOver
  }

  /** One more was found. */
  tell(meta: ResultMeta): void {
    this.#found.push(meta)
    this.#wake()
  }

  /** `results` throws this; the first one counts. */
  fail(reason: unknown): void {
    this.#error ??= { reason }
    this.#end()
  }

  /** What is found, as it is, from when somebody asks; ends when all have been, or when `signal` aborts. */
  static async *results<W extends ResultWait>(
    signal: AbortSignal,
    open: () => W,
    close: (wait: W) => void,
  ): AsyncGenerator<ResultMeta, void, undefined> {
    if (signal.aborted) return
    const wait = open()
    const stopListening = onAbort(signal, () => wait.#end())
    try {
      for (;;) {
        for (let meta = wait.#found.shift(); meta !== undefined; meta = wait.#found.shift()) {
          if (signal.aborted) return
          yield meta
        }
        if (wait.#error !== undefined) throw wait.#error.reason
        if (wait.#isOver || wait.waiting.size === 0) return
        await new Promise<void>((resolve) => {
          wait.#wake = resolve
        })
      }
    } finally {
      stopListening()
      close(wait)
    }
  }

  #end(): void {
    this.#isOver = true
    this.#wake()
  }
}

/** The open watches of one backend. */
export class ResultWaits<W extends ResultWait = ResultWait> {
  readonly #all = new Set<W>()
  readonly #byTask = new Map<string, Set<W>>()

  get size(): number {
    return this.#all.size
  }

  /** All of them. */
  [Symbol.iterator](): IterableIterator<W> {
    return this.#all.values()
  }

  /** Whether anybody waits for this task. */
  isFor(taskId: string): boolean {
    return this.#byTask.has(taskId)
  }

  /** Those who wait for this task now. */
  of(taskId: string): readonly W[] {
    return [...(this.#byTask.get(taskId) ?? [])]
  }

  /** The tasks that anybody waits for. */
  taskIds(): readonly string[] {
    return [...this.#byTask.keys()]
  }

  /** Those who wait for any of these tasks, each once. */
  ofAny(taskIds: Iterable<string>): ReadonlySet<W> {
    const concerned = new Set<W>()
    for (const id of taskIds) for (const wait of this.#byTask.get(id) ?? []) concerned.add(wait)
    return concerned
  }

  add(wait: W): void {
    this.#all.add(wait)
    for (const id of wait.waiting) {
      const others = this.#byTask.get(id)
      if (others === undefined) this.#byTask.set(id, new Set([wait]))
      else others.add(wait)
    }
  }

  /** It waits for this task no longer; true when nobody does. */
  leave(wait: W, taskId: string): boolean {
    const others = this.#byTask.get(taskId)
    others?.delete(wait)
    return others?.size === 0 && this.#byTask.delete(taskId)
  }

  /** It is closed; `leave` is for whoever closes it. False when it was closed before. */
  delete(wait: W): boolean {
    return this.#all.delete(wait)
  }
}
