import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { REPLServer } from 'node:repl'
import { PassThrough } from 'node:stream'
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
      const lines = terminal.stdin.isTTY ? undefined : new PassThrough()
      // Only here: it brings node:domain, which makes every callback of a process slower, in a worker too.
      const { start } = await import('node:repl')
      const repl = start({
        prompt: 'celeriac> ',
        input: lines ?? terminal.stdin,
        output: terminal.stdout,
        useGlobal: false,
      })
      Object.assign(repl.context, celeriac, { app, celery: app }, tasks)
      const exited = once(repl, 'exit')
      if (lines !== undefined) await Promise.race([exited, feed(repl, terminal.stdin, lines)])
      await exited
      await app.close()
    })
}

/**
 * A terminal waits for the end of an `await`; a pipe brings its next line at once, and its end. Gives `repl` the lines of
 * `source` by `input`, each when the prompt is there again, also after errors.
 */
async function feed(repl: REPLServer, source: NodeJS.ReadableStream, input: PassThrough): Promise<void> {
  const show = repl.displayPrompt
  let prompted = (): void => {}
  const displayPrompt: typeof show = (preserveCursor) => {
    show.call(repl, preserveCursor)
    prompted()
  }
  Object.assign(repl, { displayPrompt })
  for await (const line of createInterface({ input: source })) {
    const prompt = new Promise<void>((resolve) => {
      prompted = resolve
    })
    input.write(`${line}\n`)
    await prompt
  }
  input.end()
}

/** `shop.add` as `add`. */
function variable(name: string): string {
  return name.slice(name.lastIndexOf('.') + 1).replace(/[^\w$]/g, '_')
}
