import type { Host } from '../execution/host.js'
import type { Logger } from '../logger.js'
import type { Handover } from '../transport/transport.js'
import type { Estate, Orphan } from './estate.js'

/** Who hands over. */
export interface HandingDesk {
  readonly host: Pick<Host, 'backend'>
  readonly logger: Logger
  readonly estate: Pick<Estate, 'handOver'>
}

/**
 * Hands over what follows from a task, with `acks` its acknowledgement. False when it must be done step by step; that is also
 * so where nobody can tell whether it was done: twice is better than never. Never rejects.
 */
export async function handedOver(
  orphan: Orphan,
  what: Handover,
  acks: boolean,
  { host, logger, estate }: HandingDesk,
): Promise<boolean> {
  try {
    return acks
      ? await estate.handOver(orphan, what)
      : ((await orphan.delivery.handOver?.(what, false)) ?? false)
  } catch (error) {
    // The answer was lost, and no message is held that would tell: the result does, which was stored in the same step.
    const wasDone =
      what.result !== undefined && (await host.backend.holds?.(what.result).catch(() => false)) === true
    if (!wasDone) logger.debug({ err: error }, 'What follows from a task goes out step by step.')
    return wasDone
  }
}
