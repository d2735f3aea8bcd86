import { inspect } from 'node:util'
import type { Command } from 'commander'
import { RemoteTaskError } from '../../errors.js'
import { appOf, globalOptions, outputOf, type Terminal } from '../global-options.js'
import { seconds } from '../option-values.js'

interface ResultOptions {
  readonly task?: string
  readonly traceback?: boolean
  readonly timeout?: number
}

/** `celeriac result ID`: waits for a result and prints it (surface CLI-018, `celery/bin/result.py`). */
export function resultCommand(parent: Command, terminal: Terminal): void {
  parent
    .command('result')
    .description('wait for the result of a task and print it')
    .argument('<id>', 'task id')
    .option('-t, --task <name>', 'name of the task, for messages')
    .option('--traceback', 'print the traceback instead')
    .option('--timeout <seconds>', 'give up after so many seconds; default waits for ever', seconds)
    .action(async (id: string, options: ResultOptions, command: Command) => {
      const global = globalOptions(command)
      const output = outputOf(global, terminal)
      await using app = await appOf(global, terminal)
      const result = app.asyncResult(id)
      const timeout = options.timeout === undefined ? {} : { timeout: options.timeout }
      if (options.traceback) {
        await result.get({ ...timeout, propagate: false })
        const traceback = (await result.traceback()) ?? ''
        return output.value({ id, traceback }, () => traceback)
      }
      try {
        output.value(await result.get(timeout), (value) =>
          typeof value === 'string' ? value : inspect(value, { depth: null }),
        )
      } catch (error) {
        if (!(error instanceof RemoteTaskError) || !output.json) throw error
        const { excType, excModule, args } = error
        output.value({ id, task: options.task, error: { excType, excModule, args } }, () => '')
        throw error
      }
    })
}
