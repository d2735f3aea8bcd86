import { mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { fromCmdline } from '../../app/config.js'
import type { WorkerMemory } from '../../worker/worker-options.js'
import { bannerText } from '../banner.js'
import { CommandError, exitUsage } from '../command-error.js'
import { appOf, envOption, globalOptions, outputOf, type Terminal } from '../global-options.js'
import { importModule } from '../load-app.js'
import { asctime, type LogLevel } from '../log-format.js'
import { setUpLogging } from '../logging.js'
import { commaList, logLevel, seconds, wholeNumber } from '../option-values.js'
import { listenForSignals } from '../os-signals.js'
import { takePidFile } from '../pid-file.js'
import { logStrayErrors } from '../stray-errors.js'

interface WorkerFlags {
  readonly hostname?: string
  readonly loglevel: LogLevel
  readonly logfile?: string
  readonly logFormat: 'auto' | 'text' | 'json'
  readonly concurrency?: number
  readonly pool: string
  readonly queues?: string[]
  readonly excludeQueues?: string[]
  readonly include?: string[]
  readonly prefetchMultiplier?: number
  readonly timeLimit?: number
  readonly softTimeLimit?: number
  readonly purge?: boolean
  readonly pidfile?: string
}

/** Flags of Celery's worker that say something about its processes, or need what this version does not have. */
const refused: Readonly<Record<string, string>> = {
  '-D, --detach': 'run it under a process manager (systemd, a container, pm2)',
  '--uid <user>': 'start it as that user',
  '--gid <group>': 'start it as that group',
  '--umask <mask>': 'set it before starting',
  '--executable <path>': 'start it with that executable',
  '--autoscale <range>': 'the async pool has a fixed size: -c',
  '--max-tasks-per-child <n>': 'the async pool has no child processes',
  '--max-memory-per-child <n>': 'the async pool has no child processes',
  '-E, --task-events': 'this version sends no events',
  '-B, --beat': 'this version has no beat',
  '-s, --schedule <path>': 'this version has no beat',
  '--scheduler <name>': 'this version has no beat',
  '--heartbeat-interval <seconds>': 'this version sends no heartbeats',
  '--disable-prefetch': 'it is a matter of Redis; use --prefetch-multiplier 1',
  '-S, --statedb <path>': 'this version keeps no revocations across restarts',
}
/** Flags of Celery's worker whose effect is the only one there is. */
const accepted = ['--without-gossip', '--without-mingle', '--without-heartbeat']

const pools: Readonly<Record<string, string | undefined>> = {
  async: 'async',
  gevent: 'async',
  eventlet: 'async',
  solo: 'solo',
}

/** `celeriac worker`: runs tasks until it is told to stop (surface CLI-009, `celery/bin/worker.py`). */
export function workerCommand(parent: Command, terminal: Terminal): void {
  const { env } = terminal
  const command = parent.command('worker').description('run tasks')
  const add = (
    name: string,
    flags: string,
    help: string,
    shape: (option: Option) => Option = (o) => o,
  ): void => {
    command.addOption(shape(envOption(flags, help, env, `CELERY_WORKER_${name}`)))
  }
  const list = (option: Option): Option => option.argParser(commaList)
  add('HOSTNAME', '-n, --hostname <name>', 'node name: name@host, with %h %n %d')
  add('LOGLEVEL', '-l, --loglevel <level>', 'DEBUG, INFO, WARNING, ERROR or CRITICAL', (option) =>
    option.default('WARNING').argParser(logLevel),
  )
  add('LOGFILE', '-f, --logfile <path>', 'append the log to this file; default stderr')
  add(
    'LOG_FORMAT',
    '--log-format <format>',
    'text as Celery writes it, json, or text on a terminal',
    (option) => option.choices(['auto', 'text', 'json']).default('auto'),
  )
  add(
    'CONCURRENCY',
    '-c, --concurrency <n>',
    'tasks at once; default the setting, else the number of processors',
    (option) => option.argParser(wholeNumber(1)),
  )
  add('POOL', '-P, --pool <name>', 'async (this event loop), or solo: one task at a time', (option) =>
    option.default('async'),
  )
  add('QUEUES', '-Q, --queues <names>', 'comma separated queues to consume', list)
  add('EXCLUDE_QUEUES', '-X, --exclude-queues <names>', 'comma separated queues not to consume', list)
  add('INCLUDE', '-I, --include <modules>', 'comma separated further modules to import', list)
  add(
    'PREFETCH_MULTIPLIER',
    '--prefetch-multiplier <n>',
    'messages fetched ahead, times the concurrency; 0 for no limit',
    (option) => option.argParser(wholeNumber(0)),
  )
  add('TIME_LIMIT', '--time-limit <seconds>', 'hard limit of tasks without one', (option) =>
    option.argParser(seconds),
  )
  add('SOFT_TIME_LIMIT', '--soft-time-limit <seconds>', 'soft limit of tasks without one', (option) =>
    option.argParser(seconds),
  )
  add('PURGE', '--discard, --purge', 'delete all waiting messages first')
  add('PIDFILE', '--pidfile <path>', 'write the process id here; refuse to start when it is taken')
  command.addOption(new Option('-O, --optimization <profile>', 'accepted; there is one way only').hideHelp())
  for (const flag of accepted)
    command.addOption(new Option(flag, 'accepted: there is none to be without').hideHelp())
  for (const flag of Object.keys(refused)) command.addOption(new Option(flag).hideHelp())
  command.argument(
    '[settings...]',
    'settings for this run: worker.prefetch_multiplier=1, task.acks_late=true',
  )
  command.action(async (settings: string[], flags: WorkerFlags & Record<string, unknown>, self: Command) => {
    refuse(flags, self)
    process.exitCode = await runWorker(settings, flags, self, terminal)
  })
}

function refuse(flags: Record<string, unknown>, command: Command): void {
  for (const option of command.options) {
    const why = refused[option.flags]
    if (why !== undefined && flags[option.attributeName()] !== undefined) {
      throw new CommandError(
        `worker: ${option.flags.split(' ')[0]?.replace(',', '')} is not available: ${why}`,
        exitUsage,
      )
    }
  }
}

/** Runs a worker to its end; returns the exit code (surface WRK-085). */
async function runWorker(
  settings: string[],
  flags: WorkerFlags,
  command: Command,
  terminal: Terminal,
): Promise<number> {
  const global = globalOptions(command)
  const output = outputOf(global, terminal)
  const pool = pools[flags.pool]
  if (pool === undefined) {
    throw new CommandError(
      `worker: no pool ${JSON.stringify(flags.pool)} in this version; use async or solo`,
      exitUsage,
    )
  }
  const workdir = resolve(global.workdir ?? '.')
  // The environment beats an app's own settings, so this run's settings reach it that way (surface CFG-006).
  for (const [name, value] of fromCmdline(settings, 'worker')) {
    terminal.env[`CELERY_${name.toUpperCase()}`] = typeof value === 'string' ? value : JSON.stringify(value)
  }
  const app = await appOf(global, terminal)
  await app.signals.importModules.send(app, {})
  for (const module of flags.include ?? []) await importModule(module, workdir)
  const logger = await setUpLogging(app, {
    level: flags.loglevel,
    format: global.json ? 'json' : flags.logFormat,
    color: output.color,
    ...(flags.logfile === undefined ? {} : { file: flags.logfile }),
    stderr: terminal.stderr,
  })

  const worker = app.worker({
    ...(flags.hostname === undefined ? {} : { hostname: flags.hostname }),
    ...(pool === 'solo'
      ? { concurrency: 1 }
      : flags.concurrency === undefined
        ? {}
        : { concurrency: flags.concurrency }),
    ...(flags.queues === undefined ? {} : { queues: flags.queues }),
    ...(flags.excludeQueues === undefined ? {} : { excludeQueues: flags.excludeQueues }),
    ...(flags.prefetchMultiplier === undefined ? {} : { prefetchMultiplier: flags.prefetchMultiplier }),
    ...(flags.timeLimit === undefined ? {} : { timeLimit: flags.timeLimit }),
    ...(flags.softTimeLimit === undefined ? {} : { softTimeLimit: flags.softTimeLimit }),
    ...(flags.purge === undefined ? {} : { purge: flags.purge }),
    memory: memoryOf(terminal.env),
    logger,
  })
  const freePidFile = flags.pidfile === undefined ? () => {} : takePid(flags.pidfile)
  const say = (text: string): void => void terminal.stdout.write(`${text}\n`)
  const signals = listenForSignals({
    worker,
    process,
    remapSigterm: terminal.env.REMAP_SIGTERM,
    hasSoftWait: (app.conf.workerSoftShutdownTimeout ?? 0) > 0,
    say: global.json ? () => {} : say,
    exit: (code) => process.exit(code),
    onShuttingDown: (event) => void app.signals.workerShuttingDown.send(worker.hostname, event),
  })
  const stray = logStrayErrors(process, logger, [terminal.stdout, terminal.stderr])
  try {
    if (!output.quiet && !global.json) {
      output.line(
        bannerText(worker.banner(), {
          color: output.color,
          level: flags.loglevel,
          time: asctime(app.clock.now()),
        }),
      )
    }
    await worker.start().catch((error: unknown) => {
      // Told to stop before it was up: that is a stop, not a failure.
      if (signals.exitCode() === undefined) throw error
    })
    const { code } = await worker.stopped
    return Math.max(code, signals.exitCode() ?? 0)
  } finally {
    signals.dispose()
    stray.dispose()
    await app.close()
    freePidFile()
  }
}

/** Celery's variables for what a worker remembers (surface CFG-008). Throws `CommandError` for what is no number. */
export function memoryOf(env: NodeJS.ProcessEnv): WorkerMemory {
  const read = (name: string): number | undefined => {
    const text = env[name]
    if (text === undefined || text === '') return undefined
    const value = Number(text)
    if (Number.isFinite(value) && value >= 0) return value
    throw new CommandError(`${name} must be a number, not ${JSON.stringify(text)}`, exitUsage)
  }
  const memory = {
    revokesMax: read('CELERY_WORKER_REVOKES_MAX'),
    revokeExpires: read('CELERY_WORKER_REVOKE_EXPIRES'),
    successfulMax: read('CELERY_WORKER_SUCCESSFUL_MAX'),
    successfulExpires: read('CELERY_WORKER_SUCCESSFUL_EXPIRES'),
  }
  return Object.fromEntries(Object.entries(memory).filter(([, value]) => value !== undefined))
}

function takePid(path: string): () => void {
  mkdirSync(dirname(resolve(path)), { recursive: true })
  return takePidFile(path, process.pid, (pid) => {
    try {
      process.kill(pid, 0)
      return true
    } catch {
      return false
    }
  })
}
