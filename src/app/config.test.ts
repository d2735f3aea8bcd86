import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { ConfigError, UnknownSettingError } from '../errors.js'
import {
  allSettings,
  brokerOptions,
  brokerUrls,
  type ConfigSources,
  censored,
  changedSettings,
  fromCmdline,
  loadConfig,
} from './config.js'
import { readConfigFile, readConfigFromEnvironment } from './config-file.js'
import { parseBoolean } from './setting-value.js'
import { settingNames } from './settings.js'

const load = (sources: ConfigSources) => loadConfig(sources).settings

describe('names', () => {
  it('CFG-002 CFG-012 may be ours, those of Celery, the short ones of its constructor, or the old ones', () => {
    expect(load({ settings: { taskAcksLate: true } }).taskAcksLate).toBe(true)
    expect(load({ settings: { task_acks_late: true } }).taskAcksLate).toBe(true)
    expect(load({ config: { CELERY_ACKS_LATE: true, BROKER_URL: 'memory://' } })).toMatchObject({
      taskAcksLate: true,
      brokerUrl: 'memory://',
    })
    expect(load({ settings: { broker: 'memory://', backend: 'file:///r' } })).toMatchObject({
      brokerUrl: 'memory://',
      resultBackend: 'file:///r',
    })
  })

  it('CFG-003 of two ages in one source are refused, the majority deciding which to rename', () => {
    const newer = { task_acks_late: true, result_backend: 'x', CELERY_TASK_SERIALIZER: 'json' }
    expect(() => load({ config: newer })).toThrow(
      /Cannot mix new and old.*\n\nCELERY_TASK_SERIALIZER +-> task_serializer/,
    )
    const older = { task_acks_late: true, CELERY_TASK_SERIALIZER: 'json', BROKER_URL: 'x' }
    expect(() => load({ config: older })).toThrow(/old format:\n\ntask_acks_late +-> CELERY_ACKS_LATE/)
    const both = { task_acks_late: true, CELERY_ACKS_LATE: false, enable_utc: true }
    expect(load({ config: both }).taskAcksLate).toBe(true)
  })

  it('CFG-004 have a prefix in the settings of a Django project, where everything else is left alone', () => {
    const config = {
      CELERY_TASK_ACKS_LATE: true,
      CELERY_BROKER_URL: 'memory://',
      CELERY_ACKS_LATE: false,
      CELERY_FOO: 1,
      INSTALLED_APPS: ['a'],
      TIME_ZONE: 'Europe/Oslo',
      worker_concurrency: 3,
    }
    const loaded = loadConfig({ config, namespace: 'CELERY' })
    expect(loaded.settings).toMatchObject({
      taskAcksLate: true,
      brokerUrl: 'memory://',
      timezone: 'Europe/Oslo',
      workerConcurrency: 3,
    })
    expect(loaded.notes.map(({ name }) => name)).toEqual(['CELERY_ACKS_LATE', 'CELERY_FOO'])
  })

  it('CFG-005 that are unknown are refused with the nearest known one', () => {
    const failure = (sources: ConfigSources): unknown => {
      try {
        return load(sources)
      } catch (error) {
        return error
      }
    }
    expect(failure({ settings: { taskAckLate: true } })).toBeInstanceOf(UnknownSettingError)
    expect(String(failure({ settings: { taskAckLate: true } }))).toContain("did you mean 'taskAcksLate'?")
    expect(String(failure({ config: { broker_ulr: 'x' } }))).toContain("did you mean 'broker_url'?")
    expect(String(failure({ config: { BROKER_ULR: 'x' } }))).toContain('no setting of Celery')
    expect(String(failure({ settings: { zzzzzzzzzzzzzzzzzz: 1 } }))).toContain('docs/settings.md')
    expect(failure({ settings: { __proto__: null, toString: 1 } })).toBeInstanceOf(UnknownSettingError)
  })

  it('CFG-009 CFG-013 that Celery reads without declaring them are accepted; capitals of somebody else are noted', () => {
    const loaded = loadConfig({ config: { redis_client_name: 'me', worker_pidfile: 'w.pid', BASE_DIR: '/' } })
    expect(loaded.settings).toMatchObject({ redisClientName: 'me', workerPidfile: 'w.pid' })
    expect(loaded.notes).toEqual([
      { name: 'BASE_DIR', message: 'BASE_DIR is no setting of Celery and was left alone.' },
    ])
  })

  it('that mean something to Python alone are accepted and noted', () => {
    const { notes, settings } = loadConfig({ config: { imports: ['shop.tasks'], worker_timer: 'x:Y' } })
    expect(settings.imports).toEqual(['shop.tasks'])
    expect(notes.map(({ message }) => message)).toEqual([
      'imports has no effect here: it names Python modules to import.',
      'worker_timer has no effect here: it names a Python class.',
    ])
  })
})

describe('values', () => {
  it('must be of their type, and the error names setting, source and type but no secret', () => {
    expect(() => load({ settings: { taskAcksLate: 'no' } as never })).toThrow(
      'task_acks_late (settings.taskAcksLate) must be true or false, not "no".',
    )
    expect(() => load({ config: { worker_concurrency: 2.5 } })).toThrow('must be a whole number or null')
    expect(() => load({ config: { accept_content: 'json' } })).toThrow('must be a list of texts')
    expect(() => load({ config: { task_default_exchange_type: 'odd' } })).toThrow("'direct', 'topic'")
    expect(() => load({ config: { broker_transport_options: null } })).toThrow(ConfigError)
    expect(() => load({ config: { redis_password: 12345 } })).toThrow(/^(?!.*12345)/)
  })

  it('CFG-041 CFG-115 may be null where null says something', () => {
    expect(
      load({ settings: { brokerPoolLimit: null, resultExpires: null, resultBackend: null } }),
    ).toMatchObject({
      brokerPoolLimit: null,
      resultExpires: null,
    })
  })

  it('CFG-115 may be spans of time by their parts, and CFG-153 delivery modes by name', () => {
    expect(
      load({ settings: { resultExpires: { days: 1, hours: 2, minutes: 3, seconds: 4 } } }).resultExpires,
    ).toBe(93784)
    expect(() => load({ config: { result_expires: { fortnights: 1 } } })).toThrow(ConfigError)
    expect(load({ settings: { taskDefaultDeliveryMode: 'transient' } }).taskDefaultDeliveryMode).toBe(1)
  })

  it('are frozen, and not tied to what was given', () => {
    const options = { visibility_timeout: 1, nested: { a: [1] } }
    const settings = load({ settings: { brokerTransportOptions: options } })
    options.nested.a.push(2)
    expect(settings.brokerTransportOptions).toEqual({ visibility_timeout: 1, nested: { a: [1] } })
    expect(Object.isFrozen(settings)).toBe(true)
    expect(Object.isFrozen(settings.brokerTransportOptions.nested)).toBe(true)
  })

  it('undefined is not given', () => {
    const loaded = loadConfig({ settings: { brokerUrl: undefined, taskAcksLate: undefined } })
    expect(loaded.given.size).toBe(0)
    expect(loaded.settings.taskAcksLate).toBe(false)
  })

  it('CFG-010 reads the words of strtobool in any case', () => {
    for (const word of ['false', 'No', '0', 'OFF']) expect(parseBoolean(word)).toBe(false)
    for (const word of ['true', 'Yes', '1', 'ON']) expect(parseBoolean(word)).toBe(true)
    for (const word of ['', 'maybe', 'y', '2']) expect(() => parseBoolean(word)).toThrow('Cannot coerce')
  })
})

describe('precedence', () => {
  it('CFG-005 CFG-006 the command line wins over the environment, that over the constructor, that over a file', () => {
    const sources = {
      config: {
        task_default_queue: 'file',
        worker_concurrency: 1,
        broker_url: 'memory://file',
        task_serializer: 'yaml',
      },
      settings: { workerConcurrency: 2, brokerUrl: 'memory://code', taskDefaultQueue: 'code' },
      env: {
        CELERY_BROKER_URL: 'memory://env',
        CELERY_WORKER_CONCURRENCY: '3',
        CELERY_LOG_LEVEL: 'x',
        PATH: '/',
      },
      cmdline: ['worker.concurrency=4'],
    }
    const loaded = loadConfig(sources)
    expect(loaded.settings).toMatchObject({
      workerConcurrency: 4,
      brokerUrl: 'memory://env',
      taskDefaultQueue: 'code',
      taskSerializer: 'yaml',
    })
    expect([...loaded.given].sort()).toEqual([
      'broker_url',
      'task_default_queue',
      'task_serializer',
      'worker_concurrency',
    ])
  })

  it('CFG-006 the environment sets reading, writing and results too, and empty variables are none', () => {
    const env = {
      CELERY_BROKER_READ_URL: 'memory://r',
      CELERY_BROKER_WRITE_URL: '',
      CELERY_RESULT_BACKEND: 'file:///env',
    }
    const settings = load({ settings: { brokerUrl: 'memory://b', resultBackend: 'file:///code' }, env })
    expect(settings).toMatchObject({
      brokerReadUrl: 'memory://r',
      brokerWriteUrl: 'memory://b',
      resultBackend: 'file:///env',
    })
    expect(brokerUrls(settings, 'read')).toEqual(['memory://r'])
    expect(brokerUrls(settings, 'write')).toEqual(['memory://b'])
  })

  it('the environment is read by type: words, numbers, JSON, and lists with commas', () => {
    const env = {
      CELERY_TASK_ACKS_LATE: 'yes',
      CELERY_RESULT_BACKEND_MAX_RETRIES: 'inf',
      CELERY_WORKER_CONCURRENCY: 'none',
      CELERY_ACCEPT_CONTENT: 'json, msgpack',
      CELERY_IMPORTS: '["a"]',
      CELERY_TASK_ROUTES: '{"a.*": {"queue": "q"}}',
      CELERY_RESULT_EXPIRES: '60',
    }
    expect(load({ env })).toMatchObject({
      taskAcksLate: true,
      resultBackendMaxRetries: Number.POSITIVE_INFINITY,
      workerConcurrency: null,
      acceptContent: ['json', 'msgpack'],
      imports: ['a'],
      taskRoutes: { 'a.*': { queue: 'q' } },
      resultExpires: 60,
    })
    expect(() => load({ env: { CELERY_TASK_ACKS_LATE: 'maybe' } })).toThrow(
      'task_acks_late (CELERY_TASK_ACKS_LATE)',
    )
    expect(() => load({ env: { CELERY_TASK_QUEUES: '{' } })).toThrow('must be JSON')
  })

  it('CFG-012 the command line takes dots, casts and any case', () => {
    const given = fromCmdline([
      'worker.concurrency=3',
      'task_acks_late=off',
      'BROKER.POOL_LIMIT=(int)0',
      'broker.transport_options=(dict){"a": 1}',
      '.timezone=UTC',
    ])
    expect(Object.fromEntries(given)).toEqual({
      worker_concurrency: 3,
      task_acks_late: false,
      broker_pool_limit: 0,
      broker_transport_options: { a: 1 },
      timezone: 'UTC',
    })
    expect(() => fromCmdline(['worker.concurency=3'])).toThrow("did you mean 'worker_concurrency'?")
    expect(() => fromCmdline(['worker.concurrency'])).toThrow('write it like')
    expect(() => fromCmdline(['worker.concurrency=many'])).toThrow('must be a whole number')
  })
})

describe('fallbacks', () => {
  it('CFG-007 exchange and routing key follow the default queue, the zone that of Django', () => {
    expect(load({ settings: { taskDefaultQueue: 'jobs' } })).toMatchObject({
      taskDefaultExchange: 'jobs',
      taskDefaultRoutingKey: 'jobs',
    })
    expect(load({ config: { TIME_ZONE: 'Asia/Tokyo' } }).timezone).toBe('Asia/Tokyo')
    expect(load({ config: { TIME_ZONE: 'Asia/Tokyo', timezone: 'UTC' } }).timezone).toBe('UTC')
  })

  it('CFG-026 CFG-044 CFG-045 CFG-046 CFG-047 CFG-048 the broker may be given in parts, or not at all', () => {
    const parts = {
      brokerHost: 'rabbit',
      brokerPort: 5673,
      brokerUser: 'me',
      brokerPassword: 'p@ss',
      brokerVhost: 'v',
    }
    expect(load({ settings: parts }).brokerUrl).toBe('amqp://me:p%40ss@rabbit:5673/v')
    expect(load({ settings: { ...parts, brokerUrl: 'memory://' } }).brokerUrl).toBe('memory://')
    expect(brokerUrls(load({}), 'write')).toEqual(['amqp://'])
    expect(brokerUrls(load({ settings: { brokerUrl: ['a://x', 'b://y;c://z'] } }), 'read')).toEqual([
      'a://x',
      'b://y',
      'c://z',
    ])
  })
})

describe('showing settings', () => {
  it('CFG-011 hides secrets by name and passwords in URLs, also inside records', () => {
    const shown = censored({
      broker_url: 'redis://:hidden@h/0',
      result_backend: 'redis://u:hidden@h/1',
      redis_password: 'hidden',
      s3_secret_access_key: 'hidden',
      task_default_routing_key: 'celery',
      broker_transport_options: { sentinel_password: 'hidden', sep: ':' },
      task_acks_late: true,
    })
    expect(JSON.stringify(shown)).not.toContain('hidden')
    expect(shown).toMatchObject({
      redis_password: '********',
      task_default_routing_key: '********',
      broker_transport_options: { sep: ':' },
      task_acks_late: true,
    })
    expect(shown.broker_url).toContain('redis://:**@h')
  })

  it('shows what was changed alone, by the names of Celery', () => {
    const settings = load({ settings: { brokerUrl: 'memory://', taskAcksLate: true, resultExpires: 86400 } })
    expect(changedSettings(settings)).toEqual({ broker_url: 'memory://', task_acks_late: true })
    expect(Object.keys(allSettings(settings))).toEqual(settingNames)
  })
})

describe('files', () => {
  it('CFG-012 are JSON or YAML, and named by a variable if need be', () => {
    const folder = mkdtempSync(join(tmpdir(), 'celeriac-config-'))
    try {
      const [json, yaml, bad] = ['a.json', 'b.yaml', 'c.json'].map((name) => join(folder, name)) as [
        string,
        string,
        string,
      ]
      writeFileSync(json, '{"task_acks_late": true}')
      writeFileSync(yaml, 'task_routes:\n  "a.*": {queue: q}\n')
      writeFileSync(bad, '[1]')
      expect(load({ config: readConfigFile(json) }).taskAcksLate).toBe(true)
      expect(load({ config: readConfigFile(yaml) }).taskRoutes).toEqual({ 'a.*': { queue: 'q' } })
      expect(readConfigFromEnvironment({ SHOP: json }, 'SHOP')).toEqual({ task_acks_late: true })
      expect(() => readConfigFromEnvironment({}, 'SHOP')).toThrow('SHOP is not set')
      expect(() => readConfigFile(bad)).toThrow('holds no settings')
      expect(() => readConfigFile(join(folder, 'none.json'))).toThrow('cannot be read')
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('CFG-030 CFG-043 opens a transport with broker_use_ssl as its ssl, under what the transport options say', () => {
    const { settings } = loadConfig({ settings: { brokerUseSsl: { ssl_ca_certs: '/ca.pem' } } })
    expect(brokerOptions(settings)).toEqual({ heartbeat: 120, ssl: { ssl_ca_certs: '/ca.pem' } })
    const own = loadConfig({
      settings: { brokerUseSsl: true, brokerTransportOptions: { ssl: false, sep: '|' } },
    })
    expect(brokerOptions(own.settings)).toEqual({ heartbeat: 120, ssl: false, sep: '|' })
    expect(brokerOptions(loadConfig({}).settings)).toEqual({ heartbeat: 120 })
    const amqp = loadConfig({ settings: { brokerHeartbeat: null, brokerLoginMethod: 'AMQPLAIN' } })
    expect(brokerOptions(amqp.settings)).toEqual({ heartbeat: 0, login_method: 'AMQPLAIN' })
  })
})
