import { ConfigError } from '../errors.js'
import type { Connection } from '../transport/transport.js'

/** Throws `ConfigError` where nobody can be told at once (surface CTL-018). */
export function assertFanout({ capabilities }: Connection, displayUrl: string): void {
  if (capabilities.fanout) return
  throw new ConfigError(
    `The broker at ${displayUrl} has no fanout exchanges, so workers cannot be reached by remote control over it.`,
  )
}
