import { randomUUID } from 'node:crypto'
import { resolve } from 'node:path'
import { redactUrl } from '../broker-url.js'
import { systemClock } from '../clock.js'
import { ConfigError, UnknownSchemeError } from '../errors.js'
import { silentLogger } from '../logger.js'
import type { ResultBackend } from './backend.js'
import type { BackendOptions } from './backend-options.js'
import { DisabledBackend } from './disabled.js'
import { FilesystemResultStore } from './filesystem.js'
import { KeyValueBackend } from './key-value.js'
import { MemoryResultStore, MemoryResults } from './memory.js'
import { RedisResultStore } from './redis.js'
import { redisBackendTarget } from './redis-target.js'
import { RpcBackend } from './rpc.js'

/** The other names of `celery/app/backends.py` BACKEND_ALIASES, which no part of this version serves. */
const OTHER_CELERY_BACKENDS = new Set([
  'amqp',
  'mongodb',
  'db',
  'database',
  'elasticsearch',
  'cassandra',
  'couchbase',
  'couchdb',
  'cosmosdbsql',
  'riak',
  'consul',
  'dynamodb',
  'azureblockblob',
  'arangodb',
  's3',
  'gs',
  'django-db',
  'django-cache',
])

const DAY_SECONDS = 86_400

/**
 * The backend of a `result_backend` value: a URL, `alias+url`, or an alias alone (surface RES-029). `undefined`, an
 * empty text and `disabled` give the disabled one. `memory` lets backends of one process share their results.
 * Throws `UnknownSchemeError`, and `ConfigError` for a `file://` URL without a folder.
 */
export function openBackend(
  url: string | undefined,
  options: BackendOptions & { readonly memory?: MemoryResults | undefined },
): ResultBackend {
  const { alias, rest } = splitAlias(url ?? '')
  const clock = options.clock ?? systemClock()
  const expires = options.expires === undefined ? DAY_SECONDS : options.expires
  switch (alias) {
    case '':
    case 'disabled':
      return new DisabledBackend()
    case 'memory':
    case 'cache':
      if (alias === 'cache' && !/^memory(:\/\/|$)/i.test(rest)) break
      return new KeyValueBackend(
        new MemoryResultStore(options.memory ?? new MemoryResults(), { clock, expires }),
        options,
      )
    case 'file': {
      const store = new FilesystemResultStore(folderOf(rest), {
        clock,
        expires,
        logger: options.logger ?? silentLogger,
        uuid: options.uuid ?? randomUUID,
        fileMode: options.fileMode ?? 0o666,
      })
      return new KeyValueBackend(store, options)
    }
    case 'redis':
    case 'rediss':
    case 'sentinel':
    case 'socket': {
      const target = redisBackendTarget(rest, options.redis ?? {}, options.transportOptions ?? {})
      const store = new RedisResultStore(target, {
        clock,
        random: options.random ?? Math.random,
        logger: options.logger ?? silentLogger,
        expires,
      })
      return new KeyValueBackend(store, options)
    }
    case 'rpc':
      if (options.rpc !== undefined) return new RpcBackend(options.rpc, options)
      throw new ConfigError('The rpc:// result backend needs the broker of an app.')
  }
  const shown = `'${redactUrl(url ?? '')}'`
  const known =
    'Use redis://host/0 or file:///path/to/folder (shared with Python), rpc:// (over the broker), cache+memory:// (this process only) or disabled://.'
  if (alias === 'cache' || OTHER_CELERY_BACKENDS.has(alias)) {
    throw new UnknownSchemeError(
      `The result backend ${shown} exists in Celery, but this version of celeriac has no ${alias} backend. ${known}`,
    )
  }
  throw new UnknownSchemeError(
    `There is no result backend for ${shown}: is '${alias}' spelled correctly? ${known}`,
  )
}

/** Celery's `by_url`: the alias is the scheme, or what stands before a `+` in it. */
function splitAlias(text: string): { readonly alias: string; readonly rest: string } {
  const end = text.indexOf('://')
  const scheme = end < 0 ? text : text.slice(0, end)
  const plus = scheme.indexOf('+')
  const alias = (plus < 0 ? scheme : scheme.slice(0, plus)).toLowerCase()
  return { alias, rest: plus < 0 ? text : text.slice(plus + 1) }
}

/** Celery's `_find_path`; relative folders, which Python also takes, are made absolute once. */
function folderOf(url: string): string {
  const path = /^file:\/\/localhost\//i.test(url)
    ? url.slice('file://localhost'.length)
    : url.slice('file://'.length)
  if (/^file:\/\//i.test(url) && path !== '') return resolve(/^\/[A-Za-z]:/.test(path) ? path.slice(1) : path)
  throw new ConfigError(
    'The file result backend needs a folder: write it like file:///var/lib/app/results or file://./var/results.',
  )
}
