/** Canvases of the loss trials: each is sent, and a client waits for its end. */
import { randomUUID } from 'node:crypto'
import { type AnyResult, Celery, chain, chord, group, type Signature } from '../../src/index.js'
import type { Place } from '../brokers.js'
import type { Oracle } from './oracle.js'

/** What is built; a chord has a chain and tasks as its header, and a chain as its body. */
export type CanvasKind = 'chain' | 'group' | 'chord'

/** What became of the canvases. */
export interface Tally {
  readonly sent: number
  /** The errors that clients got. */
  readonly failed: readonly string[]
  /** Clients that still wait. */
  readonly open: number
}

/** See above. */
export class Workflows {
  private readonly app: Celery
  private readonly oracle: Oracle
  private readonly waiting = new Set<Promise<void>>()
  private readonly ending = new AbortController()
  private readonly failed: string[] = []
  private sent = 0

  constructor(place: Place, queue: string, oracle: Oracle, queueType: 'classic' | 'quorum') {
    this.oracle = oracle
    this.app = new Celery('loss', {
      brokerUrl: place.brokerUrl,
      brokerTransportOptions: { ...place.brokerOptions },
      resultBackend: place.resultBackend,
      taskDefaultQueue: queue,
      taskDefaultQueueType: queueType,
    })
  }

  /** Clients that still wait. */
  get open(): number {
    return this.waiting.size
  }

  /** Sends a canvas whose tasks take `seconds()` each; the oracle knows each of them, and what it waits for. */
  async send(kind: CanvasKind, seconds: () => number): Promise<void> {
    const ids: string[] = []
    const work = (after: readonly string[]): Signature => {
      const id = randomUUID()
      ids.push(id)
      this.oracle.record('sending', after.length > 0 ? { id, after } : { id })
      return this.app
        .signature('loss.work', { args: [seconds(), false], immutable: true })
        .set({ taskId: id })
    }
    const steps = (count: number, after: readonly string[]): Signature[] =>
      Array.from({ length: count }, (_, at) => work(at === 0 ? after : ids.slice(-1)))
    const result = (await this.canvas(kind, ids, work, steps).applyAsync()) as AnyResult
    for (const id of ids) this.oracle.record('sent', { id })
    this.sent++
    const wait = this.wait(result).finally(() => this.waiting.delete(wait))
    this.waiting.add(wait)
  }

  private canvas(
    kind: CanvasKind,
    ids: string[],
    work: (after: readonly string[]) => Signature,
    steps: (count: number, after: readonly string[]) => Signature[],
  ): { applyAsync(): Promise<unknown> } {
    if (kind === 'chain') return chain(steps(5, []))
    if (kind === 'group') {
      return group([work([]), work([]), chain(steps(2, [])), chain(steps(3, []))])
    }
    const header = [work([]), chain(steps(2, [])), work([]), work([])]
    // The first step of the header's chain is not waited for by itself.
    const parts = ids.filter((_, at) => at !== 1)
    return chord(header, chain(steps(2, parts)) as Signature)
  }

  private async wait(result: AnyResult): Promise<void> {
    try {
      await result.get({ signal: this.ending.signal })
    } catch (error) {
      if (!this.ending.signal.aborted) this.failed.push(String(error))
    }
  }

  tally(): Tally {
    return { sent: this.sent, failed: [...this.failed], open: this.open }
  }

  async close(): Promise<void> {
    this.ending.abort()
    await Promise.all(this.waiting)
    await this.app.close()
  }
}
