import { readFileSync } from 'node:fs'
import { onDemand } from '../../protocol/on-demand.js'
import { ConfigError } from '../errors.js'

const yaml = onDemand<typeof import('yaml')>('yaml')

/**
 * Reads settings from a JSON or YAML file (`.json`, `.yaml`, `.yml`), for `loadConfig({ config })`. Throws `ConfigError`
 * when it cannot be read or holds no record.
 */
export function readConfigFile(path: string): Readonly<Record<string, unknown>> {
  let value: unknown
  try {
    const text = readFileSync(path, 'utf8')
    value = /\.ya?ml$/i.test(path) ? yaml().parse(text) : JSON.parse(text)
  } catch (cause) {
    throw new ConfigError(
      `The settings in ${path} cannot be read: ${cause instanceof Error ? cause.message : String(cause)}`,
      { cause },
    )
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new ConfigError(
      `${path} holds no settings: it must be an object such as { "broker_url": "redis://" }.`,
    )
  }
  return value as Readonly<Record<string, unknown>>
}

/** Reads the file that a variable of the environment names (`config_from_envvar`). Throws `ConfigError` when it names none. */
export function readConfigFromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
  variable: string,
): Readonly<Record<string, unknown>> {
  const path = env[variable]
  if (!path) throw new ConfigError(`The variable ${variable} is not set: it must name a JSON or YAML file.`)
  return readConfigFile(path)
}
