/**
 * Broker and backend URLs, read by kombu's rules (`kombu/utils/url.py`), and shown without their passwords.
 *
 * Rule 1: nothing here throws on a URL that only has to be shown: an unreadable one loses what looks like a password.
 * Rule 2: `filesystem://` and `file://` carry paths, not hosts; they are never lower-cased, split or unquoted.
 */
import { ConfigError } from './errors.js'

/** The parts of a URL as kombu's `url_to_parts` names them; absent or empty ones are `undefined`. */
export interface UrlParts {
  readonly scheme: string
  readonly hostname: string | undefined
  readonly port: number | undefined
  readonly username: string | undefined
  readonly password: string | undefined
  /** Without its leading slash; the virtual host of a broker. */
  readonly path: string | undefined
  readonly query: Readonly<Record<string, string>>
}

const pathSchemes = new Set(['filesystem', 'file'])

/** What stands before `://`, lower-cased; `undefined` when there is none. */
export function schemeOf(url: string): string | undefined {
  return /^([a-z][a-z0-9+.-]*):\/\//i.exec(url)?.[1]?.toLowerCase()
}

/** Splits a URL as kombu does. Throws `ConfigError` when it has no scheme or an impossible port. */
export function parseUrl(url: string): UrlParts {
  const scheme = schemeOf(url)
  if (scheme === undefined) {
    throw new ConfigError(
      `'${redactUrl(url)}' is not a URL: it has no scheme. Write it like redis://host/0 or filesystem://./var/broker.`,
    )
  }
  const rest = url.slice(scheme.length + 3)
  const [, authority = '', path = '', queryText = ''] = /^([^/?#]*)([^?#]*)(?:\?([^#]*))?/.exec(rest) ?? []
  const at = authority.lastIndexOf('@')
  const user = at < 0 ? undefined : authority.slice(0, at)
  const colon = user?.indexOf(':') ?? -1
  const [, hostname = '', portText] = /^(\[[^\]]*\]|[^:]*)(?::(.*))?$/.exec(authority.slice(at + 1)) ?? []
  const port = portText === undefined || portText === '' ? undefined : Number(portText)
  if (port !== undefined && !(Number.isInteger(port) && port >= 0 && port <= 65535)) {
    throw new ConfigError(`the port of '${redactUrl(url)}' is not a number from 0 to 65535`)
  }
  return {
    scheme,
    hostname: unquoted(hostname.replace(/^\[|\]$/g, '').toLowerCase()),
    port,
    username: user === undefined ? undefined : unquoted(colon < 0 ? user : user.slice(0, colon)),
    password: user === undefined || colon < 0 ? undefined : unquoted(user.slice(colon + 1)),
    path: unquoted(path.replace(/^\//, '')),
    query: Object.fromEntries(new URLSearchParams(queryText)),
  }
}

/**
 * A URL (or failover list) for people: the password is `**` and the query is left out, as kombu's `sanitize_url` has
 * it. Never throws; what is not a URL comes back as it is, without anything that looks like a password.
 */
export function redactUrl(url: string): string {
  if (pathSchemes.has(schemeOf(url) ?? '')) return url
  return url
    .split(/;(?=[a-z][a-z0-9+.-]*:\/\/)/i)
    .map(redactOne)
    .join(';')
}

/**
 * Kombu's failover lists: one URL, several joined by `;`, or an array of either. Blank entries are left out. A list of
 * sentinels is one broker, of which the first names database and password: it stays one entry, joined by `;`.
 */
export function failoverUrls(urls: string | readonly string[]): readonly string[] {
  const all = [urls]
    .flat()
    .flatMap((url) => url.split(';'))
    .map((url) => url.trim())
    .filter((url) => url !== '')
  const isSentinels = all.length > 1 && all.every((url) => schemeOf(url) === 'sentinel')
  return isSentinels ? [all.join(';')] : all
}

/**
 * The folder that a `filesystem://` URL names, as written (a relative one counts from the working directory);
 * `undefined` for the plain forms that Python uses (`filesystem://`, `filesystem://localhost//`). Throws `ConfigError`.
 */
export function filesystemBrokerFolder(url: string): string | undefined {
  return folderAfter('filesystem://', url)
}

/**
 * The folder of a `file://` result backend, cut from the URL as Celery's `FilesystemBackend._find_path` does:
 * `file:///abs`, `file://localhost/abs`, `file://./relative`. Throws `ConfigError` when there is none.
 */
export function fileBackendFolder(url: string): string {
  const folder = folderAfter('file://', url)
  if (folder === undefined) {
    throw new ConfigError(
      `'${url}' names no folder to keep results in; write file:///var/lib/results or file://./var/results`,
    )
  }
  return folder
}

function folderAfter(prefix: 'filesystem://' | 'file://', url: string): string | undefined {
  if (url.slice(0, prefix.length).toLowerCase() !== prefix) {
    throw new ConfigError(`'${redactUrl(url)}' does not begin with ${prefix}`)
  }
  const path = url.slice(prefix.length).replace(/^localhost(?=\/|$)/, '')
  if (path.includes('?')) {
    throw new ConfigError(`'${url}' has a query; options of ${prefix} belong in broker_transport_options`)
  }
  return /^\/*$/.test(path) ? undefined : path
}

/** Cuts at the last `@`: a password may hold one, or a slash or question mark that nobody escaped. */
function redactOne(url: string): string {
  const [, scheme = '', rest = ''] = /^([a-z][a-z0-9+.-]*:\/\/)?(.*)$/is.exec(url) ?? []
  const at = rest.lastIndexOf('@')
  const colon = rest.indexOf(':')
  const hasPassword = at >= 0 && colon >= 0 && colon < at
  const user = at < 0 ? '' : hasPassword ? `${rest.slice(0, colon)}:**@` : rest.slice(0, at + 1)
  const shown = rest.slice(at + 1).replace(/[?#].*$/s, '')
  return `${scheme}${user}${shown}${scheme !== '' && !shown.includes('/') ? '/' : ''}`
}

function unquoted(text: string): string | undefined {
  if (text === '') return undefined
  try {
    return decodeURIComponent(text)
  } catch {
    return text
  }
}
