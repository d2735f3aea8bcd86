/**
 * AMQP URLs by kombu's rules (`kombu/utils/url.py`, `kombu/transport/pyamqp.py`; wire-format 7.1).
 *
 * Rule 1: `amqp://host`, `amqp://host/` and `amqp://host//` all mean the virtual host `/`; `/a%2Fb` means `a/b`.
 * Rule 2: guest/guest at 127.0.0.1, port 5672, or 5671 with TLS, are the defaults.
 * Rule 3: `amqps://`, or `broker_use_ssl` with any of the schemes, is TLS, and the certificate is checked unless
 *         `cert_reqs` says otherwise.
 */
import type { ConnectionOptions } from 'node:tls'
import { parseUrl, redactUrl } from '../broker-url.js'
import { ConfigError } from '../errors.js'
import { tlsOptions } from './tls-options.js'

/** Where a server is and how to be let in. */
export interface AmqpTarget {
  /** The URL for people, without its password. */
  readonly shownUrl: string
  readonly host: string
  readonly port: number
  readonly username: string
  readonly password: string
  readonly vhost: string
  /** Upper-cased SASL mechanism. */
  readonly loginMethod: 'PLAIN' | 'AMQPLAIN' | 'EXTERNAL'
  /** Seconds between heartbeats that we ask for; the lower of ours and the server's counts; 0 turns them off. */
  readonly heartbeatSeconds: number
  /** 0 means what the server says. */
  readonly frameMax: number
  /** 0 means what the server says. */
  readonly channelMax: number
  readonly clientProperties: Readonly<Record<string, unknown>>
  readonly tls: ConnectionOptions | undefined
}

type Options = Readonly<Record<string, unknown>>

/** Celery's `broker_heartbeat`. */
const defaultHeartbeat = 120
/** Of one connection of a worker: declaring, tasks, remote control, single messages. */
const leastChannels = 4
/** AMQP's least `frame_max`, in bytes. */
const leastFrame = 4096

/**
 * Reads `amqp://`, `pyamqp://` and `amqps://`. `options` are the transport options; here count `ssl`, `login_method`,
 * `heartbeat`, `frame_max`, `channel_max`, `client_properties`. Throws `ConfigError`.
 */
export function amqpTarget(url: string, options: Options): AmqpTarget {
  const { scheme, hostname, port, username, password, path, query } = parseUrl(url)
  const tls = sslOptions(scheme === 'amqps', query, options['ssl'], url)
  const localhost = hostname === undefined || hostname === 'localhost'
  const properties = options['client_properties']
  return {
    shownUrl: redactUrl(url),
    // kombu does so too: a name that resolves to ::1 first would miss servers that listen on 127.0.0.1 alone
    host: localhost ? '127.0.0.1' : hostname,
    port: port ?? (tls === undefined ? 5672 : 5671),
    username: username ?? 'guest',
    password: password ?? 'guest',
    vhost: path ?? '/',
    loginMethod: loginMethod(options['login_method']),
    heartbeatSeconds: whole('heartbeat', options, defaultHeartbeat, 65_535),
    frameMax: frameMax(options),
    channelMax: channelMax(options),
    clientProperties: typeof properties === 'object' && properties !== null ? { ...properties } : {},
    // A name is sent and checked where one was given; the address of localhost is checked as localhost.
    tls: tls && { ...(localhost ? { servername: 'localhost' } : {}), ...tls },
  }
}

function whole(name: string, options: Options, standard: number, most: number): number {
  const value = options[name] ?? standard
  if (typeof value === 'number' && value >= 0 && value <= most) return Math.trunc(value)
  throw new ConfigError(`${name} must be a number from 0 to ${most}, not '${String(value)}'`)
}

/** A server answers one below AMQP's least with silence. */
function frameMax(options: Options): number {
  const bytes = whole('frame_max', options, 0, 2 ** 32 - 1)
  if (bytes === 0 || bytes >= leastFrame) return bytes
  throw new ConfigError(`frame_max must be 0 (what the server says) or at least ${leastFrame}, not ${bytes}`)
}

/** A worker that finds no channel left would try for ever. */
function channelMax(options: Options): number {
  const count = whole('channel_max', options, 0, 65_535)
  if (count === 0 || count >= leastChannels) return count
  throw new ConfigError(
    `channel_max must be 0 (what the server says) or at least ${leastChannels}, not ${count}`,
  )
}

function loginMethod(value: unknown): AmqpTarget['loginMethod'] {
  const name = String(value ?? 'PLAIN').toUpperCase()
  if (name === 'PLAIN' || name === 'AMQPLAIN' || name === 'EXTERNAL') return name
  throw new ConfigError(`broker_login_method must be PLAIN, AMQPLAIN or EXTERNAL, not '${String(value)}'`)
}

function sslOptions(
  isSecure: boolean,
  query: Readonly<Record<string, string>>,
  given: unknown,
  url: string,
): ConnectionOptions | undefined {
  const isDictionary = typeof given === 'object' && given !== null
  if (!isSecure && given !== true && !isDictionary) return undefined
  const named: Record<string, unknown> = {}
  const all = { ...(isDictionary ? given : {}), ...query } as Options
  for (const [name, value] of Object.entries(all)) {
    // py-amqp's names have no prefix (`ca_certs`), Redis's have one; people mix them
    named[name.startsWith('ssl_') || name === 'server_hostname' ? name : `ssl_${name}`] = value
  }
  const { server_hostname: servername } = named
  if (Object.hasOwn(named, 'ssl_version'))
    throw new ConfigError(`leave the TLS version of '${redactUrl(url)}' out: Node chooses the highest`)
  return { ...tlsOptions(named), ...(typeof servername === 'string' ? { servername } : {}) }
}
