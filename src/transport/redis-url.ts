/**
 * Redis URLs by kombu's rules (`kombu/transport/redis.py` `_connparams`, wire-format 6.9).
 *
 * Rule 1: `rediss://` checks the certificate unless `ssl_cert_reqs` says otherwise (kombu 5.6 does not check it).
 * Rule 2: what the URL does not say, `broker_transport_options` may; a query other than `ssl_*` is refused, as in kombu.
 */
import type { ConnectionOptions } from 'node:tls'
import { parseUrl, redactUrl, type UrlParts } from '../broker-url.js'
import { ConfigError } from '../errors.js'
import { tlsOptions } from './tls-options.js'

/** Where a server is and how to be let in. */
export interface RedisTarget {
  /** The URL for people, without its password. */
  readonly shownUrl: string
  readonly host: string
  readonly port: number
  /** A Unix socket, in place of host and port. */
  readonly socketPath: string | undefined
  readonly username: string | undefined
  readonly password: string | undefined
  readonly db: number
  readonly tls: ConnectionOptions | undefined
  /** Sentinels to be asked for the server; host and port are not used then. */
  readonly sentinels: readonly { readonly host: string; readonly port: number }[]
}

/** Kombu's default ports. */
const defaultPort = 6379
const sentinelPort = 26379
const socketSchemes = new Set(['redis+socket', 'socket', 'unix', 'redis+unix'])
const sslNames = new Set([
  'ssl_cert_reqs',
  'ssl_ca_certs',
  'ssl_certfile',
  'ssl_keyfile',
  'ssl_check_hostname',
  'ssl_keyfile_password',
])

/**
 * Reads `redis://`, `rediss://`, `redis+socket://`, `unix://` and `sentinel://` (several sentinels joined by `;`).
 * `options` are the transport options, of which `ssl` (a boolean or kombu's dictionary) counts here. Throws
 * `ConfigError`, also for a certificate file that cannot be read.
 */
export function redisTarget(url: string, options: Readonly<Record<string, unknown>>): RedisTarget {
  const [first = url, ...others] = url
    .split(';')
    .map((each) => each.trim())
    .filter((each) => each !== '')
  const parts = parseUrl(first)
  const { scheme } = parts
  const isSocket = socketSchemes.has(scheme)
  const isSentinel = scheme === 'sentinel'
  if (others.length > 0 && !isSentinel) {
    throw new ConfigError(`'${redactUrl(url)}' names several servers; connect to them one after the other`)
  }
  const { virtual_host: socketHost, db: socketDb, ...query } = parts.query
  const database = isSocket ? (socketHost ?? socketDb) : parts.path
  const ssl = sslOptions(parts, isSocket ? query : parts.query, options['ssl'])
  return {
    shownUrl: redactUrl(url),
    host: parts.hostname ?? '127.0.0.1',
    port: parts.port ?? defaultPort,
    socketPath: isSocket ? `/${parts.path ?? ''}` : undefined,
    username: parts.username,
    password: parts.password,
    db: databaseNumber(database ?? text(options['virtual_host']), url),
    tls: ssl,
    sentinels: isSentinel
      ? [parts, ...others.map(parseUrl)].map(({ hostname, port }) => ({
          host: hostname ?? '127.0.0.1',
          port: port ?? sentinelPort,
        }))
      : [],
  }
}

/**
 * Names the server and the login, the same for URLs that differ in their database only (or in certificates). Has the
 * password in it: not for people.
 */
export function serverOf(target: RedisTarget, options: Readonly<Record<string, unknown>>): string {
  const { host, port, socketPath, username, password, tls, sentinels } = target
  const place = sentinels.length > 0 ? [sentinels, options['master_name']] : [socketPath ?? [host, port]]
  return JSON.stringify([place, username, password, tls !== undefined])
}

function text(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value) : undefined
}

function databaseNumber(value: string | undefined, url: string): number {
  const digits = (value ?? '').replace(/^\/+/, '')
  if (digits === '') return 0
  if (/^\d{1,9}$/.test(digits)) return Number(digits)
  throw new ConfigError(`the database of '${redactUrl(url)}' must be a number like /0, not '${digits}'`)
}

function sslOptions(
  { scheme }: UrlParts,
  query: Readonly<Record<string, string>>,
  given: unknown,
): ConnectionOptions | undefined {
  for (const name of Object.keys(query)) {
    if (sslNames.has(name)) continue
    throw new ConfigError(
      `a Redis URL has no parameter '${name}'; put it into broker_transport_options, by kombu's name`,
    )
  }
  const isDictionary = typeof given === 'object' && given !== null
  if (scheme !== 'rediss' && given !== true && !isDictionary) return undefined
  const named: Readonly<Record<string, unknown>> = { ...(isDictionary ? given : {}), ...query }
  return tlsOptions(named)
}
