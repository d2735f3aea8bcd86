import { systemClock } from '../clock.js'
import { silentLogger } from '../logger.js'
import { AmqpConnection } from './amqp-connection.js'
import { AmqpLink, type OpenLinkOptions } from './amqp-link.js'
import { amqpTarget } from './amqp-url.js'
import type { Transport } from './transport.js'

/**
 * `amqp://`, `pyamqp://` and `amqps://`: RabbitMQ 3.10 or newer, shared with Python processes. `connect` throws
 * `ConfigError` and `BrokerUnavailableError`.
 */
export function createAmqpTransport(): Transport {
  return {
    async connect(url, { transportOptions, timeoutMs, signal, logger = silentLogger, ...given }) {
      const clock = given.clock ?? systemClock()
      const target = amqpTarget(url, transportOptions)
      const connectSeconds = transportOptions['connect_timeout']
      const options: OpenLinkOptions = {
        timeoutMs: timeoutMs ?? (typeof connectSeconds === 'number' ? connectSeconds * 1000 : 4000),
        clock,
        logger,
      }
      const link = await AmqpLink.open(target, { ...options, signal })
      return new AmqpConnection({
        link,
        openLink: (ending) => AmqpLink.open(target, { ...options, signal: ending }),
        clock,
        logger,
      })
    },
  }
}
