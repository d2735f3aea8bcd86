/**
 * The parts of chords inside this process, as Redis counts them (`redis-scripts.ts` PARTS; surface CNV-110).
 *
 * Rule 1: parts are ordered by their place, then by their bytes; one that runs again in the same place is one part, and
 * a success stays.
 * Rule 2: counters die with the results of their time; they are freed when another chord begins. No timer runs.
 */
import type { CompletedParts } from './key-value-store.js'
import { type PendingChord, type PendingOptions, pendingChordOf } from './pending-chord.js'

interface Part {
  readonly score: number
  readonly member: Uint8Array
}

interface Counted {
  size: number | undefined
  added: number
  parts: Part[]
  diesAt: number
}

/** The counters that backends of one process share. */
export class MemoryParts {
  readonly #chords = new Map<string, Counted>()

  begin(groupKey: string, size: number, diesAt: number, now: number): void {
    this.#counted(groupKey, diesAt, now).size = size
  }

  grow(groupKey: string, diesAt: number, now: number): void {
    this.#counted(groupKey, diesAt, now).added += 1
  }

  /** All parts, when this was the last one. */
  add(
    groupKey: string,
    part: Part,
    head: number,
    diesAt: number,
    now: number,
  ): CompletedParts['members'] | undefined {
    const chord = this.#counted(groupKey, diesAt, now)
    const same = chord.parts.findIndex((one) => isSame(one, part, head))
    const known = chord.parts[same]
    if (known === undefined) chord.parts.push(part)
    else if (!isSuccess(known)) chord.parts[same] = part
    if (chord.size === undefined || chord.parts.length !== chord.size + chord.added) return undefined
    return [...chord.parts].sort(inOrder).map(({ member }) => member)
  }

  end(groupKey: string): void {
    this.#chords.delete(groupKey)
  }

  /** Chords that wait, of keys that begin with `keyPrefix`. */
  async *pending(
    keyPrefix: string,
    { signal, limit = Number.POSITIVE_INFINITY }: PendingOptions,
    keepSeconds: number,
    now: number,
  ): AsyncGenerator<PendingChord, void, undefined> {
    let given = 0
    for (const [key, { size, added, parts, diesAt }] of [...this.#chords]) {
      signal?.throwIfAborted()
      if (!key.startsWith(keyPrefix) || given >= limit) continue
      const counters = {
        size,
        added,
        counted: parts.length,
        failed: parts.filter((part) => !isSuccess(part)).length,
        leftMs: diesAt === Number.POSITIVE_INFINITY ? -1 : Math.max(-2, diesAt - now),
        places: parts.map(({ score }) => score),
      }
      const chord = pendingChordOf(key.slice(keyPrefix.length), counters, keepSeconds)
      if (chord === undefined) continue
      given += 1
      yield chord
    }
  }

  #counted(groupKey: string, diesAt: number, now: number): Counted {
    const known = this.#chords.get(groupKey)
    // Put at the end, so that the first ones are the first to die.
    this.#chords.delete(groupKey)
    for (const [key, chord] of this.#chords) {
      if (chord.diesAt > now) break
      this.#chords.delete(key)
    }
    const chord =
      known !== undefined && known.diesAt > now ? known : { size: undefined, added: 0, parts: [], diesAt }
    chord.diesAt = diesAt
    this.#chords.set(groupKey, chord)
    return chord
  }
}

function isSame(one: Part, other: Part, head: number): boolean {
  if (one.score !== other.score) return false
  return head > 0
    ? Buffer.compare(one.member.subarray(0, head), other.member.subarray(0, head)) === 0
    : Buffer.compare(one.member, other.member) === 0
}

/** `[1, id, state, result]`: the state stands near the head, whatever the serializer. */
function isSuccess({ member }: Part): boolean {
  return Buffer.from(member.buffer, member.byteOffset, Math.min(member.length, 300)).includes('SUCCESS')
}

function inOrder(one: Part, other: Part): number {
  return one.score === other.score
    ? Buffer.compare(one.member, other.member)
    : one.score < other.score
      ? -1
      : 1
}
