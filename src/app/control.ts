/**
 * Remote control, the asking side (`celery/app/control.py`): what celeriac's and Python's workers obey alike.
 * Commands are broadcast to the fanout exchange `celery.pidbox`; nothing waits for a reply.
 */
import { encodeControlRequest } from '../../protocol/control.js'
import type { Codec } from '../../protocol/serializers.js'
import type { RevokeOptions } from '../backend/result-context.js'
import type { Publisher } from './publisher.js'
import type { Settings } from './settings.js'

/** What remote control needs from its app. */
export interface ControlApp {
  readonly conf: Settings
  readonly codec: Codec
  readonly publisher: Publisher
}

/** Broadcasts commands to the workers of this broker. */
export class Control {
  private readonly app: ControlApp

  constructor(app: ControlApp) {
    this.app = app
  }

  /**
   * Tells all workers not to run these tasks; with `terminate` also to stop those that run. Resolves when the broker
   * has the message. Throws `BrokerUnavailableError`.
   */
  revoke(taskIds: readonly string[], options: RevokeOptions = {}): Promise<void> {
    const { terminate = false, signal = 'SIGTERM' } = options
    const taskId = taskIds.length === 1 ? taskIds[0] : taskIds
    return this.broadcast('revoke', { task_id: taskId, terminate, signal })
  }

  private async broadcast(method: string, args: Readonly<Record<string, unknown>>): Promise<void> {
    const { codec, conf, publisher } = this.app
    const exchange = `${conf.controlExchange}.pidbox`
    const envelope = encodeControlRequest(
      { method, arguments: args, clock: 0, expires: 0 },
      { codec, serializer: conf.taskSerializer },
    )
    await publisher.run(`remote control ${method}`, async (connection) => {
      const fanout = { name: exchange, type: 'fanout', durable: false } as const
      await connection.declare({ exchanges: [fanout], queues: [], bindings: [] })
      await connection.publish([{ envelope, to: { exchange, routingKey: '' } }])
    })
  }
}
