import type { Codec } from '../../protocol/serializers.js'
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { RedisBackendSettings } from './redis-target.js'
import type { RpcSettings } from './rpc-broker.js'

/** What a result backend needs to know; the app makes it from its settings, so no setting is read down here. */
export interface BackendOptions {
  readonly codec: Codec
  /** Name or content type that results are written with (`result_serializer`). Default `json`. */
  readonly serializer?: string | undefined
  /** Names or types that may be read (`result_accept_content`, else `accept_content`). Default `[serializer]`. */
  readonly accept?: readonly string[] | undefined
  /** Seconds that a result is kept (`result_expires`); `null` and 0 keep it for ever. Default 86400, one day. */
  readonly expires?: number | null | undefined
  /** Seconds that the results of a chord's header are waited for (`result_chord_join_timeout`). Default 3. */
  readonly joinTimeout?: number | undefined
  /** Default the machine's clock. */
  readonly clock?: Clock | undefined
  /** Numbers in [0, 1) for the jitter between retries. Default `Math.random`. */
  readonly random?: (() => number) | undefined
  /** Names of temporary files. Default a random UUID. */
  readonly uuid?: (() => string) | undefined
  /** Default logs nothing. */
  readonly logger?: Logger | undefined
  /** `result_backend_transport_options`; `global_keyprefix` means something to every store. */
  readonly transportOptions?: Readonly<Record<string, unknown>> | undefined
  /** `result_backend_always_retry`: try again after recoverable failures. Default false. */
  readonly alwaysRetry?: boolean | undefined
  /** `result_backend_max_retries`. Default `Infinity`. */
  readonly maxRetries?: number | undefined
  /** `result_backend_base_sleep_between_retries_ms`. Default 10. */
  readonly baseSleepMs?: number | undefined
  /** `result_backend_max_sleep_between_retries_ms`. Default 10000. */
  readonly maxSleepMs?: number | undefined
  /** The `redis_*` settings, for what a Redis URL leaves open. */
  readonly redis?: RedisBackendSettings | undefined
  /** The app's broker and reply queue, for `rpc://`. Without it that backend is refused. */
  readonly rpc?: RpcSettings | undefined
  /** Permission bits of result files before the umask. Default 0o666, as Python's `open`. */
  readonly fileMode?: number | undefined
}
