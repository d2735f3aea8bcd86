import { brokerUrls } from '../app/config.js'
import type { TaskQueue } from '../app/queues.js'
import { redactUrl } from '../broker-url.js'
import type { WorkerApp } from './worker-app.js'
import type { Banner } from './worker-options.js'

/** The banner of a worker of `app` (`celery/apps/worker.py` startup_info), as plain data. */
export function bannerOf(
  app: WorkerApp,
  worker: Pick<Banner, 'hostname' | 'concurrency' | 'pool'> & { readonly queues: readonly TaskQueue[] },
): Banner {
  return {
    hostname: worker.hostname,
    app: app.main,
    transport: redactUrl(brokerUrls(app.conf, 'read').join(';')),
    results: app.backend.displayUrl,
    concurrency: worker.concurrency,
    pool: worker.pool,
    queues: worker.queues.map(({ name, exchange, routingKey }) => ({
      name,
      exchange: exchange.name,
      exchangeType: exchange.type,
      routingKey,
    })),
    tasks: [...app.tasks.names()].sort(),
  }
}
