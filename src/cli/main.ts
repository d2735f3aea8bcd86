#!/usr/bin/env node
/** The command `celeriac`: Celery's command and flag names (surface section 13, `celery/bin/celery.py`). */
import { Command, CommanderError } from 'commander'
import { ProtocolError } from '../../protocol/errors.js'
import { CeleriacError, ConfigError } from '../errors.js'
import { CommandError, exitUsage } from './command-error.js'
import { callCommand } from './commands/call.js'
import { chordsCommand } from './commands/chords.js'
import { listCommand } from './commands/list.js'
import { purgeCommand } from './commands/purge.js'
import { reportCommand } from './commands/report.js'
import { resultCommand } from './commands/result.js'
import { shellCommand } from './commands/shell.js'
import { workerCommand } from './commands/worker.js'
import { addGlobalOptions, outputOf, type Terminal } from './global-options.js'
import { version } from './version.js'

const terminal: Terminal = {
  env: process.env,
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
}

/** Asked of the arguments themselves: an error in them must have its JSON form, too. */
const isJson = process.argv.includes('--json')

const program = new Command('celeriac')
  .description('Celery for TypeScript: run, send and look at tasks beside Python workers.')
  .version(`${version} (celeriac)`)
  .showSuggestionAfterError()
  .exitOverride()
  .configureHelp({ showGlobalOptions: true })
  .configureOutput({ outputError: (text, write) => (isJson ? undefined : write(text)) })
addGlobalOptions(program, terminal.env)
for (const command of [
  workerCommand,
  callCommand,
  resultCommand,
  purgeCommand,
  reportCommand,
  listCommand,
  chordsCommand,
  shellCommand,
]) {
  command(program, terminal)
}

/** What a person should read of an error, and the exit code (surface CLI-008). */
function explain(error: unknown): { text: string | undefined; exitCode: number } {
  if (error instanceof CommanderError) {
    const text =
      isJson && error.exitCode !== 0 && error.code !== 'commander.help'
        ? error.message.replace(/^error: /, '')
        : undefined
    return { text, exitCode: error.exitCode === 0 ? 0 : exitUsage }
  }
  if (error instanceof CommandError) return { text: `Error: ${error.message}`, exitCode: error.exitCode }
  if (error instanceof ConfigError) return { text: `Error: ${error.message}`, exitCode: exitUsage }
  if (error instanceof CeleriacError || error instanceof ProtocolError) {
    return { text: `Error: ${error.message} (${error.code})`, exitCode: 1 }
  }
  return { text: error instanceof Error ? (error.stack ?? error.message) : String(error), exitCode: 1 }
}

try {
  if (process.argv.length <= 2) program.outputHelp()
  else await program.parseAsync(process.argv)
} catch (error) {
  const { text, exitCode } = explain(error)
  const output = outputOf({ color: program.opts<{ color?: boolean }>().color ?? true }, terminal)
  if (text !== undefined) {
    if (isJson) terminal.stderr.write(`${JSON.stringify({ error: text.replace(/^Error: /, '') })}\n`)
    else output.error(text)
  }
  process.exitCode = exitCode
}
// The command has ended and the app is closed. What the user's modules still have open (a timer, a database) would keep
// the process for ever; what was printed must be out first.
await Promise.all([terminal.stdout, terminal.stderr].map(flushed))
process.exit()

function flushed(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    stream.write('', () => resolve())
  })
}
