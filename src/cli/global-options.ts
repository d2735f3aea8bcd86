import { resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { Celery } from '../worker/celery.js'
import { CommandError, exitUsage } from './command-error.js'
import { loadApp } from './load-app.js'
import { createOutput, type Output } from './output.js'

/** What the process gives to a command; tests give their own. */
export interface Terminal {
  readonly env: NodeJS.ProcessEnv
  readonly stdin: NodeJS.ReadStream
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
}

/** Options before the command (surface CLI-001). */
export interface GlobalOptions {
  readonly app?: string
  readonly broker?: string
  readonly resultBackend?: string
  readonly config?: string
  readonly workdir?: string
  readonly color: boolean
  readonly quiet?: boolean
  readonly json?: boolean
}

/** An option that may also come from the environment, under the first of `names` that is set. */
export function envOption(flags: string, help: string, env: NodeJS.ProcessEnv, ...names: string[]): Option {
  const option = new Option(flags, help)
  const name = names.find((candidate) => env[candidate]) ?? names[0] ?? ''
  const value = env[name]
  // Commander takes any value for a flag, and '' for an option: `CELERY_WORKER_PURGE=false` would purge.
  const isSaid = option.required || option.optional ? value !== '' : value === undefined || isYes(value)
  return isSaid ? option.env(name) : option
}

function isYes(value: string): boolean {
  return /^(1|t|true|y|yes|on)$/i.test(value)
}

/** Adds the global options; each has the environment names that Celery gives it. */
export function addGlobalOptions(program: Command, env: NodeJS.ProcessEnv): void {
  program
    .addOption(
      envOption(
        '-A, --app <module>',
        'the app: a file or package, with :name for an export',
        env,
        'APP',
        'CELERY_APP',
      ),
    )
    .addOption(
      envOption(
        '-b, --broker <url>',
        "broker URL, over the app's own",
        env,
        'BROKER_URL',
        'CELERY_BROKER_URL',
      ),
    )
    .addOption(
      envOption(
        '--result-backend <url>',
        "result backend URL, over the app's own",
        env,
        'RESULT_BACKEND',
        'CELERY_RESULT_BACKEND',
      ),
    )
    .addOption(
      envOption(
        '--config <file>',
        'settings for an app that is not given with -A (JSON)',
        env,
        'CONFIG_MODULE',
      ),
    )
    .addOption(envOption('--workdir <folder>', 'folder to work in', env, 'CELERY_WORKDIR'))
    .addOption(new Option('-C, --no-color', 'no colours').env('NO_COLOR'))
    .addOption(envOption('-q, --quiet', 'only what was asked for: no banner', env, 'CELERY_QUIET'))
    .option('--json', 'print JSON for programs')
}

/** The options of `command`'s program. */
export function globalOptions(command: Command): GlobalOptions {
  return command.optsWithGlobals<GlobalOptions>()
}

/** The output that the global options ask for. */
export function outputOf(options: GlobalOptions, terminal: Terminal): Output {
  return createOutput({
    json: options.json ?? false,
    color: options.color && terminal.stdout.isTTY === true && terminal.env.NO_COLOR === undefined,
    quiet: options.quiet ?? false,
    stdout: terminal.stdout,
    stderr: terminal.stderr,
  })
}

/**
 * The app of a command. `-b` and `--result-backend` are given to it through the environment, which beats an app's own
 * settings (surface CFG-006). Without `-A` it is an app without tasks, enough for `call`, `result` and `purge`.
 */
export async function appOf(options: GlobalOptions, terminal: Terminal): Promise<Celery> {
  const { env } = terminal
  if (options.broker !== undefined) env.CELERY_BROKER_URL = options.broker
  if (options.resultBackend !== undefined) env.CELERY_RESULT_BACKEND = options.resultBackend
  const workdir = resolve(options.workdir ?? '.')
  if (
    options.app === undefined &&
    options.config === undefined &&
    !env.CELERY_BROKER_URL &&
    !env.CELERY_RESULT_BACKEND
  ) {
    throw new CommandError(
      'which app? Name its file with -A (celeriac -A app.ts ...), or a broker with -b',
      exitUsage,
    )
  }
  const app =
    options.app === undefined
      ? new Celery('default', options.config === undefined ? {} : { config: options.config })
      : await loadApp(options.app, workdir)
  await app.signals.userPreloadOptions.send(undefined, { app, options })
  return app
}
