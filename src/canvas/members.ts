import type { AnyResult } from '../backend/any-result.js'
import { InvalidArgumentError } from '../errors.js'
import { orAborted } from '../or-aborted.js'
import type { Arguments } from './call-types.js'
import type { Signature } from './signature.js'

/** A signature of any kind. */
export type Member = Signature<Arguments, unknown, AnyResult>

/** Most members that are sent in one batch while more may come. */
const MAX_BATCH = 512

/**
 * The members of a group, perhaps not all of them made yet (Celery's `regen`; surface CNV-060, CNV-087).
 *
 * Rule 1: an iterable is read once, whatever is asked of the group afterwards.
 * Rule 2: batches grow: the first member is sent before the second is made, later ones hundreds at a time.
 * Rule 3: an iterable that fails, or is given up, is let go of (its `finally` runs), and whoever asks again is told why:
 * the members that were made are not the group.
 */
export class Members {
  private list: Member[]
  private rest: Iterator<Member> | AsyncIterator<Member> | undefined
  private readonly isAsync: boolean
  /** Why `rest` gives no more. */
  private failure: { readonly error: unknown } | undefined

  constructor(source: readonly Member[] | Iterable<Member> | AsyncIterable<Member>) {
    this.isAsync = !Array.isArray(source) && Symbol.asyncIterator in source
    this.list = Array.isArray(source) ? (source as Member[]) : []
    if (Array.isArray(source)) return
    this.rest =
      Symbol.asyncIterator in source
        ? source[Symbol.asyncIterator]()
        : (source as Iterable<Member>)[Symbol.iterator]()
  }

  /** True while an iterable has not been read to its end. */
  get isOpen(): boolean {
    return this.rest !== undefined
  }

  /** All of them. Throws `InvalidArgumentError` while an asynchronous iterable has not been read. */
  get all(): Member[] {
    const { rest } = this
    if (rest === undefined) return this.list
    if (this.isAsync) {
      throw new InvalidArgumentError(
        'The members of this group come from an asynchronous iterable that has not been read: await group.load() first',
      )
    }
    while (this.rest !== undefined) this.take()
    return this.list
  }

  /** The first one; `undefined` where there is none, and while an asynchronous iterable has not been asked. */
  get first(): Member | undefined {
    if (this.list.length === 0 && this.rest !== undefined && !this.isAsync) {
      this.take()
    }
    return this.list[0]
  }

  /** Waits for the first one. Throws what the iterable throws, and the reason of the signal. */
  async begin(signal?: AbortSignal): Promise<void> {
    if (this.list.length === 0) await this.takeOne(signal)
  }

  /** Reads to the end. */
  async load(signal?: AbortSignal): Promise<void> {
    while (this.rest !== undefined) await this.takeOne(signal)
    for (const member of this.list) await member.load(signal)
  }

  /** Them in batches, the last one marked; an empty list is one empty batch. */
  async *batches(
    signal?: AbortSignal,
  ): AsyncGenerator<{ readonly members: readonly Member[]; readonly isLast: boolean }> {
    try {
      let from = 0
      for (let size = 1; ; size = Math.min(size * 2, MAX_BATCH)) {
        while (this.rest !== undefined && this.list.length <= from + size) await this.takeOne(signal)
        const isLast = this.rest === undefined
        const members = isLast ? this.list.slice(from) : this.list.slice(from, from + size)
        for (const member of members) await member.load(signal)
        yield { members, isLast }
        if (isLast) return
        from += size
      }
    } finally {
      if (signal?.aborted) this.giveUp(signal.reason)
    }
  }

  /** Reads no more of it, because of `error`. */
  giveUp(error: unknown): void {
    const { rest, failure } = this
    if (rest === undefined || failure !== undefined) return
    this.failure = { error }
    // Not waited for: one that is stuck never answers.
    void (async () => rest.return?.())().catch(() => {})
  }

  private async takeOne(signal: AbortSignal | undefined): Promise<void> {
    const { rest, failure } = this
    if (failure !== undefined) throw failure.error
    if (rest === undefined) return
    try {
      signal?.throwIfAborted()
      const next = rest.next()
      this.keep(await (signal === undefined ? next : orAborted(Promise.resolve(next), signal)))
    } catch (error) {
      this.giveUp(error)
      throw error
    }
  }

  private take(): void {
    const { rest, failure } = this
    if (failure !== undefined) throw failure.error
    if (rest === undefined) return
    try {
      this.keep(rest.next() as IteratorResult<Member>)
    } catch (error) {
      this.giveUp(error)
      throw error
    }
  }

  private keep(next: IteratorResult<Member>): void {
    if (next.done) this.rest = undefined
    else this.list.push(next.value)
  }
}
