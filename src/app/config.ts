/**
 * Settings from all their sources, merged once and frozen (`celery/app/utils.py` Settings and detect_settings,
 * `celery/loaders/base.py`).
 *
 * Rule 1: later wins: defaults, `config`, `settings` (the constructor's), the environment, the command line.
 * Rule 2: an unknown name is refused with the nearest known one. In a dump of somebody else's settings (a namespace, or
 *         a name in capitals that is no old spelling) it is only noted: Django has names of its own.
 * Rule 3: what means something to Python alone is accepted and noted.
 */
import { failoverUrls, redactUrl } from '../broker-url.js'
import { ConfigError, UnknownSettingError } from '../errors.js'
import { checkedValue, valueFromText } from './setting-value.js'
import {
  camelCase,
  oldNames,
  type SettingName,
  type Settings,
  type SettingsInput,
  settingName,
  settingNames,
  settingRow,
} from './settings.js'

type Given = Readonly<Record<string, unknown>>

/** What may be given to an app besides its settings: Celery's own short names. */
export type ConstructorSettings = SettingsInput & {
  /** `brokerUrl`. */
  readonly broker?: string | readonly string[] | undefined
  /** `resultBackend`. */
  readonly backend?: string | undefined
}

/** Where settings come from. */
export interface ConfigSources {
  /** Constructor options: our names, Celery's or its old ones. */
  readonly settings?: ConstructorSettings | Given | undefined
  /** `config_from_object`: a record, such as the contents of a file (`readConfigFile`) or a dump of a Python app. */
  readonly config?: Given | undefined
  /** Prefix of the names in `config`, `CELERY` in Django projects (surface CFG-004). */
  readonly namespace?: string | undefined
  /** `process.env` or the like; nothing is read when left out. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** `worker.concurrency=3` and so on (surface CFG-012). */
  readonly cmdline?: readonly string[] | undefined
}

/** Something about the configuration that is worth a log line. */
export interface ConfigNote {
  readonly name: string
  readonly message: string
}

/** What `loadConfig` gives. */
export interface LoadedConfig {
  readonly settings: Settings
  readonly notes: readonly ConfigNote[]
  /** Settings that some source gave, by Celery's names. */
  readonly given: ReadonlySet<SettingName>
}

/** Merges and checks. Throws `UnknownSettingError`, and `ConfigError` naming setting, source and expected type. */
export function loadConfig(sources: ConfigSources = {}): LoadedConfig {
  const notes: ConfigNote[] = []
  const env = sources.env ?? {}
  const values = new Map<SettingName, unknown>([
    ...fromRecord(sources.config ?? {}, 'config', notes, sources.namespace),
    ...fromRecord(withShortNames(sources.settings ?? {}), 'settings', notes),
    ...fromEnvironment(env),
    ...fromCmdline(sources.cmdline ?? []),
  ])
  for (const name of values.keys()) {
    const { python } = settingRow(name)
    if (python !== undefined) notes.push({ name, message: `${name} has no effect here: it ${python}.` })
  }
  return { settings: completed(values), notes, given: new Set(values.keys()) }
}

/** Arguments like `worker.concurrency=3`, `broker.use_ssl=(dict){...}` or `task_acks_late=yes`. Throws `ConfigError`. */
export function fromCmdline(
  argv: readonly string[],
  namespace = 'celery',
): ReadonlyMap<SettingName, unknown> {
  return new Map(
    argv.map((argument) => {
      const equals = argument.indexOf('=')
      if (equals < 1)
        throw new ConfigError(`'${argument}' is not a setting: write it like worker.concurrency=3`)
      const key = argument.slice(0, equals).toLowerCase().replaceAll('.', '_')
      const asked = key.startsWith('_') ? `${namespace}${key}` : key
      const name = settingName(asked.replace(/^celery_/, '')) ?? settingName(asked)
      if (name === undefined) throw unknown(asked, 'command line')
      const text = argument.slice(equals + 1)
      const cast = /^\((\w+)\)/.exec(text)
      if (cast === null) return [name, valueFromText(name, text, 'command line')]
      return [
        name,
        checkedValue(name, castText(cast[1] as string, text.slice(cast[0].length), name), 'command line'),
      ]
    }),
  )
}

/** `CELERY_TASK_ACKS_LATE` and so on; empty ones are not given, names that are no settings are left alone. */
export function fromEnvironment(
  env: Readonly<Record<string, string | undefined>>,
): ReadonlyMap<SettingName, unknown> {
  const values = new Map<SettingName, unknown>()
  for (const name of settingNames) {
    const variable = `CELERY_${name.toUpperCase()}`
    const text = env[variable]
    if (text) values.set(name, valueFromText(name, text, variable))
  }
  return values
}

/** Broker URLs to try in turn, for consuming or publishing; `amqp://` when none is set, as in Celery. */
export function brokerUrls(
  settings: Pick<Settings, 'brokerUrl' | 'brokerReadUrl' | 'brokerWriteUrl'>,
  direction: 'read' | 'write',
): readonly string[] {
  const own = direction === 'read' ? settings.brokerReadUrl : settings.brokerWriteUrl
  const urls = failoverUrls(own ?? settings.brokerUrl ?? [])
  return urls.length > 0 ? urls : ['amqp://']
}

/** What a broker's transport is opened with: `broker_transport_options`, and `broker_use_ssl` as kombu's `ssl`. */
export function brokerOptions(
  settings: Pick<
    Settings,
    'brokerTransportOptions' | 'brokerUseSsl' | 'brokerHeartbeat' | 'brokerLoginMethod'
  >,
): Readonly<Record<string, unknown>> {
  const { brokerUseSsl, brokerHeartbeat, brokerLoginMethod, brokerTransportOptions } = settings
  return {
    ...(brokerUseSsl ? { ssl: brokerUseSsl } : {}),
    heartbeat: brokerHeartbeat ?? 0,
    ...(brokerLoginMethod === null ? {} : { login_method: brokerLoginMethod }),
    ...brokerTransportOptions,
  }
}

/** The settings that differ from their defaults, by Celery's names (`report`, `inspect conf`). */
export function changedSettings(settings: Settings): Record<string, unknown> {
  const all = allSettings(settings)
  const fallbacks: Given = {
    task_default_exchange: settings.taskDefaultQueue,
    task_default_routing_key: settings.taskDefaultQueue,
    broker_read_url: settings.brokerUrl,
    broker_write_url: settings.brokerUrl,
  }
  return Object.fromEntries(
    Object.entries(all).filter(([name, value]) => {
      const standard = fallbacks[name] ?? settingRow(name as SettingName).default
      return value !== standard && JSON.stringify(value) !== JSON.stringify(standard)
    }),
  )
}

/** All settings by Celery's names. */
export function allSettings(settings: Settings): Record<string, unknown> {
  const byKey = settings as unknown as Given
  return Object.fromEntries(settingNames.map((name) => [name, byKey[camelCase(name)]]))
}

const hidden = /API|TOKEN|KEY|SECRET|PASS|PROFANITIES_LIST|SIGNATURE|DATABASE|BEAT_DBURI/i

/** Celery's `filter_hidden_settings` (surface CFG-011): secrets by name, and the passwords in URLs. */
export function censored(settings: Given): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(settings).map(([name, value]) => [name, censoredValue(name, value)]),
  )
}

function censoredValue(name: string, value: unknown): unknown {
  if (isRecord(value)) return censored(value)
  if (hidden.test(name)) return '********'
  if (/broker_(read_|write_)?url|backend/i.test(name)) {
    if (typeof value === 'string') return redactUrl(value)
    if (Array.isArray(value)) return value.map((item) => (typeof item === 'string' ? redactUrl(item) : item))
  }
  return value
}

/** One source of names and values, in any spelling; checks it, and Celery's rule against mixing old and new names. */
function fromRecord(
  given: Given,
  source: string,
  notes: ConfigNote[],
  namespace?: string,
): ReadonlyMap<SettingName, unknown> {
  const entries = Object.entries(given).filter(([, value]) => value !== undefined)
  const values = new Map<SettingName, unknown>()
  const old = new Map<SettingName, string>()
  const current = new Map<SettingName, string>()
  const prefixed = new Map<SettingName, unknown>()
  const prefix = namespace === undefined ? undefined : `${namespace.replace(/_+$/, '')}_`
  let djangoZone: unknown
  for (const [key, value] of entries) {
    if (prefix !== undefined && key.startsWith(prefix)) {
      const name = settingName(key.slice(prefix.length).toLowerCase())
      if (name !== undefined) prefixed.set(name, checkedValue(name, value, `${source}.${key}`))
      else
        notes.push({
          name: key,
          message: `${key} is no setting of Celery${nearest(key.slice(prefix.length))}.`,
        })
      continue
    }
    if (key === 'TIME_ZONE') {
      djangoZone = value
      continue
    }
    const name = settingName(key)
    const older = name === undefined && prefix === undefined ? byOldName.get(key) : undefined
    if (name !== undefined) current.set(name, key)
    else if (older !== undefined) old.set(older, key)
    else {
      refuseOrNote(key, source, notes, prefix)
      continue
    }
    const known = (name ?? older) as SettingName
    if (older === undefined || !values.has(known))
      values.set(known, checkedValue(known, value, `${source}.${key}`))
  }
  if (prefix === undefined) refuseMixture(old, current)
  for (const [name, value] of prefixed) values.set(name, value)
  if (djangoZone !== undefined && (values.get('timezone') ?? null) === null) {
    values.set('timezone', checkedValue('timezone', djangoZone, `${source}.TIME_ZONE`))
  }
  return values
}

const byOldName: ReadonlyMap<string, SettingName> = new Map(
  settingNames.flatMap((name) => oldNames(name).map((old) => [old, name] as const)),
)

function refuseOrNote(key: string, source: string, notes: ConfigNote[], prefix: string | undefined): void {
  const isConstant = /^[A-Z0-9_]+$/.test(key)
  if (prefix !== undefined) return
  if (isConstant && !/^(CELERY|CELERYD|CELERYBEAT|BROKER)_/.test(key)) {
    notes.push({ name: key, message: `${key} is no setting of Celery and was left alone.` })
    return
  }
  throw unknown(key, source)
}

/** Celery's `detect_settings`: the majority decides which spelling is right (surface CFG-003). */
function refuseMixture(
  old: ReadonlyMap<SettingName, string>,
  current: ReadonlyMap<SettingName, string>,
): void {
  const oldIsRight = old.size > current.size
  const [left, others] = oldIsRight ? [current, old] : [old, current]
  const wrong = [...left].filter(([name]) => !others.has(name))
  if (wrong.length === 0 || others.size === 0) return
  const renames = wrong
    .map(([name, key]) => `${key.padEnd(36)} -> ${oldIsRight ? oldNames(name)[0] : name}`)
    .sort()
    .join('\n')
  throw new ConfigError(
    oldIsRight
      ? `Cannot mix new setting names with old setting names, please rename the following settings to use the old format:\n\n${renames}\n\nOr change all of the settings to use the new format :)`
      : `Cannot mix new and old setting keys, please rename the following settings to the new format:\n\n${renames}`,
  )
}

function withShortNames(given: Given): Given {
  const { broker, backend, ...rest } = given
  return {
    ...(broker === undefined ? {} : { brokerUrl: broker }),
    ...(backend === undefined ? {} : { resultBackend: backend }),
    ...rest,
  }
}

/** Defaults and fallbacks (surface CFG-006, CFG-007) around what was given; frozen throughout. */
function completed(values: ReadonlyMap<SettingName, unknown>): Settings {
  const value = (name: SettingName): unknown =>
    values.has(name) ? values.get(name) : settingRow(name).default
  const all = new Map(settingNames.map((name) => [name, value(name)]))
  const url = value('broker_url') ?? urlFromParts(value)
  all.set('broker_url', url)
  all.set('broker_read_url', value('broker_read_url') ?? url)
  all.set('broker_write_url', value('broker_write_url') ?? url)
  const queue = value('task_default_queue')
  all.set('task_default_exchange', value('task_default_exchange') ?? queue)
  all.set('task_default_routing_key', value('task_default_routing_key') ?? queue)
  return Object.freeze(
    Object.fromEntries([...all].map(([name, item]) => [camelCase(name), frozen(item)])),
  ) as unknown as Settings
}

/** `broker_host` and its companions, when no URL is given; kombu takes a whole URL as host too. */
function urlFromParts(value: (name: SettingName) => unknown): string | null {
  const host = value('broker_host') as string | null
  if (host === null || host.includes('://')) return host
  const text = (name: SettingName): string => encodeURIComponent((value(name) as string | null) ?? '')
  const user = text('broker_user')
  const password = text('broker_password')
  const login = user || password ? `${user}${password ? `:${password}` : ''}@` : ''
  const port = value('broker_port') as number | null
  const scheme = (value('broker_transport') as string | null) ?? 'amqp'
  return `${scheme}://${login}${host}${port ? `:${port}` : ''}/${text('broker_vhost')}`
}

/** Plain data is copied and frozen; functions, patterns and objects with a class are the user's own. */
function frozen(value: unknown): unknown {
  if (Array.isArray(value)) return Object.freeze(value.map(frozen))
  if (!isRecord(value) || ![Object.prototype, null].includes(Object.getPrototypeOf(value))) return value
  return Object.freeze(Object.fromEntries(Object.entries(value).map(([key, item]) => [key, frozen(item)])))
}

function castText(type: string, text: string, name: SettingName): unknown {
  switch (type) {
    case 'int':
    case 'float':
      return Number(text)
    case 'bool':
      return valueFromText(name, text, 'command line')
    case 'json':
    case 'dict':
    case 'list':
    case 'tuple':
      try {
        return JSON.parse(text)
      } catch (cause) {
        throw new ConfigError(
          `${name} (command line) must be JSON: ${cause instanceof Error ? cause.message : ''}`,
          {
            cause,
          },
        )
      }
    case 'string':
    case 'str':
    case 'any':
      return text
    default:
      throw new ConfigError(`${name}: (${type}) is no type; use int, float, bool, string, json, list or dict`)
  }
}

function unknown(name: string, source: string): UnknownSettingError {
  return new UnknownSettingError(`'${name}' (${source}) is no setting of Celery${nearest(name)}.`)
}

/** `; did you mean ...?`, where something is near enough. */
function nearest(asked: string): string {
  const isCamel = /[a-z][A-Z]/.test(asked)
  const wanted = asked.toLowerCase()
  const candidates = settingNames.map((name) => (isCamel ? camelCase(name) : name))
  let best: string | undefined
  let distance = Math.max(3, Math.ceil(wanted.length / 3))
  for (const candidate of candidates) {
    const there = editDistance(wanted, candidate.toLowerCase())
    if (there < distance) [best, distance] = [candidate, there]
  }
  return best === undefined ? '; docs/settings.md lists them all' : `; did you mean '${best}'?`
}

/** Levenshtein's. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i += 1) {
    const next = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const swap = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(swap, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

function isRecord(value: unknown): value is Given {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
