import type { Command } from 'commander'
import { appOf, globalOptions, outputOf, type Terminal } from '../global-options.js'
import { table } from '../output.js'

/** `celeriac list bindings|tasks`: what the app declares (surface CLI-020, `celery/bin/list.py`). */
export function listCommand(parent: Command, terminal: Terminal): void {
  const list = parent.command('list').description('show what the app knows')
  list
    .command('bindings')
    .description('the queues of the app and how messages reach them')
    .action(async (_: object, command: Command) => {
      const global = globalOptions(command)
      await using app = await appOf(global, terminal)
      const rows = [...app.queues.all.values()].map(({ name, exchange, routingKey }) => ({
        queue: name,
        exchange: exchange.name,
        exchangeType: exchange.type,
        routingKey,
      }))
      outputOf(global, terminal).value(rows, (all) =>
        table(
          ['Queue', 'Exchange', 'Type', 'Routing Key'],
          all.map((row) => [row.queue, row.exchange, row.exchangeType, row.routingKey]),
        ),
      )
    })
  list
    .command('tasks')
    .description('the tasks of the app')
    .option('--builtins', 'also the built-in ones')
    .action(async (options: { builtins?: boolean }, command: Command) => {
      const global = globalOptions(command)
      await using app = await appOf(global, terminal)
      const names = app.tasks
        .names()
        .filter((name) => options.builtins || !name.startsWith('celery.'))
        .toSorted()
      outputOf(global, terminal).value(names, (all) =>
        all.length === 0 ? '- empty -' : all.map((name) => `* ${name}`).join('\n'),
      )
    })
}
