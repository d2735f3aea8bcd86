/**
 * What a version of RabbitMQ does otherwise. Nothing but the version tells: of features that it no longer permits a
 * server says nothing in its handshake.
 */
import type { Queue } from './transport.js'

/**
 * RabbitMQ 4.3 may refuse queues that are neither durable nor exclusive (where it permits them no more), and then ends the
 * whole connection; Celery's next version declares the queues of remote control and events as exclusive for that reason.
 */
export function needsExclusive({ durable, exclusive }: Queue, serverVersion: string): boolean {
  return !durable && !exclusive && isAtLeast43(serverVersion)
}

/**
 * Whether `basic.qos` with the flag `global` means one count for all consumers of a channel, which follow changes. From
 * 4.3 on RabbitMQ takes the flag without a word and does as if it was not there.
 */
export function knowsCommonPrefetch(serverVersion: string): boolean {
  return !isAtLeast43(serverVersion)
}

function isAtLeast43(serverVersion: string): boolean {
  const [major = 0, minor = 0] = serverVersion.split('.').map(Number)
  return major > 4 || (major === 4 && minor >= 3)
}
