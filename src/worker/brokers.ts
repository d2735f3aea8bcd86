import { brokerOptions, brokerUrls } from '../app/config.js'
import { redactUrl } from '../broker-url.js'
import type { Logger } from '../logger.js'
import type { Transport } from '../transport/transport.js'
import type { Broker } from './session.js'
import type { WorkerApp } from './worker-app.js'

/** The brokers that an app consumes from (`broker_read_url`, `broker_url`), in the order of its failover list. */
export function brokersOf(
  app: Pick<WorkerApp, 'conf' | 'clock'>,
  find: (url: string) => Transport,
  logger: Logger,
): readonly Broker[] {
  const { conf, clock } = app
  return brokerUrls(conf, 'read').map((url) => {
    const transport = find(url)
    const options = {
      transportOptions: brokerOptions(conf),
      timeoutMs: (conf.brokerConnectionTimeout ?? 4) * 1000,
      clock,
      logger,
    }
    return {
      displayUrl: redactUrl(url),
      connect: (signal) => transport.connect(url, { ...options, signal }),
    }
  })
}
