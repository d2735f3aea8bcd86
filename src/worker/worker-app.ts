import type { LamportClock } from '../../protocol/lamport-clock.js'
import type { Codec } from '../../protocol/serializers.js'
import type { Queues } from '../app/queues.js'
import type { Settings } from '../app/settings.js'
import type { Host } from '../execution/host.js'
import type { Transport } from '../transport/transport.js'

/** What a worker needs from its app; `App` is one. */
export interface WorkerApp extends Host {
  readonly conf: Settings
  readonly codec: Codec
  readonly queues: Queues
  readonly logicalClock: LamportClock
  /** The transport of a broker URL. Throws `UnknownSchemeError`. */
  transport(url: string): Transport
  /** The registered tasks, builtins included. */
  readonly tasks: { names(): readonly string[] }
}
