import { App } from '../app/app.js'
import { Worker } from './worker.js'
import type { WorkerOptions } from './worker-options.js'

/**
 * A Celery application: tasks, sending, results and workers.
 *
 * ```ts
 * const app = new Celery('shop', { brokerUrl: 'filesystem://./var/broker', resultBackend: 'file://./var/results' })
 * const add = app.task('shop.add', (x: number, y: number) => x + y)
 * ```
 */
export class Celery extends App {
  /** A worker of this app's tasks in this process; nothing happens before its `start()`. */
  worker(options: WorkerOptions = {}): Worker {
    return new Worker(this, options)
  }
}
