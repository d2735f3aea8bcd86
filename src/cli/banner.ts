import { platform, release } from 'node:os'
import { styleText } from 'node:util'
import type { Banner } from '../worker/worker-options.js'
import type { LogLevel } from './log-format.js'
import { version } from './version.js'

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
  info: Banner,
  options: { readonly color: boolean; readonly level: LogLevel; readonly time: string },
): string {
  const lines = [
    ` ${info.hostname} v${version} (celeriac)`,
    '',
    ` ${platform()}-${release()} ${options.time}`,
    '',
    ' [config]',
    ` .> app:         ${info.app}`,
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
  const paint = (text: string): string =>
    options.color ? styleText('green', text, { validateStream: false }) : text
  return [
    '',
    ...lines.map((line, i) => `${paint((art[i] ?? '').padEnd(15))}${line}`.trimEnd()),
    ...queues,
    ...(showsTasks ? ['', '[tasks]', ...tasks.map((name) => `  . ${name}`), ''] : ['']),
  ].join('\n')
}
