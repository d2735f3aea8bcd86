import { Float } from '../../../protocol/values.js'
import { type ControlCommand, nok, ok } from './command.js'
import { PythonError } from './python-error.js'

/** `time_limit`: how long a task that starts from now on may run; what is left out is taken away (surface CTL-046). */
export const timeLimit: ControlCommand = {
  name: 'time_limit',
  required: [],
  run({ app, worker, logger }, { task_name: name, soft, hard }) {
    if (typeof name !== 'string' || app.task(name) === undefined) {
      logger.error({ name }, `Change time limit attempt for unknown task ${String(name)}`)
      return nok('unknown task')
    }
    const limits = { soft: secondsOf('soft', soft), hard: secondsOf('hard', hard) }
    worker.timeLimit(name, limits)
    logger.info(
      { name, ...limits },
      `New time limits for tasks of type ${name}: soft=${limits.soft ?? 'None'} hard=${limits.hard ?? 'None'}`,
    )
    return ok('time limits set successfully')
  },
}

function secondsOf(which: string, given: unknown): number | null {
  if (given === null || given === undefined) return null
  const seconds = typeof given === 'number' || given instanceof Float ? Number(given) : Number.NaN
  if (seconds >= 0 && Number.isFinite(seconds)) return seconds
  throw new PythonError('TypeError', `the ${which} time limit is a number of seconds, not ${String(given)}`)
}
