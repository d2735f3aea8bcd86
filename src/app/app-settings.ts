/** An app's settings, and those of them that canvases and runs look at: settings stop in `app/`. */
import type { CanvasSettings } from '../canvas/signature-app.js'
import type { ExecutionSettings } from '../execution/host.js'
import type { Logger } from '../logger.js'
import { type AppOptions, partNames } from './app-options.js'
import { loadConfig } from './config.js'
import { readConfigFile } from './config-file.js'
import type { Settings } from './settings.js'

/** What a canvas looks at. */
export function canvasSettings(conf: Settings): CanvasSettings {
  return {
    alwaysEager: conf.taskAlwaysEager,
    errbacksOnChordHeader: conf.taskAllowErrorCbOnChordHeader,
    linksChains: conf.taskProtocol === 1,
  }
}

/** What a run looks at. */
export function executionSettings(conf: Settings): ExecutionSettings {
  return {
    resultExtended: conf.resultExtended,
    inheritParentPriority: conf.taskInheritParentPriority,
    deduplicateSuccessful: conf.workerDeduplicateSuccessfulTasks,
    alwaysEager: conf.taskAlwaysEager,
    eagerPropagates: conf.taskEagerPropagates,
    storeEagerResult: conf.taskStoreEagerResult,
    errbacksOnChordHeader: conf.taskAllowErrorCbOnChordHeader,
  }
}

/** Settings from the constructor, `config` and the environment; what is worth saying about them is logged. */
export function settingsOf(options: AppOptions, logger: Logger): Settings {
  const { config, namespace, env = process.env } = options
  const settings = Object.fromEntries(Object.entries(options).filter(([name]) => !partNames.has(name)))
  const loaded = loadConfig({
    settings,
    config: typeof config === 'string' ? readConfigFile(config) : config,
    namespace,
    env,
  })
  for (const { name, message } of loaded.notes) logger.info({ setting: name }, message)
  return loaded.settings
}
