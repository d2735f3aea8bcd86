import { start } from 'node:repl'
import type { Command } from 'commander'
import * as celeriac from '../../index.js'
import { appOf, globalOptions, outputOf, type Terminal } from '../global-options.js'
import { version } from '../version.js'

/** `celeriac shell`: a prompt with the app, its tasks and celeriac's names (surface CLI-023, `celery/bin/shell.py`). */
export function shellCommand(parent: Command, terminal: Terminal): void {
  parent
    .command('shell')
    .description('a JavaScript prompt with the app and its tasks; await works')
    .option('-T, --without-tasks', 'no tasks as variables')
    .action(async (options: { withoutTasks?: boolean }, command: Command) => {
      const global = globalOptions(command)
      const app = await appOf(global, terminal)
      const output = outputOf(global, terminal)
      const tasks = options.withoutTasks
        ? {}
        : Object.fromEntries(
            [...app.tasks]
              .filter((task) => !task.name.startsWith('celery.'))
              .map((task) => [variable(task.name), task]),
          )
      if (!output.quiet) {
        output.line(
          `celeriac ${version}, node ${process.versions.node}: app, ${Object.keys(tasks).join(', ') || 'no tasks'}`,
        )
      }
      const repl = start({
        prompt: 'celeriac> ',
        input: terminal.stdin,
        output: terminal.stdout,
        useGlobal: false,
      })
      Object.assign(repl.context, celeriac, { app, celery: app }, tasks)
      await new Promise<void>((resolve) => repl.on('exit', resolve))
      await app.close()
    })
}

/** `shop.add` as `add`. */
function variable(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1).replace(/[^\w$]/g, '_')
}
