/**
 * Which server a Redis result backend means, and how to reach it (`RedisBackend._params_from_url` and
 * `SentinelBackend._params_from_url` of `celery/backends/redis.py`; surface RES-026).
 *
 * Rule 1: what the URL's query says wins over its other parts, those over `result_backend_transport_options`, and
 * those over the `redis_*` settings.
 * Rule 2: `rediss://` checks the server's certificate unless `ssl_cert_reqs` says otherwise. Celery refuses such a URL
 * without `ssl_cert_reqs`, so write it where Python shares the URL.
 */
import { parseUrl, redactUrl } from '../broker-url.js'
import { ConfigError } from '../errors.js'

/** The `redis_*` settings; `undefined` and `null` leave a default alone. Times in seconds. */
export interface RedisBackendSettings {
  readonly host?: string | null | undefined
  readonly port?: number | null | undefined
  readonly db?: number | null | undefined
  readonly username?: string | null | undefined
  readonly password?: string | null | undefined
  /** Celery's default of 120 counts as not given: then a command must be answered in 10 s. */
  readonly socketTimeout?: number | null | undefined
  readonly socketConnectTimeout?: number | null | undefined
  readonly socketKeepalive?: boolean | null | undefined
  readonly healthCheckInterval?: number | null | undefined
  readonly clientName?: string | null | undefined
  /** `redis_backend_use_ssl`. */
  readonly useSsl?: boolean | Readonly<Record<string, unknown>> | null | undefined
}

/** What `openRedis` takes. */
export interface RedisBackendTarget {
  readonly url: string
  /** The URL for people, without its password. */
  readonly shownUrl: string
  readonly transportOptions: Readonly<Record<string, unknown>>
  /** True when certificates are not checked, which is worth a warning. */
  readonly isUnverified: boolean
}

const CELERY_SOCKET_TIMEOUT = 120
const SSL_NAMES = ['ssl_ca_certs', 'ssl_certfile', 'ssl_keyfile', 'ssl_cert_reqs', 'ssl_check_hostname']
const NUMBERS = new Set(['socket_timeout', 'socket_connect_timeout', 'health_check_interval'])
const FLAGS = new Set(['socket_keepalive'])
/** redis-py's, with nothing to do here: one connection serves all, and what timed out is tried again anyway. */
const IDLE = new Set(['max_connections', 'retry_on_timeout'])
const PLACE = new Set(['host', 'port', 'db', 'username', 'password', 'virtual_host'])

/** Reads a backend URL, or an alias alone (`redis`). Throws `ConfigError`. */
export function redisBackendTarget(
  url: string,
  settings: RedisBackendSettings,
  transportOptions: Readonly<Record<string, unknown>>,
): RedisBackendTarget {
  const full = /:\/\//.test(url) ? url : `${url}://`
  const chunks = full.split(';').map((chunk) => chunk.trim())
  const isSentinel = /^sentinel:/i.test(full)
  const read = chunks.map((chunk) => readOne(chunk, /:\/\//.test(url), settings))
  const [first] = read
  if (first === undefined || (read.length > 1 && !isSentinel)) {
    throw new ConfigError(
      `The result backend '${redactUrl(url)}' names several servers. Only sentinel:// takes a list; name one server.`,
    )
  }
  const options = { ...optionsOf(settings), ...transportOptions, ...(isSentinel ? {} : first.options) }
  const ssl = { ...(isMapping(options['ssl']) ? options['ssl'] : {}), ...first.ssl }
  return {
    url: read.map((each) => each.url).join(';'),
    shownUrl: redactUrl(full),
    transportOptions: options,
    isUnverified: /none$|^0$/i.test(String(ssl['ssl_cert_reqs'] ?? '')),
  }
}

interface ReadUrl {
  readonly url: string
  readonly options: Readonly<Record<string, unknown>>
  readonly ssl: Readonly<Record<string, string>>
}

function readOne(chunk: string, isUrl: boolean, settings: RedisBackendSettings): ReadUrl {
  const { scheme, hostname, port, username, password, path = '', query } = parseUrl(chunk)
  const isSocket = scheme === 'socket'
  const ssl = Object.fromEntries(Object.entries(query).filter(([name]) => SSL_NAMES.includes(name)))
  if (scheme === 'redis' && Object.keys(ssl).length > 0) {
    throw new ConfigError(
      `The result backend '${redactUrl(chunk)}' has ${Object.keys(ssl).join(' and ')}, which only rediss:// takes. ` +
        'Write rediss:// to encrypt, or leave the parameters out.',
    )
  }
  const place = {
    host: query['host'] ?? hostname ?? settings.host ?? '127.0.0.1',
    port: query['port'] ?? port ?? (scheme === 'sentinel' ? 26_379 : (settings.port ?? 6379)),
    username: query['username'] ?? username ?? settings.username ?? '',
    password: query['password'] ?? password ?? settings.password ?? '',
  }
  const database = databaseOf(chunk, isSocket, isUrl, path, query, settings)
  const login =
    place.password === ''
      ? place.username === ''
        ? ''
        : `${encodeURIComponent(place.username)}@`
      : `${encodeURIComponent(place.username)}:${encodeURIComponent(place.password)}@`
  const host = place.host.includes(':') ? `[${place.host}]` : place.host
  const pathText = path.split('/').map(encodeURIComponent).join('/')
  const target = isSocket
    ? `${login}/${pathText}?virtual_host=${database}`
    : `${login}${host}:${place.port}/${database}`
  const sslText = scheme === 'rediss' ? new URLSearchParams(ssl).toString() : ''
  return {
    url: `${scheme}://${target}${sslText && `?${sslText}`}`,
    options: scheme === 'sentinel' ? {} : queryOptions(chunk, query),
    ssl,
  }
}

/** The setting `redis_db` counts only without a URL, and for a socket. */
function databaseOf(
  chunk: string,
  isSocket: boolean,
  isUrl: boolean,
  path: string,
  query: Readonly<Record<string, string>>,
  settings: RedisBackendSettings,
): number {
  const own = isUrl && !isSocket ? path : ''
  const fallback = isUrl && !isSocket ? 0 : (settings.db ?? 0)
  const named = query['db'] ?? (isSocket ? query['virtual_host'] : own)
  const digits = (named ?? '').replace(/^\/+|\/+$/g, '')
  if (digits === '') return fallback
  if (/^\d{1,9}$/.test(digits)) return Number(digits)
  throw new ConfigError(
    `The database of the result backend '${redactUrl(chunk)}' must be a number like /0, not '${digits}'.`,
  )
}

function queryOptions(
  chunk: string,
  query: Readonly<Record<string, string>>,
): Readonly<Record<string, unknown>> {
  const options: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(query)) {
    if (SSL_NAMES.includes(name) || PLACE.has(name) || IDLE.has(name)) continue
    if (name === 'client_name') options[name] = value
    else if (FLAGS.has(name)) options[name] = !/^(0|f|false|n|no)$/i.test(value)
    else if (NUMBERS.has(name) && value.trim() !== '' && Number.isFinite(Number(value)))
      options[name] = Number(value)
    else if (NUMBERS.has(name)) {
      throw new ConfigError(
        `${name} of the result backend '${redactUrl(chunk)}' must be seconds, not '${value}'.`,
      )
    } else {
      throw new ConfigError(
        `The result backend '${redactUrl(chunk)}' has a parameter '${name}' that is not known. ` +
          'Put options into result_backend_transport_options.',
      )
    }
  }
  return options
}

function optionsOf(settings: RedisBackendSettings): Readonly<Record<string, unknown>> {
  const { socketTimeout, useSsl } = settings
  const given: Readonly<Record<string, unknown>> = {
    socket_timeout: socketTimeout === CELERY_SOCKET_TIMEOUT ? null : socketTimeout,
    socket_connect_timeout: settings.socketConnectTimeout,
    socket_keepalive: settings.socketKeepalive || null,
    health_check_interval: settings.healthCheckInterval,
    client_name: settings.clientName,
    ssl: useSsl || null,
  }
  return Object.fromEntries(
    Object.entries(given).filter(([, value]) => value !== undefined && value !== null),
  )
}

function isMapping(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null
}
