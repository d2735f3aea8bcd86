import { parseUrl, redactUrl } from '../broker-url.js'
import { MemoryBroker, MemoryStore } from './memory-store.js'
import type { Transport } from './transport.js'
import { VirtualConnection } from './virtual-connection.js'

/**
 * `memory://` brokers of its own: connections of this transport with the same host and virtual host share one.
 * Tests make their own, so that nothing is left to reset.
 */
export function createMemoryTransport(): Transport {
  const brokers = new Map<string, MemoryBroker>()
  return {
    async connect(url, options) {
      options.signal?.throwIfAborted()
      const { hostname = '', path = '' } = parseUrl(url)
      const key = `${hostname}/${path}`
      const broker = brokers.get(key) ?? new MemoryBroker()
      brokers.set(key, broker)
      const { deadletter_queue: deadletterQueue } = options.transportOptions
      return new VirtualConnection({
        store: new MemoryStore(broker),
        shownUrl: redactUrl(url),
        ...(typeof deadletterQueue === 'string' ? { deadletterQueue } : {}),
        ...(options.clock ? { clock: options.clock } : {}),
        ...(options.logger ? { logger: options.logger } : {}),
      })
    },
  }
}

/**
 * The transport behind `openTransport('memory://')`. One for the whole process on purpose: an app and a worker that
 * open the same URL must meet, as with any other broker (kombu keeps its queues in class attributes).
 */
export const processMemoryTransport: Transport = createMemoryTransport()
