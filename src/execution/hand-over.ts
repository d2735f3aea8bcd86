/**
 * Ends a run in one step: its next tasks are sent, its result stored and its message acknowledged together, or nothing of
 * it happens (`Delivery.handOver`). A worker that dies then has either done all or nothing, so that no task that follows is
 * sent twice; and it waits for the broker once instead of three times. What cannot be done so is done step by step, in
 * Celery's order.
 */

import type { Outbox } from '../canvas/outbox.js'
import type { Handover, SealedResult } from '../transport/transport.js'
import type { Host, RunnableTask } from './host.js'
import type { TaskRequest } from './request.js'
import type { RunGate } from './run-gate.js'

/** A run whose body has ended. */
export interface Ended {
  readonly task: RunnableTask
  readonly host: Host
  readonly request: TaskRequest
  readonly gate: RunGate
  readonly state: { readonly children: unknown[]; readonly told: { chain: boolean } }
  readonly self: { addTrail(result: { asTuple(): unknown }): unknown }
}

/** How a run ends beside what it sends. */
export interface HandoverEnd {
  /** Nothing of the run comes after it: no time limit is to cut it short while it ends. */
  readonly isLast?: true
  /** Given once its children are known; undefined where it can only be stored step by step. */
  result?(): SealedResult | undefined
  readonly deletes?: Handover['deletes']
}

/**
 * Whether all that follows from a run can be one step: nothing comes after the acknowledgement that another run would have to
 * repeat, and its broker can do that, with `stores` also to what is kept where results are. Asked before anything is planned,
 * which step by step would be planned anew.
 */
export function endsInOneStep({ task, host, request }: Ended, stores = false): boolean {
  const { courier, isEager } = request
  const { handlers } = task
  const { taskSuccess, taskPostrun } = host.signals
  return (
    courier !== undefined &&
    !isEager &&
    !host.canvas.alwaysEager &&
    !host.wrapsRuns &&
    handlers.onSuccess === undefined &&
    handlers.afterReturn === undefined &&
    !taskSuccess.hasReceivers &&
    !taskPostrun.hasReceivers &&
    courier.handsOver(stores ? host.backend.place : undefined)
  )
}

/** True when all was done; else nothing was, and the run's children are as they were. */
export async function handOver(run: Ended, outbox: Outbox, end: HandoverEnd): Promise<boolean> {
  const { host, gate, state } = run
  const { courier } = run.request
  if (courier === undefined || host.prepareMany === undefined || outbox.calls.length === 0) return false
  const preparing = host.prepareMany(outbox.calls)
  const prepared = preparing instanceof Promise ? await preparing : preparing
  if (prepared === undefined) return false
  // What the backend must know comes first; done once more by whoever has to send step by step, it stays the same.
  if (outbox.before.length > 0) await Promise.all(outbox.before.map((write) => gate.effect(write)))
  const before = state.children.length
  for (const result of [...prepared.trail, ...outbox.trail]) run.self.addTrail(result)
  let isDone = false
  try {
    const result = end.result?.()
    if (end.result === undefined || result !== undefined) {
      const what: Handover = { messages: prepared.messages, result, deletes: end.deletes }
      isDone = await gate.passing(async () => {
        const handing = courier.handOver(what)
        if (end.isLast) gate.ending = handing
        const isNow = await handing
        gate.ending = undefined
        // Also where the run was given up meanwhile.
        if (isNow) state.told.chain = true
        return isNow
      })
    }
  } finally {
    if (!isDone) state.children.length = before
  }
  return isDone
}
