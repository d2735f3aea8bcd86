import { type ControlCommand, noReply } from './command.js'

/** `shutdown`: a warm stop, without a reply (surface CTL-053, WRK-083). */
export const shutdown: ControlCommand = {
  name: 'shutdown',
  required: [],
  run({ worker, logger }, { msg = 'Got shutdown from remote' }) {
    logger.warn({}, String(msg))
    // Not awaited: the shutdown waits for the commands that run.
    void worker.shutdown('warm')
    return noReply
  },
}
