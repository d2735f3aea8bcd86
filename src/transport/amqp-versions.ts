/**
 * What a version of RabbitMQ does otherwise. Nothing but the version tells: of features that it no longer permits a
 * server says nothing in its handshake.
 */

/** Whether the server may refuse queues that are neither durable nor exclusive; RabbitMQ 4.3 does so by default. */
export function mayDenyTransient(serverVersion: string): boolean {
  return isAtLeast(serverVersion, 4, 0)
}

/**
 * Whether `basic.qos` with the flag `global` means one count for all consumers of a channel, which follow changes. From
 * 4.3 on RabbitMQ takes the flag without a word and does as if it was not there.
 */
export function knowsCommonPrefetch(serverVersion: string): boolean {
  return !isAtLeast(serverVersion, 4, 3)
}

/**
 * Whether a message of a quorum queue that is held for longer than consumer_timeout costs the consumer, and not its
 * channel. Such a consumer is only suspended: what is acknowledged later wakes it, under a tag that amqplib has forgotten.
 */
export function suspendsSlowConsumers(serverVersion: string): boolean {
  return isAtLeast(serverVersion, 4, 3)
}

/**
 * Whether the server may keep the deletion of a quorum queue from those who consume it. RabbitMQ 3 takes it for a change
 * of the queue's leader: 30 ms later each channel that consumes the queue consumes what has been declared under its name
 * meanwhile, and then drops what that hands out, while the client hears nothing (handle_consuming_queue_down_or_eol of
 * rabbit_channel.erl, with_exit_handler and retry_wait of rabbit_amqqueue.erl).
 */
export function hidesDeletions(serverVersion: string): boolean {
  return !isAtLeast(serverVersion, 4, 0)
}

function isAtLeast(serverVersion: string, major: number, minor: number): boolean {
  const [ofServer = 0, minorOfServer = 0] = serverVersion.split('.').map(Number)
  return ofServer > major || (ofServer === major && minorOfServer >= minor)
}
