import type { AnyResult } from '../backend/any-result.js'
import { InvalidArgumentError } from '../errors.js'
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
 */
export class Members {
  private list: Member[]
  private rest: Iterator<Member> | AsyncIterator<Member> | undefined
  private readonly isAsync: boolean

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
    while (this.rest !== undefined) this.keep(rest.next() as IteratorResult<Member>)
    return this.list
  }

  /** The first one; `undefined` where there is none, and while an asynchronous iterable has not been asked. */
  get first(): Member | undefined {
    if (this.list.length === 0 && this.rest !== undefined && !this.isAsync) {
      this.keep(this.rest.next() as IteratorResult<Member>)
    }
    return this.list[0]
  }

  /** Waits for the first one. */
  async begin(): Promise<void> {
    if (this.list.length === 0 && this.rest !== undefined) this.keep(await this.rest.next())
  }

  /** Reads to the end. */
  async load(): Promise<void> {
    while (this.rest !== undefined) {
      this.keep(await this.rest.next())
    }
    for (const member of this.list) await member.load()
  }

  /** Them in batches, the last one marked; an empty list is one empty batch. */
  async *batches(): AsyncGenerator<{ readonly members: readonly Member[]; readonly isLast: boolean }> {
    let from = 0
    for (let size = 1; ; size = Math.min(size * 2, MAX_BATCH)) {
      while (this.rest !== undefined && this.list.length <= from + size) {
        this.keep(await this.rest.next())
      }
      const isLast = this.rest === undefined
      const members = isLast ? this.list.slice(from) : this.list.slice(from, from + size)
      for (const member of members) await member.load()
      yield { members, isLast }
      if (isLast) return
      from += size
    }
  }

  private keep(next: IteratorResult<Member>): void {
    if (next.done) this.rest = undefined
    else this.list.push(next.value)
  }
}
