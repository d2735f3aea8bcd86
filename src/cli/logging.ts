import type { Logger } from '../logger.js'
import type { Celery } from '../worker/celery.js'
import { createLogger, type LogOptions } from './log-format.js'

/**
 * Gives the app the command line's logger (`celery/app/log.py` setup_logging_subsystem; surface SIG-025 to SIG-027).
 * A receiver of `setup_logging` means that the app looks after its log itself: it keeps the logger it has. Otherwise
 * `after_setup_logger` and `after_setup_task_logger` tell of the new one; a receiver may give the app another.
 */
export async function setUpLogging(
  app: Pick<Celery, 'logger' | 'signals' | 'useLogger'>,
  options: LogOptions,
): Promise<Logger> {
  const { setupLogging, afterSetupLogger, afterSetupTaskLogger } = app.signals
  const told = {
    loglevel: options.level,
    logfile: options.file,
    format: options.format,
    colorize: options.color,
  }
  if (setupLogging.hasReceivers) {
    await setupLogging.send(undefined, told)
    return app.logger
  }
  const logger = createLogger(options)
  app.useLogger(logger)
  await afterSetupLogger.send(undefined, { logger, ...told })
  await afterSetupTaskLogger.send(undefined, { logger, ...told })
  return app.logger
}
