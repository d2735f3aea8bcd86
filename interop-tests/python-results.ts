/** Celery on the other side of one store of results: what the tests of the stores ask of it, and what they store. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import type { ResultMeta } from '../protocol/result-meta.js'
import type { ResultBackend } from '../src/backend/backend.js'
import type { ResultContext } from '../src/backend/result-context.js'
import { systemClock } from '../src/clock.js'
import { pythonPath } from './harness.js'

const run = promisify(execFile)

const prelude = `
import json, sys, os, time
from celery import Celery, states, chord, signature
from celery.app.task import Context
from celery.result import AsyncResult, GroupResult
from celery.exceptions import TimeLimitExceeded, WorkerLostError, ChordError
app = Celery('t', broker=os.environ['BROKER'], backend=os.environ['BACKEND'], set_as_current=True)
app.conf.update(json.loads(os.environ['CONF']))
backend = app.backend
def said(exc):
    return {'type': type(exc).__name__, 'module': type(exc).__module__, 'args': list(exc.args), 'text': str(exc),
            'is_type_error': isinstance(exc, TypeError)}
def got(id, **kw):
    try:
        return {'value': AsyncResult(id).get(timeout=20, **kw)}
    except Exception as exc:
        return {'error': said(exc)}
def part(gid, id, index, state, result):
    body = signature('t.body', options={'task_id': 'body-' + gid, 'queue': 'bodies-' + gid}, app=app)
    request = Context({'id': id, 'group': gid, 'group_index': index, 'chord': dict(body)})
    backend.on_chord_part_return(request, state, result)
def out(value):
    print(json.dumps(value, default=str))
`

/** A script that is run with `app`, its `backend`, `got(id)` and `part(...)` at hand; resolves with what it gives to `out`. */
export type InPython = <T>(script: string, conf?: object) => Promise<T>

/** Runs scripts on the results at `backend`; settings of `conf` by Celery's names. */
export function pythonOn(backend: string, broker = 'memory://'): InPython {
  const python = pythonPath()
  return async <T>(script: string, conf: object = {}): Promise<T> => {
    const env = { BACKEND: backend, BROKER: broker, CONF: JSON.stringify(conf) }
    const { stdout } = await run(python, ['-c', prelude + script], {
      env: { ...process.env, ...env, PYTHONDONTWRITEBYTECODE: '1' },
      timeout: 60_000,
    })
    return JSON.parse(stdout) as T
  }
}

/** What result objects of these tests need. */
export function contextOf(backend: ResultBackend): ResultContext {
  return { backend, clock: systemClock(), insideTask: () => false }
}

/** A result as it is given to `store`. */
export function metaOf(
  taskId: string,
  state: string,
  result: unknown,
  more: Partial<ResultMeta> = {},
): ResultMeta {
  return {
    taskId,
    state,
    result,
    traceback: undefined,
    children: [],
    dateDone: '2026-11-20T10:12:55.143897+00:00',
    ...more,
  }
}

/** The result of a task that failed. */
export function errorOf(type: string, module: string | undefined, ...args: unknown[]): object {
  return { type, module, args, traceback: undefined }
}
