import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import type { Logger } from '../logger.js'
import { logStrayErrors } from './stray-errors.js'

function recording(lines: string[]): Logger {
  const ignore = (): void => {}
  const logger: Logger = {
    trace: ignore,
    debug: ignore,
    info: ignore,
    warn: ignore,
    error: ignore,
    fatal: (_fields: object, text?: string) => void lines.push(text ?? ''),
    child: () => logger,
  }
  return logger
}

describe('logStrayErrors', () => {
  it('tells of what nobody caught, whatever was thrown, and listens no longer once disposed', () => {
    const source = new EventEmitter()
    const lines: string[] = []
    const stray = logStrayErrors(source, recording(lines))
    const unreadable = new Proxy(new Error('x'), {
      get: () => {
        throw new Error('no')
      },
    })
    for (const thrown of [new TypeError('late'), null, Symbol('s'), Object.create(null), unreadable]) {
      source.emit('unhandledRejection', thrown)
      source.emit('uncaughtException', thrown)
    }
    expect(lines).toHaveLength(10)
    expect(lines[0]).toContain('TypeError: late')
    stray.dispose()
    expect(source.eventNames()).toEqual([])
  })

  it('goes on quietly when nobody reads the log any more', () => {
    const stderr = new EventEmitter()
    const stray = logStrayErrors(new EventEmitter(), recording([]), [stderr])
    expect(stderr.emit('error', new Error('EPIPE'))).toBe(true)
    stray.dispose()
    expect(stderr.eventNames()).toEqual([])
  })
})
