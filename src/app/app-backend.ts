import type { Codec } from '../../protocol/serializers.js'
import type { ResultBackend } from '../backend/backend.js'
import { openBackend } from '../backend/open.js'
import type { AppOptions } from './app-options.js'
import { type RpcApp, rpcBroker } from './rpc-connections.js'

/** What the result backend of an app is made of. */
export interface BackendApp extends RpcApp {
  readonly codec: Codec
  /** Sent as `reply_to`: the queue of `rpc://` results. */
  readonly oid: string
}

/** Opens the result backend that the settings of `app` name. Throws `ConfigError`. */
export function appBackend(app: BackendApp, memory: AppOptions['memoryResults']): ResultBackend {
  const { conf } = app
  return openBackend(conf.resultBackend ?? undefined, {
    codec: app.codec,
    serializer: conf.resultSerializer,
    accept: conf.resultAcceptContent ?? conf.acceptContent,
    expires: conf.resultExpires,
    joinTimeout: conf.resultChordJoinTimeout,
    clock: app.clock,
    random: app.random,
    uuid: app.newId,
    logger: app.logger,
    transportOptions: conf.resultBackendTransportOptions,
    alwaysRetry: conf.resultBackendAlwaysRetry,
    maxRetries: conf.resultBackendMaxRetries,
    baseSleepMs: conf.resultBackendBaseSleepBetweenRetriesMs,
    maxSleepMs: conf.resultBackendMaxSleepBetweenRetriesMs,
    memory,
    rpc: { broker: rpcBroker(app), replyTo: app.oid, persistent: conf.resultPersistent },
    redis: {
      host: conf.redisHost,
      port: conf.redisPort,
      db: conf.redisDb,
      username: conf.redisUsername,
      password: conf.redisPassword,
      socketTimeout: conf.redisSocketTimeout,
      socketConnectTimeout: conf.redisSocketConnectTimeout,
      socketKeepalive: conf.redisSocketKeepalive,
      healthCheckInterval: conf.redisBackendHealthCheckInterval,
      clientName: conf.redisClientName,
      useSsl: conf.redisBackendUseSsl,
    },
  })
}
