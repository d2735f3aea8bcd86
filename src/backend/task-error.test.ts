import { describe, expect, it } from 'vitest'
import { RemoteTaskError } from '../errors.js'
import { metaOf } from './backend.conformance.js'
import { toTaskError } from './task-error.js'

const stored = (type: string, module: string | undefined, ...args: unknown[]): object => ({
  type,
  module,
  args,
  traceback: undefined,
})

describe('toTaskError', () => {
  it.each([
    ['REVOKED', stored('TaskRevokedError', 'celery.exceptions', 'expired'), 'TASK_REVOKED'],
    ['REVOKED', stored('Terminated', 'billiard.exceptions', '15'), 'TASK_REVOKED'],
    ['FAILURE', stored('TimeLimitExceeded', 'billiard.exceptions', 30), 'TIME_LIMIT_EXCEEDED'],
    ['FAILURE', stored('WorkerLostError', 'billiard.exceptions', 'lost'), 'WORKER_LOST'],
    ['FAILURE', stored('ChordError', 'celery.exceptions', 'Dependency x raised'), 'CHORD'],
    ['FAILURE', stored('ChordError', undefined, 'x'), 'CHORD'],
    ['FAILURE', stored('ChordError', 'my.app', 'not Celery’s'), 'REMOTE_TASK'],
    ['FAILURE', stored('Outer.Inner', 'my.app', 1), 'REMOTE_TASK'],
  ])('RES-016 state %s with %j becomes %s', (state, result, code) => {
    const error = toTaskError(metaOf('t', state, result, { traceback: 'tb' }))
    expect(error).toBeInstanceOf(RemoteTaskError)
    expect(error).toMatchObject({ code, taskId: 't', traceback: 'tb' })
  })

  it.each([
    [stored('ValueError', 'builtins', 'boom'), 'ValueError: boom'],
    [stored('ValueError', 'builtins', 'boom', 42), "ValueError: ('boom', 42)"],
    [stored('KeyError', 'builtins'), 'KeyError'],
    [stored('E', 'm', 5), 'E: 5'],
  ])('RES-016 prints like Python: %j', (result, message) => {
    expect(toTaskError(metaOf('t', 'FAILURE', result)).message).toBe(message)
  })
})
