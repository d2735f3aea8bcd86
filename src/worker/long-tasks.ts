/**
 * Tells at the start of a worker which tasks RabbitMQ may take away while they run: it closes the channel of a worker
 * that holds a message for longer than `consumer_timeout`, and delivers again what that held.
 *
 * Rule 1: a warning is for tasks that are late-acknowledged and whose time limit says that they may take so long. Rule 2:
 * those without a limit may be as short as all the others: they are told of at INFO. Rule 3: tasks that are acknowledged
 * when they start hold nothing.
 */
import { brokerUrls } from '../app/config.js'
import { isAmqp } from '../app/native-delay.js'
import type { TaskQueue } from '../app/queues.js'
import type { Logger } from '../logger.js'
import type { WorkerApp } from './worker-app.js'

/** RabbitMQ's default of `consumer_timeout`, in seconds. A client cannot ask for what it is. */
const defaultTimeoutS = 1800
/** The argument of a queue that says otherwise, in milliseconds. */
const timeoutArgument = 'x-consumer-timeout'
const mostNames = 10

/** What a worker that consumes from `queues` needs to be told. */
export interface LongTasksOptions {
  readonly app: Pick<WorkerApp, 'conf' | 'tasks' | 'task'>
  readonly queues: readonly Pick<TaskQueue, 'declaration'>[]
  /** Seconds; the limit of tasks without one. */
  readonly timeLimit: number | undefined
  readonly softTimeLimit: number | undefined
  readonly logger: Logger
}

/** Logs once, where the broker is RabbitMQ, the late-acknowledged tasks that may outlast its `consumer_timeout`. */
export function tellLongTasks({ app, queues, timeLimit, softTimeLimit, logger }: LongTasksOptions): void {
  if (!isAmqp(brokerUrls(app.conf, 'read'))) return
  const bounds = queues.map(({ declaration }) => {
    const ms = declaration.arguments[timeoutArgument]
    return typeof ms === 'number' ? ms / 1000 : defaultTimeoutS
  })
  const bound = Math.min(...bounds)
  const long: string[] = []
  const unlimited: string[] = []
  for (const name of app.tasks.names()) {
    const options = app.task(name)?.options
    if (options === undefined || !options.acksLate || name.startsWith('celery.')) continue
    const limit = options.timeLimit || timeLimit || options.softTimeLimit || softTimeLimit
    if (!limit) unlimited.push(name)
    else if (limit >= bound) long.push(`${name} (${limit} s)`)
  }
  const what = `a message that a worker holds for longer than its consumer_timeout (${bound} s, unless the server was told otherwise)`
  if (long.length > 0) {
    logger.warn(
      { tasks: long },
      `RabbitMQ takes back ${what}. These tasks are acknowledged late and may run for longer: ${listed(long)}. ` +
        'They would be run again and again: raise consumer_timeout, or lower their time limits.',
    )
  }
  if (unlimited.length > 0) {
    logger.info(
      { tasks: unlimited },
      `RabbitMQ takes back ${what}. These tasks are acknowledged late and have no time limit: ${listed(unlimited)}.`,
    )
  }
}

function listed(names: readonly string[]): string {
  const shown = names.slice(0, mostNames).join(', ')
  return names.length > mostNames ? `${shown} and ${names.length - mostNames} more` : shown
}
