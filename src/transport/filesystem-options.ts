import path from 'node:path'
import { filesystemBrokerFolder } from '../broker-url.js'
import { ConfigError } from '../errors.js'

/** Where a filesystem broker keeps what, all paths absolute (kombu's transport options, wire-format 12.1). */
export interface FilesystemOptions {
  /** `data_folder_in`: where messages are read. */
  readonly dataIn: string
  /** `data_folder_out`: where messages are written; the same folder for Celery. */
  readonly dataOut: string
  /** `control_folder`: the binding tables. */
  readonly control: string
  /** `processed_folder`: where settled messages go with `store_processed`. */
  readonly processed: string
  readonly storeProcessed: boolean
  /** `polling_interval` in milliseconds: between looks at the folder where the system does not tell; default 1000. */
  readonly pollMs: number
  /**
   * `visibility_timeout` in milliseconds: a holder on ANOTHER machine that gave no sign of life for so long has lost
   * its messages; default 300 s. On this machine the process itself is looked at.
   */
  readonly visibilityTimeoutMs: number
  /** Milliseconds between signs of life and looks for abandoned messages; default 5000, a tenth of the timeout if less. */
  readonly leaseIntervalMs: number
  /** Ours: `fsync` makes each publish wait for the disk; default false, as kombu. */
  readonly fsync: boolean
  readonly deadletterQueue: string | undefined
  readonly bodyEncoding: 'base64' | 'utf-8' | undefined
}

/**
 * Reads the URL and the transport options. A path in the URL is short for one folder both ways, with `control` and
 * `processed` inside it; options that are given win. Throws `ConfigError` for an option of the wrong type.
 */
export function filesystemOptions(
  url: string,
  given: Readonly<Record<string, unknown>>,
  workingFolder: string,
): FilesystemOptions {
  const inUrl = filesystemBrokerFolder(url)
  const folder = (option: string, plain: string, short: string): string => {
    const value = given[option]
    if (value !== undefined && value !== null && (typeof value !== 'string' || value === '')) {
      throw wrong(option, 'a path', value)
    }
    const chosen = value ?? (inUrl === undefined ? plain : path.join(inUrl, short))
    return path.resolve(workingFolder, String(chosen))
  }
  const seconds = (option: string, fallback: number): number => {
    const value = given[option] ?? fallback
    if (typeof value !== 'number' || !(value > 0) || !Number.isFinite(value)) {
      throw wrong(option, 'a number of seconds above 0', value)
    }
    return value * 1000
  }
  const visibilityTimeoutMs = seconds('visibility_timeout', 300)
  return {
    dataIn: folder('data_folder_in', 'data_in', ''),
    dataOut: folder('data_folder_out', 'data_out', ''),
    control: folder('control_folder', 'control', 'control'),
    processed: folder('processed_folder', 'processed', 'processed'),
    storeProcessed: Boolean(given['store_processed']),
    pollMs: seconds('polling_interval', 1),
    visibilityTimeoutMs,
    leaseIntervalMs: Math.min(5000, visibilityTimeoutMs / 10),
    fsync: Boolean(given['fsync']),
    deadletterQueue: text('deadletter_queue', given),
    bodyEncoding: bodyEncoding(given),
  }
}

function text(option: string, given: Readonly<Record<string, unknown>>): string | undefined {
  const value = given[option]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw wrong(option, 'a text', value)
  return value
}

function bodyEncoding(given: Readonly<Record<string, unknown>>): FilesystemOptions['bodyEncoding'] {
  const value = text('body_encoding', given)?.toLowerCase()
  if (value === undefined || value === 'base64' || value === 'utf-8') return value
  throw wrong('body_encoding', "'base64' or 'utf-8'", value)
}

function wrong(option: string, wanted: string, value: unknown): ConfigError {
  return new ConfigError(
    `the filesystem transport option '${option}' must be ${wanted}, not ${JSON.stringify(value) ?? String(value)}`,
  )
}
