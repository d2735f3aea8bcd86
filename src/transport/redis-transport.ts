import { randomUUID } from 'node:crypto'
import { redactUrl } from '../broker-url.js'
import { monotonicOfProcess, systemClock } from '../clock.js'
import { silentLogger } from '../logger.js'
import { openRedis } from './redis-client.js'
import { startLeaseGuard } from './redis-lease-guard.js'
import { redisOptions } from './redis-options.js'
import { RedisStore } from './redis-store.js'
import type { Transport } from './transport.js'
import { VirtualConnection } from './virtual-connection.js'

/**
 * `redis://`, `rediss://`, `redis+socket://` and `sentinel://`: kombu's Redis broker, shared with Python processes
 * (Redis 6.2 or newer). `connect` throws `ConfigError` and `BrokerUnavailableError`.
 */
export function createRedisTransport(): Transport {
  return {
    async connect(url, { transportOptions, timeoutMs, signal, logger = silentLogger, ...given }) {
      const clock = given.clock ?? systemClock()
      const client = await openRedis(url, {
        transportOptions,
        ...(timeoutMs === undefined ? {} : { timeoutMs }),
        ...(signal === undefined ? {} : { signal }),
      })
      try {
        const options = redisOptions(transportOptions, client.db)
        const store = new RedisStore({
          client,
          options,
          clock,
          logger,
          newId: given.newId ?? randomUUID,
          random: Math.random,
          startLeaseThread: (owner, renewals) => {
            const { unackedKey, indexKey, visibilityTimeoutMs } = options
            const clockZero = monotonicOfProcess() - clock.monotonic()
            const keys = { unackedKey, indexKey, owner, visibilityTimeoutMs }
            return startLeaseGuard({ url, transportOptions, ...keys, renewals, clockZero }, logger)
          },
        })
        return new VirtualConnection({
          store,
          shownUrl: redactUrl(url),
          capabilities: { priorities: true },
          clock,
          logger,
          ...(options.deadletterQueue === undefined ? {} : { deadletterQueue: options.deadletterQueue }),
        })
      } catch (error) {
        client.close()
        throw error
      }
    },
  }
}
