import { pyRepr } from '../../../protocol/python-repr.js'
import { Float } from '../../../protocol/values.js'
import { InvalidArgumentError } from '../../errors.js'
import { parseRate } from '../rate-limit.js'
import { type ControlCommand, nok, ok } from './command.js'
import { errorRepr, PythonError } from './python-error.js'

/** `rate_limit`: how often a task may start in this worker from now on (surface CTL-045). */
export const rateLimit: ControlCommand = {
  name: 'rate_limit',
  required: ['task_name', 'rate_limit'],
  run({ app, worker, logger }, { task_name: name, rate_limit: given }) {
    const rate = given instanceof Float ? given.value : given
    let perSecond: number
    try {
      perSecond = rateOf(rate)
    } catch (error) {
      if (!(error instanceof PythonError) || error.name !== 'ValueError') throw error
      return nok(`Invalid rate limit string: ${errorRepr(error)}`)
    }
    if (typeof name !== 'string' || app.task(name) === undefined) {
      logger.error({ name }, `Rate limit attempt for unknown task ${String(name)}`)
      return nok('unknown task')
    }
    worker.rateLimit(name, rate as string | number | null)
    if (perSecond === 0) {
      logger.info({ name }, `Rate limits disabled for tasks of type ${name}`)
      return ok('rate limit disabled successfully')
    }
    logger.info({ name }, `New rate limit for tasks of type ${name}: ${String(rate)}.`)
    return ok('new rate limit set successfully')
  },
}

/** Throws Python's errors: a unit that there is not is a KeyError, a number that is none a ValueError. */
function rateOf(rate: unknown): number {
  if (rate !== null && typeof rate !== 'string' && typeof rate !== 'number') {
    throw new PythonError('TypeError', `a rate limit is a text or a number, not ${typeof rate}`)
  }
  try {
    return parseRate(rate)
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error
    const [amount = '', ...rest] = String(rate).split('/')
    const unit = rest.join('/')
    if (!['', 's', 'm', 'h'].includes(unit)) throw new PythonError('KeyError', unit)
    throw new PythonError('ValueError', `could not convert string to float: ${pyRepr(amount)}`)
  }
}
