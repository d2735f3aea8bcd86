import type { RpcBroker } from '../backend/rpc-broker.js'
import { brokerOptions, brokerUrls } from './config.js'
import { type ConnectionsDeps, PublishConnections } from './connections.js'
import type { Publisher } from './publisher.js'
import type { Settings } from './settings.js'

/** What results over the broker need of their app. */
export interface RpcApp
  extends Omit<
    ConnectionsDeps,
    'urls' | 'transportOptions' | 'connectTimeoutMs' | 'poolLimit' | 'failoverStrategy'
  > {
  readonly conf: Settings
  readonly publisher: Publisher
}

/** The sender of results gives up an attempt before. */
const publishMs = 30_000

/** The app's broker for `rpc://` results: replies are read over a connection of their own, results sent as tasks are. */
export function rpcBroker(app: RpcApp): RpcBroker {
  let reading: PublishConnections | undefined
  return {
    connect(signal) {
      reading ??= readingConnections(app)
      return reading.use(signal, async (open) => open.connection)
    },
    publish(messages, signal) {
      const what = messages.length === 1 ? 'a result' : `${messages.length} results`
      const bounds = { signal, timeoutMs: publishMs }
      return app.publisher.run(what, (connection) => connection.publish(messages, { signal }), bounds)
    },
    close: async () => reading?.close(),
  }
}

function readingConnections(app: RpcApp): PublishConnections {
  const { conf, clock, logger, random, newId } = app
  return new PublishConnections({
    urls: brokerUrls(conf, 'read'),
    transport: (url) => app.transport(url),
    transportOptions: brokerOptions(conf),
    connectTimeoutMs: conf.brokerConnectionTimeout * 1000,
    poolLimit: 1,
    failoverStrategy: conf.brokerFailoverStrategy,
    clock,
    logger,
    random,
    newId,
  })
}
