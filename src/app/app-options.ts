import type { CodecOptions } from '../../protocol/serializers.js'
import type { MemoryResults } from '../backend/memory.js'
import type { Clock } from '../clock.js'
import type { Logger } from '../logger.js'
import type { Transport } from '../transport/transport.js'
import type { AnnotationEntry } from './annotations.js'
import type { ConstructorSettings } from './config.js'

/** The parts of an app that are no settings; each has a default. */
export interface AppParts {
  /** Default logs nothing; any pino logger fits. */
  readonly logger: Logger
  /** Default the machine's clock. */
  readonly clock: Clock
  /** 0 <= n < 1, for jitter and shuffling; default `Math.random`. */
  readonly random: () => number
  /** A UUID each call, for tasks and replies; default `crypto.randomUUID`. */
  readonly newId: () => string
  /** Where `CELERY_BROKER_URL` and the like are looked up; default the process's environment. */
  readonly env: Readonly<Record<string, string | undefined>>
  /** Further settings by any of Celery's spellings, or a JSON file of them (a dump of the Python app's settings). */
  readonly config: Readonly<Record<string, unknown>> | string
  /** Prefix of the names in `config`: `CELERY` for the settings of a Django project (surface CFG-004). */
  readonly namespace: string
  /** Types of your own for JSON bodies, and serializers of your own. */
  readonly types: CodecOptions['types']
  readonly serializers: CodecOptions['serializers']
  /** Most bytes of a body after decompression; default 256 MiB. */
  readonly maxBodyBytes: number
  /** Finds the transport of a broker URL; default by its scheme. */
  readonly openTransport: (url: string) => Transport
  /** Shares results of `cache+memory://` with other apps of this process; default the app keeps its own. */
  readonly memoryResults: MemoryResults
  /** This process and machine in `origin` headers; default `gen<pid>@<host>`. */
  readonly origin: string
}

/** What `new Celery(main, options)` takes: settings in camelCase, and parts. */
export type AppOptions = Omit<ConstructorSettings, 'taskAnnotations'> & {
  /** Changes to the options of tasks, by task name or `*` (surface TSK-030). */
  readonly taskAnnotations?: AnnotationEntry | readonly AnnotationEntry[] | null
} & { readonly [P in keyof AppParts]?: AppParts[P] | undefined }

/** The options that are parts and not settings. */
export const partNames: ReadonlySet<string> = new Set(
  Object.keys({
    logger: true,
    clock: true,
    random: true,
    newId: true,
    env: true,
    config: true,
    namespace: true,
    types: true,
    serializers: true,
    maxBodyBytes: true,
    openTransport: true,
    memoryResults: true,
    origin: true,
  } satisfies { [P in keyof AppParts]: true }),
)
