import { AsyncResult } from '../backend/async-result.js'
import type { ResultContext } from '../backend/result-context.js'
import type { PreparedCalls } from '../execution/host.js'
import type { Interceptors } from './interceptors.js'
import type { PreparedMessages, Publisher } from './publisher.js'
import type { SendRequest } from './send-request.js'
import type { Settings } from './settings.js'

/** What preparing needs of the app. */
export interface PreparingApp extends ResultContext {
  readonly conf: Settings
  readonly interceptors: Pick<Interceptors, 'wrapPublishing'>
  readonly publisher: Pick<Publisher, 'prepare'>
}

/** See `Host.prepareMany`: also undefined where tasks are sent to another broker than they are received from. */
export function preparedCalls(
  requests: readonly SendRequest[],
  app: PreparingApp,
): PreparedCalls | undefined | Promise<PreparedCalls | undefined> {
  const { conf, interceptors, publisher } = app
  const isOneBroker = String(conf.brokerReadUrl) === String(conf.brokerWriteUrl)
  if (!isOneBroker || interceptors.wrapPublishing) return undefined
  const prepared = publisher.prepare(requests)
  return prepared instanceof Promise
    ? prepared.then((messages) => messages && withTrail(messages, requests, app))
    : prepared && withTrail(prepared, requests, app)
}

function withTrail(
  { messages, sent }: PreparedMessages,
  requests: readonly SendRequest[],
  app: ResultContext,
): PreparedCalls {
  const trail = sent.flatMap(({ id, ignoreResult }, at) => {
    const isChild = requests[at]?.options.addToParent !== false
    return isChild ? [new AsyncResult(id, app, { ignored: ignoreResult })] : []
  })
  return { messages, trail }
}
