import { describe, expect, it } from 'vitest'
import { silentLogger } from '../logger.js'
import { Celery } from './celery.js'
import { tellLongTasks } from './long-tasks.js'

/** What a worker of this app would be told, as `[level, text]`. */
function told(
  settings: object,
  tasks: Readonly<Record<string, object>>,
  limits: { readonly timeLimit?: number; readonly softTimeLimit?: number } = {},
): string[] {
  const app = new Celery('long', { brokerUrl: 'amqp://127.0.0.1', ...settings })
  for (const [name, options] of Object.entries(tasks)) app.task(name, options, () => {})
  const lines: string[] = []
  const note = (level: string) => (_fields: object, text: string) => void lines.push(`${level}: ${text}`)
  tellLongTasks({
    app,
    queues: [...app.queues.all.values()],
    timeLimit: limits.timeLimit,
    softTimeLimit: limits.softTimeLimit,
    logger: { ...silentLogger, info: note('info'), warn: note('warn') },
  })
  return lines
}

describe('tellLongTasks', () => {
  it('warns of late-acknowledged tasks that may outlast the consumer_timeout of RabbitMQ', () => {
    const lines = told(
      {},
      {
        report: { acksLate: true, timeLimit: 7200 },
        early: { timeLimit: 7200 },
        short: { acksLate: true, timeLimit: 60 },
        soft: { acksLate: true, softTimeLimit: 1800 },
      },
    )
    expect(lines).toEqual([
      expect.stringMatching(/^warn: .*consumer_timeout \(1800 s.*: report \(7200 s\), soft/),
    ])
    expect(lines[0]).not.toMatch(/early|short/)
  })

  it('tells of those without a limit quietly, and of no more than a line bears', () => {
    const tasks = Object.fromEntries(Array.from({ length: 13 }, (_, n) => [`task${n}`, {}]))
    const lines = told({ taskAcksLate: true }, tasks)
    expect(lines).toEqual([expect.stringMatching(/^info: .* task9 and 3 more\.$/)])
    expect(lines[0]).not.toContain('celery.')
  })

  it('knows the limits of the worker, and a queue that says another timeout', () => {
    const late = { report: { acksLate: true } }
    expect(told({}, late, { timeLimit: 60 })).toEqual([])
    expect(told({}, late, { softTimeLimit: 3600 })).toEqual([expect.stringMatching(/^warn/)])
    const taskQueues = { celery: { queueArguments: { 'x-consumer-timeout': 7_200_000 } } }
    expect(told({ taskQueues }, late, { timeLimit: 3600 })).toEqual([])
    expect(told({ taskQueues }, late, { timeLimit: 7200 })).toEqual([expect.stringMatching(/7200 s, unless/)])
  })

  it('has nothing to tell of other brokers, or of tasks that are acknowledged when they start', () => {
    expect(told({ brokerUrl: 'redis://127.0.0.1' }, { report: { acksLate: true, timeLimit: 7200 } })).toEqual(
      [],
    )
    expect(told({}, { report: {}, other: { timeLimit: 7200 } })).toEqual([])
  })
})
