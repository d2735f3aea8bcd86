/** Epoch milliseconds by which something must have ended; `Infinity` waits without limit. */
export type Deadline = number

/**
 * A long-lived part of the worker.
 *
 * Rule 1: `stop` is safe twice, and without `start`. Rule 2: after `stop` settles nothing of the service is left
 * running: no timer, no socket, no promise without an owner.
 */
export interface Service {
  readonly name: string
  start(): Promise<void>
  /** Take nothing new; keep what is held. */
  quiet?(): Promise<void>
  /** Finish, or give up at `deadline`. */
  stop(deadline: Deadline): Promise<void>
  /** What `inspect stats` shows for this part. */
  info?(): Readonly<Record<string, unknown>>
}
