/** Messages that are made and may be sent, and which of them travel together. */
import type { TaskBody } from '../../protocol/task-message.js'
import type { RetryPolicy } from '../canvas/send-options.js'
import type { Outgoing } from '../transport/transport.js'
import type { Destination } from './outgoing-task.js'

/** One message. */
export interface ReadyMessage {
  readonly id: string
  readonly task: string
  readonly outgoing: Outgoing
  /** Absent where no receiver of a signal will ask for it. */
  readonly body: TaskBody | undefined
  readonly way: Way
}

/** How a message travels; many may share one. */
export interface Way {
  readonly destination: Destination
  readonly retry: boolean
  readonly retryPolicy: RetryPolicy
}

/** What goes out. */
export function outgoingOf({ outgoing }: ReadyMessage): Outgoing {
  return outgoing
}

/**
 * Most messages in one publish. The next goes when the broker has answered: of many messages only so many are held as the
 * bytes of commands, beside what they were made of.
 */
const largestRun = 1000

/** Neighbours with the same retry policy travel together, a thousand at most. */
export function runsOf(messages: readonly ReadyMessage[]): readonly (readonly ReadyMessage[])[] {
  if (messages.length === 1) return [messages]
  const runs: ReadyMessage[][] = []
  let before: ReadyMessage | undefined
  for (const message of messages) {
    const run = runs.at(-1)
    const hasRoom = run !== undefined && run.length < largestRun
    if (hasRoom && before !== undefined && isSameRetry(before, message)) run.push(message)
    else runs.push([message])
    before = message
  }
  return runs
}

function isSameRetry({ way: one }: ReadyMessage, { way: other }: ReadyMessage): boolean {
  if (one === other) return true
  if (one.retry !== other.retry) return false
  const [policy, next] = [one.retryPolicy, other.retryPolicy]
  return policy === next || JSON.stringify(policy) === JSON.stringify(next)
}
