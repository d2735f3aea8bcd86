import { brokerUrls } from '../app/config.js'
import { delaysInBroker, delayTopologyOf, withoutDelay } from '../app/native-delay.js'
import { type TaskQueue, topologyOf } from '../app/queues.js'
import type { Logger } from '../logger.js'
import type { Topology } from '../transport/transport.js'
import type { WorkerApp } from './worker-app.js'

/**
 * What must exist before a worker consumes from `queues`: themselves, and the broker's delays where it keeps them
 * (`celery/worker/consumer/delayed_delivery.py`; surface PUB-087, PUB-088). Throws `ConfigError`.
 */
export function workerTopology(
  { conf, queues: known }: Pick<WorkerApp, 'conf' | 'queues'>,
  queues: readonly TaskQueue[],
  logger: Logger,
): Topology {
  const own = topologyOf(queues)
  if (!delaysInBroker(brokerUrls(conf, 'read'), known)) return own
  for (const { name, exchange } of withoutDelay(queues)) {
    logger.warn(
      { queue: name, exchange: exchange.name },
      `Exchange ${exchange.name} is a direct exchange and native delayed delivery do not support direct exchanges.\n` +
        'ETA tasks published to this exchange will block the worker until the ETA arrives.',
    )
  }
  const delays = delayTopologyOf(conf, queues)
  return {
    exchanges: [...own.exchanges, ...delays.exchanges],
    queues: [...own.queues, ...delays.queues],
    bindings: [...own.bindings, ...delays.bindings],
  }
}
