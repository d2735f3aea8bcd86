/**
 * The only two places where user code can wrap what celeriac does: around a publish and around a run.
 *
 * Rule 1: the first added is the outermost. Rule 2: each decides whether and with what to go on by calling `next`.
 */
import type { Outcome } from '../execution/outcome.js'
import type { TaskRequest } from '../execution/request.js'
import type { SendRequest, Sent } from './publisher.js'

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

  /** Runs through every wrap. */
  execute(request: TaskRequest, run: () => Promise<Outcome>): Promise<Outcome> {
    return this.executors.reduceRight<() => Promise<Outcome>>(
      (next, wrap) => async () => wrap(request, next),
      run,
    )()
  }
}
