import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough } from 'node:stream'
import { describe, expect, it } from 'vitest'
import { App } from '../app/app.js'
import { asctime, createLogger, formatLine, type LogOptions } from './log-format.js'
import { setUpLogging } from './logging.js'

/** A stream as standard error is one, and what was written to it. */
function errors(isTTY: boolean): { readonly stderr: NodeJS.WriteStream; text(): string } {
  const stream = new PassThrough()
  const stderr = Object.assign(stream, { isTTY }) as unknown as NodeJS.WriteStream
  return { stderr, text: () => String(stream.read() ?? '') }
}

const options: Omit<LogOptions, 'stderr'> = { level: 'INFO', format: 'auto', color: false }
const time = new Date(2026, 0, 2, 3, 4, 5, 6).getTime()

describe('log lines', () => {
  it('WRK-097 WRK-099 show the time and level as Celery does', () => {
    expect(asctime(time)).toBe('2026-01-02 03:04:05,006')
    expect(formatLine({ level: 30, time, msg: 'mingle: all alone' }, false)).toBe(
      '[2026-01-02 03:04:05,006: INFO/MainProcess] mingle: all alone',
    )
    const levels = [20, 40, 50, 60].map((level) => formatLine({ level, time, msg: '' }, false).slice(26, 34))
    expect(levels).toEqual(['DEBUG/Ma', 'WARNING/', 'ERROR/Ma', 'CRITICAL'])
  })

  it("WRK-096 head what a task logs with its name and id, and not the worker's own lines about it", () => {
    const task = { task_name: 'shop.add', task_id: 'id-1' }
    expect(formatLine({ level: 30, time, msg: 'adding', ...task }, false)).toContain(
      '] shop.add[id-1]: adding',
    )
    expect(formatLine({ level: 30, time, msg: 'adding', task_name: 'shop.add' }, false)).toContain(
      '] shop.add[???]: adding',
    )
    const own = formatLine({ level: 30, time, msg: 'Task shop.add[id-1] received', ...task }, false)
    expect(own).toMatch(/\] Task shop\.add\[id-1\] received$/)
  })

  it.skipIf(!existsSync('/dev/full'))('go to standard error when the log file takes no more', () => {
    const { stderr, text } = errors(false)
    for (const format of ['text', 'json'] as const) {
      const logger = createLogger({ ...options, format, file: '/dev/full', stderr })
      logger.info({}, `first ${format}`)
      logger.info({}, `second ${format}`)
    }
    const written = text()
    for (const part of ['first text', 'second text', 'first json', 'second json']) {
      expect(written).toContain(part)
    }
  })

  it('put a traceback below', () => {
    const err = { stack: 'RangeError: no\n    at here', message: 'no' }
    expect(formatLine({ level: 50, time, msg: 'failed', err }, false)).toMatch(
      /failed\nRangeError: no\n {4}at here$/,
    )
  })

  it('WRK-098 have the colours of their levels', () => {
    const paint = (level: number): string | undefined =>
      /^\u001b\[(\d+)m/.exec(formatLine({ level, time, msg: 'x' }, true))?.[1]
    expect([20, 30, 40, 50, 60].map(paint)).toEqual(['34', undefined, '33', '31', '35'])
  })

  it('WRK-098 are text on a terminal and JSON otherwise, on standard error', () => {
    const terminal = errors(true)
    createLogger({ ...options, stderr: terminal.stderr }).info({}, 'hello')
    expect(terminal.text()).toMatch(/INFO\/MainProcess\] hello\n$/)
    const pipe = errors(false)
    const logger = createLogger({ ...options, stderr: pipe.stderr })
    logger.debug({}, 'too quiet')
    logger.child({ task_id: 'id-1' }).warn({ data: 5 }, 'hello')
    expect(JSON.parse(pipe.text())).toMatchObject({ level: 'warn', task_id: 'id-1', data: 5, msg: 'hello' })
  })

  it('CLI-030 WRK-098 go to a file without colours, and add to what it has', () => {
    const folder = mkdtempSync(join(tmpdir(), 'celeriac-log-'))
    try {
      const file = join(folder, 'logs', 'worker.log')
      const { stderr, text } = errors(true)
      for (const line of ['one', 'two']) {
        createLogger({ ...options, color: true, file, stderr }).error({}, line)
      }
      expect(readFileSync(file, 'utf8')).toMatch(/^\[[^\u001b]*ERROR\/MainProcess\] one\n\[.*\] two\n$/)
      expect(text()).toBe('')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })

  it('WRK-101 carry the facts of a run as fields', async () => {
    const { stderr, text } = errors(false)
    await using app = new App('shop', { env: {} })
    app.useLogger(createLogger({ ...options, stderr }))
    const add = app.task('shop.add', (x: number, y: number) => x + y)
    await add.apply({ args: [2, 3], taskId: 'id-1' })
    expect(JSON.parse(text())).toMatchObject({
      task_id: 'id-1',
      task_name: 'shop.add',
      args: '[2, 3]',
      kwargs: '{}',
      return_value: '5',
      runtime: expect.any(Number),
    })
  })
})

describe('the log of a command', () => {
  it('SIG-026 SIG-027 tells of its logger, and a receiver may give the app another', async () => {
    const { stderr, text } = errors(true)
    await using app = new App('shop', { env: {} })
    const told: unknown[] = []
    const { afterSetupLogger, afterSetupTaskLogger } = app.signals
    for (const signal of [afterSetupLogger, afterSetupTaskLogger]) {
      signal.connect(({ signal: name, loglevel, logfile, format, colorize }) =>
        told.push([name, loglevel, logfile, format, colorize]),
      )
    }
    const logger = await setUpLogging(app, { ...options, stderr })
    logger.info({}, 'by the command')
    expect(text()).toMatch(/by the command\n$/)
    expect(told).toEqual([
      ['after_setup_logger', 'INFO', undefined, 'auto', false],
      ['after_setup_task_logger', 'INFO', undefined, 'auto', false],
    ])
    const other = errors(true)
    afterSetupLogger.connect(() => app.useLogger(createLogger({ ...options, stderr: other.stderr })))
    const second = await setUpLogging(app, { ...options, stderr })
    second.info({}, 'by the app')
    expect(text()).toBe('')
    expect(other.text()).toMatch(/by the app\n$/)
  })

  it("SIG-025 is the app's own where the app sets it up", async () => {
    const command = errors(true)
    const own = errors(true)
    await using app = new App('shop', { env: {} })
    const told: unknown[] = []
    app.signals.setupLogging.connect(({ loglevel, colorize }) => {
      told.push([loglevel, colorize])
      app.useLogger(createLogger({ ...options, stderr: own.stderr }))
    })
    app.signals.afterSetupLogger.connect(() => told.push('after'))
    const logger = await setUpLogging(app, { ...options, stderr: command.stderr })
    logger.info({}, 'hello')
    expect(told).toEqual([['INFO', false]])
    expect(own.text()).toMatch(/hello\n$/)
    expect(command.text()).toBe('')
  })
})
