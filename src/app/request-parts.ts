import { InvalidArgumentError } from '../errors.js'
import type { TaskContext } from '../execution/context.js'
import type { SendRequest } from './send-request.js'

/** Before anything is sent: a result could not be waited for under what is no text. */
export function checkedId(id: unknown): string | undefined {
  if (id === undefined || id === null) return undefined
  if (typeof id === 'string') return id
  throw new InvalidArgumentError(`taskId is text, not a value of type ${typeof id}.`)
}

/** The running task as the parent of what is sent now; a function that was called directly is nobody's parent. */
export function currentOf(context: TaskContext | undefined): SendRequest['current'] {
  if (context?.incoming === undefined) return undefined
  const { message, deliveryInfo } = context.incoming
  const { id, rootId } = message
  return { id, rootId: rootId || id, priority: deliveryInfo.priority }
}
