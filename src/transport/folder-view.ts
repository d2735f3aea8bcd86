/**
 * What waits in a folder of message files, by queue and in order, without listing it for each claim.
 *
 * Rule 1: the view may be behind or ahead of the folder; only the rename that claims a file decides.
 * Rule 2: it is told by `fs.watch` where that works, and looks for itself every `pollMs` where it does not (another
 *         machine's files, no inotify left), but lists only when the folder changed since it looked.
 */
import { type FSWatcher, watch } from 'node:fs'
import { readdir, stat } from 'node:fs/promises'
import type { Clock } from '../clock.js'
import { compareFileNames, queueOfFile } from './message-file-name.js'

/** Own removals whose event may still come; far above what the kernel queues between two turns of the loop. */
const rememberedRemovals = 20_000

/** Names of one queue that are kept between listings: a consumer that is busy for hours must not gather them all. */
const mostKnown = 100_000

/** A sorted, cheaply refreshed view of the message files in one folder. */
export class FolderView {
  readonly #folder: string
  readonly #pollMs: number
  readonly #clock: Clock
  readonly #queues = new Map<string, WaitingNames>()
  readonly #removed = new Set<string>()
  readonly #waiters = new Set<(queue: string | undefined) => void>()
  #watcher: FSWatcher | undefined
  #isStarted = false
  #refreshing: Promise<void> | undefined
  #seenWhileListing: string[] | undefined
  #look: { readonly at: number; readonly mtimeNs: bigint; readonly listings: number } | undefined

  constructor(folder: string, pollMs: number, clock: Clock) {
    this.#folder = folder
    this.#pollMs = pollMs
    this.#clock = clock
  }

  /** Looks at the folder when the last look is older than `pollMs`, or `now`. Throws when it cannot be read. */
  async refresh(now = false): Promise<void> {
    this.#start()
    if (now) this.#look = undefined
    if (this.#look !== undefined && this.#clock.monotonic() - this.#look.at < this.#pollMs) return
    this.#refreshing ??= this.#list().finally(() => (this.#refreshing = undefined))
    await this.#refreshing
  }

  /** Takes up to `max` names out of the view, oldest first over all `queues`. */
  take(queues: readonly string[], max: number): readonly string[] {
    const taken: string[] = []
    while (taken.length < max) {
      let oldest: WaitingNames | undefined
      for (const queue of queues) {
        const names = this.#queues.get(queue)
        const first = names?.first
        if (first === undefined) continue
        if (oldest?.first === undefined || compareFileNames(first, oldest.first) < 0) oldest = names
      }
      const name = oldest?.shift()
      if (name === undefined) break
      taken.push(name)
    }
    return taken
  }

  /** A file was put into the folder. */
  add(name: string): void {
    const queue = queueOfFile(name)
    if (queue === undefined || !this.#isStarted) return
    this.#removed.delete(name)
    if ((this.#queues.get(queue)?.length ?? 0) >= mostKnown) {
      this.#look = undefined
      return
    }
    this.#seenWhileListing?.push(name)
    this.#insert(queue, name)
    for (const wake of [...this.#waiters]) wake(queue)
  }

  /** We took the file out of the folder: the event that tells so is no news. */
  removedByUs(name: string): void {
    if (this.#watcher === undefined) return
    this.#removed.add(name)
    if (this.#removed.size <= rememberedRemovals) return
    for (const oldest of this.#removed) {
      this.#removed.delete(oldest)
      break
    }
  }

  /** Resolves when a name for one of `queues` came, after `ms` (at most `pollMs`), or when `signal` aborts. */
  async changed(queues: readonly string[], ms: number, signal: AbortSignal): Promise<void> {
    if (signal.aborted || queues.some((queue) => this.#queues.get(queue)?.first !== undefined)) return
    await new Promise<void>((resolve) => {
      const done = (): void => {
        this.#waiters.delete(wake)
        stopTimer()
        signal.removeEventListener('abort', done)
        resolve()
      }
      const wake = (queue: string | undefined): void => {
        if (queue === undefined || queues.includes(queue)) done()
      }
      const stopTimer = this.#clock.after(Math.min(ms, this.#pollMs), done)
      this.#waiters.add(wake)
      signal.addEventListener('abort', done, { once: true })
    })
  }

  close(): void {
    this.#watcher?.close()
    this.#watcher = undefined
    this.#isStarted = true
  }

  #start(): void {
    if (this.#isStarted) return
    this.#isStarted = true
    try {
      this.#watcher = watch(this.#folder, (_event, name) => this.#onEvent(name))
      this.#watcher.on('error', () => {
        this.#watcher?.close()
        this.#watcher = undefined
      })
    } catch {
      // No inotify left, or a file system without it: looking every `pollMs` remains.
      this.#watcher = undefined
    }
  }

  /** The system says that a name came or went, not which; a name that went costs one rename that fails. */
  #onEvent(name: string | null): void {
    if (name === null) {
      this.#look = undefined
      for (const wake of [...this.#waiters]) wake(undefined)
    } else if (!this.#removed.delete(name)) {
      this.add(name)
    }
  }

  async #list(): Promise<void> {
    const { mtimeNs } = await stat(this.#folder, { bigint: true })
    const before = this.#look?.mtimeNs === mtimeNs ? this.#look.listings : 0
    const at = this.#clock.monotonic()
    // Two listings per time stamp: a file that came within the tick of the first is in the second.
    if (before >= 2) {
      this.#look = { at, mtimeNs, listings: before }
      return
    }
    this.#seenWhileListing = []
    try {
      const names = await readdir(this.#folder)
      const seen = this.#seenWhileListing
      this.#queues.clear()
      for (const name of names) {
        const queue = queueOfFile(name)
        if (queue !== undefined) this.#namesOf(queue).append(name)
      }
      for (const waiting of this.#queues.values()) waiting.sort()
      for (const name of seen) this.#insert(queueOfFile(name)!, name)
      this.#look = { at, mtimeNs, listings: before + 1 }
    } finally {
      this.#seenWhileListing = undefined
    }
  }

  #insert(queue: string, name: string): void {
    this.#namesOf(queue).insert(name)
  }

  #namesOf(queue: string): WaitingNames {
    let names = this.#queues.get(queue)
    if (names === undefined) {
      names = new WaitingNames()
      this.#queues.set(queue, names)
    }
    return names
  }
}

/** Names of one queue in order; taken from the front without moving the rest. */
class WaitingNames {
  #names: string[] = []
  #known = new Set<string>()
  #head = 0

  get first(): string | undefined {
    return this.#names[this.#head]
  }

  get length(): number {
    return this.#known.size
  }

  shift(): string | undefined {
    const name = this.#names[this.#head]
    if (name === undefined) return undefined
    this.#known.delete(name)
    this.#head += 1
    if (this.#head > 1024 && this.#head * 2 > this.#names.length) {
      this.#names = this.#names.slice(this.#head)
      this.#head = 0
    }
    return name
  }

  append(name: string): void {
    this.#known.add(name)
    this.#names.push(name)
  }

  sort(): void {
    this.#names.sort(compareFileNames)
  }

  insert(name: string): void {
    if (this.#known.has(name)) return
    this.#known.add(name)
    let low = this.#head
    let high = this.#names.length
    while (low < high) {
      const middle = (low + high) >>> 1
      if (compareFileNames(this.#names[middle]!, name) < 0) low = middle + 1
      else high = middle
    }
    this.#names.splice(low, 0, name)
  }
}
