import type { Connection, Outgoing } from '../transport/transport.js'

/** The broker of the app, as far as results that travel as messages need it. */
export interface RpcBroker {
  /**
   * The connection that replies are read from: opened when it is needed, and again after a loss. Rejects with
   * `BrokerUnavailableError`, a `ConfigError`, or the signal's reason.
   */
  connect(signal: AbortSignal): Promise<Connection>
  /** Sends through the app's publishing connection; tried once. Rejects as `Connection.publish` does. */
  publish(messages: readonly Outgoing[], signal: AbortSignal): Promise<void>
  /** Lets go of the connection that `connect` opened; later calls of `connect` are refused. Safe twice. */
  close(): Promise<void>
}

/** What the `rpc` backend is made of besides what every backend gets. */
export interface RpcSettings {
  readonly broker: RpcBroker
  /** The name of the reply queue, and what this app's messages carry as `reply_to`: a UUID. */
  readonly replyTo: string
  /** `result_persistent`: results are written to disk by the broker. Default false. */
  readonly persistent?: boolean | null | undefined
}
