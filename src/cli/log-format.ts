/** Log lines as Celery users know them on a terminal, JSON otherwise (surface WRK-096 to WRK-101, `celery/app/log.py`). */
import { mkdirSync, openSync, writeSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { styleText } from 'node:util'
import pino from 'pino'
import type { Logger } from '../logger.js'

/** Celery's level names and pino's. */
export const logLevels = {
  DEBUG: 'debug',
  INFO: 'info',
  WARNING: 'warn',
  WARN: 'warn',
  ERROR: 'error',
  CRITICAL: 'fatal',
  FATAL: 'fatal',
} as const

/** A level name of Celery's, in any case. */
export type LogLevel = keyof typeof logLevels

const celeryNames: Readonly<Record<number, string>> = {
  10: 'DEBUG',
  20: 'DEBUG',
  30: 'INFO',
  40: 'WARNING',
  50: 'ERROR',
  60: 'CRITICAL',
}
const colors: Readonly<Record<string, 'blue' | 'yellow' | 'red' | 'magenta'>> = {
  DEBUG: 'blue',
  WARNING: 'yellow',
  ERROR: 'red',
  CRITICAL: 'magenta',
}

interface LogRecord {
  readonly level: number
  readonly time: number
  readonly msg?: string
  readonly task_id?: string
  readonly task_name?: string
  readonly err?: { readonly stack?: string; readonly message?: string }
  readonly traceback?: string
}

/** `YYYY-MM-DD HH:MM:SS,mmm` in local time. */
export function asctime(time: number): string {
  const date = new Date(time)
  const pad = (n: number, width = 2): string => String(n).padStart(width, '0')
  const day = `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}`
  return `${day} ${pad(date.getHours())}:${pad(date.getMinutes())}:${pad(date.getSeconds())},${pad(date.getMilliseconds(), 3)}`
}

/**
 * One record as `[asctime: LEVEL/MainProcess] message`, with the stack below it. What a task logs itself is headed by
 * its name and id; the worker's own lines about a task say `Task name[id]` already.
 */
export function formatLine(record: LogRecord, color: boolean): string {
  const level = celeryNames[record.level] ?? 'INFO'
  const task =
    record.task_name === undefined || record.msg?.startsWith('Task ')
      ? ''
      : `${record.task_name}[${record.task_id ?? '???'}]: `
  const stack = record.traceback ?? record.err?.stack ?? record.err?.message
  const text = `[${asctime(record.time)}: ${level}/MainProcess] ${task}${record.msg ?? ''}${stack === undefined ? '' : `\n${stack}`}`
  const paint = colors[level]
  // Whoever asked for colours has looked at the stream; styleText would look at standard output.
  return color && paint !== undefined ? styleText(paint, text, { validateStream: false }) : text
}

/** How a command logs. */
export interface LogOptions {
  readonly level: LogLevel
  /** `text` is Celery's form, `json` is pino's; `auto` is text on a terminal. */
  readonly format: 'auto' | 'text' | 'json'
  readonly color: boolean
  /** A file to append to; default standard error. */
  readonly file?: string
  readonly stderr: NodeJS.WriteStream
}

/** The logger of a command. */
export function createLogger(options: LogOptions): Logger {
  const { level, format, color, file, stderr } = options
  const target = file === undefined ? stderr : logFile(file, stderr)
  const isText = format === 'text' || (format === 'auto' && (file !== undefined || stderr.isTTY))
  const config = { level: logLevels[level], base: null }
  if (!isText) {
    return pino({ ...config, formatters: { level: (label: string) => ({ level: label }) } }, target)
  }
  const paint = color && file === undefined
  return pino(config, {
    write: (line: string) => void target.write(`${formatLine(JSON.parse(line) as LogRecord, paint)}\n`),
  })
}

/** A full disk costs log lines, never a task: what the file does not take goes to standard error. */
function logFile(file: string, stderr: NodeJS.WriteStream): { write(line: string): void } {
  mkdirSync(dirname(resolve(file)), { recursive: true })
  const descriptor = openSync(file, 'a')
  return {
    write(line) {
      try {
        writeSync(descriptor, line)
      } catch {
        stderr.write(line)
      }
    },
  }
}
