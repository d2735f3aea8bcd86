/**
 * What really happened, told by the publisher and by the bodies of the tasks themselves and not by the broker: one
 * append-only file, a JSON line for each fact. Lines are written before the next step is taken, by a single `write`
 * to a file opened for appending, so a killed process leaves all that it did and no half lines of others.
 */
import { closeSync, fstatSync, openSync, readSync, writeSync } from 'node:fs'

/** A fact. Times are milliseconds since 1970 by the one clock of the machine. */
export interface Fact {
  readonly at: number
  /**
   * `sending`, `repeated` (its answer was lost, and it is about to be tried again), `sent` (the publish returned),
   * `refused` (it threw): of the publisher. `start`, `effect`, `end`: of a
   * task's body. `acked` and `unacked`: the broker confirmed the acknowledgement of a task, or it failed; `lost`: the
   * connection that brought tasks has ended; `ready`: of a worker. `doomed` (it is being killed, or told to give up what
   * it runs), `gone` (its process has ended; `sudden` when it was killed), `away` and `back` (it is paused, or cut off
   * from the broker): of the harness, about a worker, recorded before it is done.
   */
  readonly what:
    | 'sending'
    | 'repeated'
    | 'sent'
    | 'refused'
    | 'start'
    | 'effect'
    | 'end'
    | 'acked'
    | 'unacked'
    | 'lost'
    | 'ready'
    | 'doomed'
    | 'gone'
    | 'away'
    | 'back'
  /** The task id. */
  readonly id?: string
  /** The worker process: each start of a worker has a name of its own. */
  readonly who?: string
  readonly sudden?: boolean
  /** With `sending`: the tasks that must have ended before this one begins, and whose workers send it. */
  readonly after?: readonly string[]
}

/** Appends facts to a file, and reads what all writers have appended. */
export class Oracle {
  readonly path: string
  readonly facts: Fact[] = []
  readonly #file: number
  #offset = 0
  #rest = ''
  readonly #pending = new Set<string>()
  readonly #ended = new Set<string>()

  constructor(path: string) {
    this.path = path
    this.#file = openSync(path, 'a+')
  }

  /** Adds a fact as of now. */
  record(what: Fact['what'], about: Omit<Fact, 'at' | 'what'>): void {
    writeSync(this.#file, `${JSON.stringify({ at: Date.now(), what, ...about })}\n`)
  }

  /** Reads what was appended since; returns all facts in the order they were written. */
  read(): readonly Fact[] {
    const size = fstatSync(this.#file).size
    if (size > this.#offset) {
      const chunk = Buffer.alloc(size - this.#offset)
      this.#offset += readSync(this.#file, chunk, 0, chunk.length, this.#offset)
      const lines = (this.#rest + chunk.toString()).split('\n')
      this.#rest = lines.pop() ?? ''
      for (const line of lines) this.#add(JSON.parse(line) as Fact)
    }
    return this.facts
  }

  #add(fact: Fact): void {
    this.facts.push(fact)
    const { what, id } = fact
    if (id === undefined) return
    if (what === 'end') this.#ended.add(id)
    // The body of a quick task may end before its publish has returned.
    if (what === 'sent' && !this.#ended.has(id)) this.#pending.add(id)
    if (what === 'end') this.#pending.delete(id)
  }

  /** How many tasks were published, and have not come to the end of their body. */
  pending(): number {
    this.read()
    return this.#pending.size
  }

  /** Looks every 20 ms until `check` holds; true, or false after `boundMs`. */
  async until(check: (facts: readonly Fact[]) => boolean, boundMs: number): Promise<boolean> {
    const end = performance.now() + boundMs
    while (!check(this.read())) {
      if (performance.now() > end) return false
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
    return true
  }

  close(): void {
    closeSync(this.#file)
  }
}
