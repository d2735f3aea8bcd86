import type { Command } from 'commander'
import type { SendOptions } from '../../canvas/send-options.js'
import { appOf, globalOptions, outputOf, type Terminal } from '../global-options.js'
import { isoOrSeconds, isoTime, jsonArray, jsonObject, seconds } from '../option-values.js'

interface CallOptions {
  readonly args?: unknown[]
  readonly kwargs?: Record<string, unknown>
  readonly eta?: string
  readonly countdown?: number
  readonly expires?: string | number
  readonly serializer?: string
  readonly queue?: string
  readonly exchange?: string
  readonly routingKey?: string
  readonly timeout: number
}

/** `celeriac call NAME`: sends a task by name and prints its id (surface CLI-017, `celery/bin/call.py`). */
export function callCommand(parent: Command, terminal: Terminal): void {
  parent
    .command('call')
    .description('send a task by name and print its id')
    .argument('<name>', 'task name')
    .option('-a, --args <json>', 'positional arguments, a JSON array', jsonArray)
    .option('-k, --kwargs <json>', 'keyword arguments, a JSON object', jsonObject)
    .option('--eta <iso>', 'not before this time', isoTime)
    .option('--countdown <seconds>', 'not before so many seconds', seconds)
    .option('--expires <iso|seconds>', 'not after this time', isoOrSeconds)
    .option('--serializer <name>', 'json, msgpack, yaml, pickle')
    .option('--queue <name>', 'queue to send to')
    .option('--exchange <name>', 'exchange to send to')
    .option('--routing-key <key>', 'routing key')
    .option('--timeout <seconds>', 'give up when the broker has not taken it', seconds, 5)
    .action(async (name: string, options: CallOptions, command: Command) => {
      const global = globalOptions(command)
      await using app = await appOf(global, terminal)
      const { args = [], kwargs = {}, timeout, ...rest } = options
      const send: SendOptions = { ...rest, timeoutMs: timeout * 1000 }
      const result = await app.sendTask(name, { args, kwargs, ...send })
      outputOf(global, terminal).value({ id: result.id }, ({ id }) => id)
    })
}
