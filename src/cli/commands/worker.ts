import { mkdirSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { type Command, Option } from 'commander'
import { bannerText } from '../banner.js'
import { CommandError, exitUsage } from '../command-error.js'
import { appOf, envOption, globalOptions, outputOf, type Terminal } from '../global-options.js'
import { importModule } from '../load-app.js'
import { createLogger, type LogLevel } from '../log-format.js'
import { commaList, logLevel, seconds, wholeNumber } from '../option-values.js'
import { listenForSignals } from '../os-signals.js'
import { takePidFile } from '../pid-file.js'

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
  const add = (flags: string, help: string, name: string): Option => {
    const option = envOption(flags, help, env, `CELERY_WORKER_${name}`)
    command.addOption(option)
    return option
  }
  add('-n, --hostname <name>', 'node name: name@host, with %h %n %d', 'HOSTNAME')
  add('-l, --loglevel <level>', 'DEBUG, INFO, WARNING, ERROR or CRITICAL', 'LOGLEVEL')
    .default('WARNING')
    .argParser(logLevel)
  add('-f, --logfile <path>', 'append the log to this file; default stderr', 'LOGFILE')
  add('--log-format <format>', 'text as Celery writes it, json, or text on a terminal', 'LOG_FORMAT')
    .choices(['auto', 'text', 'json'])
    .default('auto')
  add(
    '-c, --concurrency <n>',
    'tasks at once; default the setting, else the number of processors',
    'CONCURRENCY',
  ).argParser(wholeNumber(1))
  add('-P, --pool <name>', 'async (this event loop), or solo: one task at a time', 'POOL').default('async')
  add('-Q, --queues <names>', 'comma separated queues to consume', 'QUEUES').argParser(commaList)
  add('-X, --exclude-queues <names>', 'comma separated queues not to consume', 'EXCLUDE_QUEUES').argParser(
    commaList,
  )
  add('-I, --include <modules>', 'comma separated further modules to import', 'INCLUDE').argParser(commaList)
  add(
    '--prefetch-multiplier <n>',
    'messages fetched ahead, times the concurrency; 0 for no limit',
    'PREFETCH_MULTIPLIER',
  ).argParser(wholeNumber(0))
  add('--time-limit <seconds>', 'hard limit of tasks without one', 'TIME_LIMIT').argParser(seconds)
  add('--soft-time-limit <seconds>', 'soft limit of tasks without one', 'SOFT_TIME_LIMIT').argParser(seconds)
  add('--purge, --discard', 'delete all waiting messages first', 'PURGE')
  add('--pidfile <path>', 'write the process id here; refuse to start when it is taken', 'PIDFILE')
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
  const logger = createLogger({
    level: flags.loglevel,
    format: global.json ? 'json' : flags.logFormat,
    color: output.color,
    ...(flags.logfile === undefined ? {} : { file: flags.logfile }),
    stderr: terminal.stderr,
  })
  const app = await appOf(global, terminal)
  for (const module of flags.include ?? []) await importModule(module, workdir)
  if (settings.length > 0) app.configure(settings)
  app.useLogger(logger)

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
    logger,
  })
  const freePidFile = flags.pidfile === undefined ? () => {} : takePid(flags.pidfile)
  const say = (text: string): void => void terminal.stdout.write(`${text}\n`)
  const signals = listenForSignals({
    worker,
    process,
    remapSigterm: terminal.env.REMAP_SIGTERM,
    hasSoftWait: app.conf.workerSoftShutdownTimeout > 0,
    say: global.json ? () => {} : say,
    exit: (code) => process.exit(code),
    onShuttingDown: (event) => void app.signals.workerShuttingDown.send(worker.hostname, event),
  })
  try {
    if (!output.quiet && !global.json) {
      output.line(bannerText(worker.banner(), { app: app.main, color: output.color, level: flags.loglevel }))
    }
    await worker.start()
    const { exitCode } = await worker.stopped
    return signals.exitCode() ?? exitCode
  } finally {
    signals.dispose()
    await app.close()
    freePidFile()
  }
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
