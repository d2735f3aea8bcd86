import { platform, release } from 'node:os'
import { styleText } from 'node:util'
import type { LogLevel } from './log-format.js'
import { version } from './version.js'

/** What a worker says of itself at start. */
export interface BannerInfo {
  readonly hostname: string
  /** URLs without passwords. */
  readonly transport: string
  readonly results: string
  readonly concurrency: number
  readonly pool: string
  readonly queues: readonly {
    readonly name: string
    readonly exchange: string
    readonly exchangeType: string
    readonly routingKey: string
  }[]
  readonly tasks: readonly string[]
}

const art = [
  ' --------------',
  '--- ***** -----',
  '-- ******* ----',
  '- *** --- * ---',
  '- ** ----------',
  '- ** ----------',
  '- ** ----------',
  '- ** ----------',
  '- *** --- * ---',
  '-- ******* ----',
  '--- ***** -----',
  ' --------------',
]

/**
 * The banner of a worker, as Celery users know it (surface WRK-102, `celery/apps/worker.py`). Tasks are listed at INFO
 * and below, the built-in ones at DEBUG.
 */
export function bannerText(
  info: BannerInfo,
  options: { readonly app: string; readonly color: boolean; readonly level: LogLevel; readonly time: string },
): string {
  const lines = [
    ` ${info.hostname} v${version} (celeriac)`,
    '',
    ` ${platform()}-${release()} ${options.time}`,
    '',
    ' [config]',
    ` .> app:         ${options.app}`,
    ` .> transport:   ${info.transport}`,
    ` .> results:     ${info.results}`,
    ` .> concurrency: ${info.concurrency} (${info.pool})`,
    ' .> task events: OFF',
    '',
    ' [queues]',
  ]
  const indent = ' '.repeat(15)
  const queues = info.queues.map(
    (queue) =>
      `${indent} .> ${queue.name.padEnd(16)} exchange=${queue.exchange}(${queue.exchangeType}) key=${queue.routingKey}`,
  )
  const showsTasks = options.level === 'INFO' || options.level === 'DEBUG'
  const tasks = info.tasks
    .filter((name) => options.level === 'DEBUG' || !name.startsWith('celery.'))
    .toSorted()
  const paint = (text: string): string => (options.color ? styleText('green', text) : text)
  return [
    '',
    ...lines.map((line, i) => `${paint((art[i] ?? '').padEnd(15))}${line}`.trimEnd()),
    ...queues,
    ...(showsTasks ? ['', '[tasks]', ...tasks.map((name) => `  . ${name}`), ''] : ['']),
  ].join('\n')
}
