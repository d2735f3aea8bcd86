/**
 * The only two places where user code can wrap what celeriac does: around a publish and around a run.
 *
 * Rule 1: the first added is the outermost. Rule 2: each decides whether and with what to go on by calling `next`.
 */
import type { Outcome } from '../execution/outcome.js'
import type { TaskRequest } from '../execution/request.js'
import type { SendRequest, Sent } from './send-request.js'

/** Wraps every publish of a task; may send a changed request, or throw to stop it. */
export type PublishInterceptor = (
  request: SendRequest,
  next: (request: SendRequest) => Promise<Sent>,
) => Promise<Sent>

/** Wraps every run of a task in this process, retries included. */
export type ExecuteInterceptor = (request: TaskRequest, next: () => Promise<Outcome>) => Promise<Outcome>

/** The wraps of one app. */
export class Interceptors {
  private publishers: readonly PublishInterceptor[] = []
  private executors: readonly ExecuteInterceptor[] = []

  /** Whether a wrap is around publishing. */
  get wrapPublishing(): boolean {
    return this.publishers.length > 0
  }

  /** Adds a wrap around publishing; the returned function removes it. */
  aroundPublish(interceptor: PublishInterceptor): () => void {
    this.publishers = [...this.publishers, interceptor]
    return () => {
      this.publishers = this.publishers.filter((one) => one !== interceptor)
    }
  }

  /** Adds a wrap around running; the returned function removes it. */
  aroundExecute(interceptor: ExecuteInterceptor): () => void {
    this.executors = [...this.executors, interceptor]
    return () => {
      this.executors = this.executors.filter((one) => one !== interceptor)
    }
  }

  /** Publishes through every wrap. */
  publish(request: SendRequest, send: (request: SendRequest) => Promise<Sent>): Promise<Sent> {
    return this.publishers.reduceRight<(request: SendRequest) => Promise<Sent>>(
      (next, wrap) => async (one) => wrap(one, next),
      send,
    )(request)
  }

  /**
   * Publishes many together: each goes through every wrap, and what all of them let through is sent at once. When a
   * wrap throws instead of going on, nothing is sent.
   */
  async publishMany(
    requests: readonly SendRequest[],
    send: (requests: readonly SendRequest[]) => Promise<readonly Sent[]>,
  ): Promise<readonly Sent[]> {
    if (this.publishers.length === 0) return send(requests)
    const passed: SendRequest[] = []
    let release: (sending: Promise<readonly Sent[]>) => void = () => {}
    const sending = new Promise<readonly Sent[]>((resolve) => {
      release = resolve
    })
    let isSent = false
    const wraps = requests.map((request) => {
      let reach: () => void = () => {}
      const reached = new Promise<void>((resolve) => {
        reach = resolve
      })
      const ended = this.publish(request, async (one) => {
        // A wrap that goes on for a second time, when the others are gone, sends on its own.
        if (isSent) return (await send([one]))[0] as Sent
        const at = passed.push(one) - 1
        reach()
        return (await sending)[at] as Sent
      })
      // A wrap that answers without going on must not keep the others waiting.
      return { ended, decided: Promise.race([reached, ended]) }
    })
    try {
      await Promise.all(wraps.map(({ decided }) => decided))
      isSent = true
      release(passed.length === 0 ? Promise.resolve([]) : send(passed))
    } catch (error) {
      isSent = true
      release(Promise.reject(error))
    }
    const settled = await Promise.allSettled(wraps.map(({ ended }) => ended))
    return settled.map((one) => {
      if (one.status === 'rejected') throw one.reason
      return one.value
    })
  }

  /** Whether a run goes through any wrap. */
  get wrapsRuns(): boolean {
    return this.executors.length > 0
  }

  /** Runs through every wrap. */
  execute(request: TaskRequest, run: () => Promise<Outcome>): Promise<Outcome> {
    if (this.executors.length === 0) return run()
    return this.executors.reduceRight<() => Promise<Outcome>>(
      (next, wrap) => async () => wrap(request, next),
      run,
    )()
  }
}
