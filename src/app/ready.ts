/** Messages that are made and may be sent. */
import type { TaskBody } from '../../protocol/task-message.js'
import type { RetryPolicy } from '../canvas/send-options.js'
import type { Outgoing } from '../transport/transport.js'
import type { Bounds } from './attempts.js'
import type { Destination } from './outgoing-task.js'
import type { SendRequest, Sent } from './send-request.js'

/** One message. */
export interface Ready {
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

/** What may be sent by somebody else. */
export interface PreparedMessages {
  readonly messages: readonly Outgoing[]
  readonly sent: readonly Sent[]
}

/** What goes out. */
export function outgoingOf({ outgoing }: Ready): Outgoing {
  return outgoing
}

/** The shortest bound of all, and any signal that is given. */
export function boundsOf(requests: readonly SendRequest[]): Bounds {
  if (requests.length === 1) return (requests[0] as SendRequest).options
  let shortest: number | undefined
  const signals = new Set<AbortSignal>()
  for (const { options } of requests) {
    const { timeoutMs, signal } = options
    if (timeoutMs !== undefined) shortest = Math.min(timeoutMs, shortest ?? timeoutMs)
    if (signal !== undefined) signals.add(signal)
  }
  const [signal] = signals
  return { timeoutMs: shortest, signal: signals.size > 1 ? AbortSignal.any([...signals]) : signal }
}

/**
 * Most messages in one publish. The next goes when the broker has answered: of many messages only so many are held as the
 * bytes of commands, beside what they were made of.
 */
const largestRun = 1000

/** Neighbours with the same retry policy travel together, a thousand at most. */
export function runsOf(messages: readonly Ready[]): readonly (readonly Ready[])[] {
  if (messages.length === 1) return [messages]
  const runs: Ready[][] = []
  let before: Ready | undefined
  for (const message of messages) {
    const run = runs.at(-1)
    const hasRoom = run !== undefined && run.length < largestRun
    if (hasRoom && before !== undefined && isSameRetry(before, message)) run.push(message)
    else runs.push([message])
    before = message
  }
  return runs
}

function isSameRetry({ way: one }: Ready, { way: other }: Ready): boolean {
  if (one === other) return true
  if (one.retry !== other.retry) return false
  const [policy, next] = [one.retryPolicy, other.retryPolicy]
  return policy === next || JSON.stringify(policy) === JSON.stringify(next)
}
