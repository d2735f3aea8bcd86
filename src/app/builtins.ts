/**
 * The tasks that every app has (`celery/app/builtins.py`; surface BLT-001 to BLT-011), under Celery's names, so that a
 * Python app may send them here.
 *
 * Rule 1: they are ordinary tasks; what they send and store goes through their app like everybody's.
 * Rule 2: parameters have Python's names, since Python calls them with keyword arguments.
 */
import { isRemoteError, remoteErrorRepr } from '../../protocol/remote-error.js'
import { remoteErrorFrom } from '../../protocol/remote-error-from.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import { READY_STATES } from '../../protocol/task-state.js'
import { InvalidArgumentError, RemoteTaskError, TaskNotRegisteredError } from '../errors.js'
import { applierOf } from '../execution/applier.js'
import { applySignature, applySignatures } from '../execution/apply-signature.js'
import { failChord, startBody } from '../execution/chord-completion.js'
import type { TaskContext } from '../execution/context.js'
import type { Host, RunnableTask } from '../execution/host.js'
import { DirectTask } from '../execution/running-task.js'
import { headerLeaves, valuesOf } from './chord-header.js'

/** The part of a task's definition that the built-in ones use. */
export interface BuiltinDefinition {
  readonly bind: true
  readonly params?: readonly string[]
  readonly maxRetries?: null
  readonly defaultRetryDelay?: number
  readonly ignoreResult?: boolean
}

/** The function of a built-in task. */
export type BuiltinFunction = (self: TaskContext, ...args: unknown[]) => unknown

/** What registering needs: the app to run on, and the app's way to define a task. */
export interface BuiltinOptions {
  define(name: string, definition: BuiltinDefinition, run: BuiltinFunction): unknown
  /** `result_chord_retry_interval`: seconds between two looks of `celery.chord_unlock`. */
  readonly chordRetryInterval: number
}

/** Defines all of them. */
export function registerBuiltins(host: Host, options: BuiltinOptions): void {
  const { define } = options
  define('celery.accumulate', { bind: true }, accumulate)
  define('celery.backend_cleanup', { bind: true }, async () => void (await host.backend.cleanup()))
  define('celery.chain', { bind: true }, refuseChain)
  define('celery.chord', { bind: true, params: chordParams }, chord(host))
  define('celery.chord_unlock', unlockDefinition(options.chordRetryInterval), unlockChord(host))
  define('celery.chunks', { bind: true, params: ['task', 'it', 'n'] }, chunks(host))
  define('celery.group', { bind: true, params: groupParams }, group(host))
  define(
    'celery.map',
    { bind: true, params: ['task', 'it'] },
    map(host, (item) => [item]),
  )
  define('celery.starmap', { bind: true, params: ['task', 'it'] }, map(host, list))
}

/** The body of a replaced group: its values, or the one at `index` (surface BLT-002). */
function accumulate(self: TaskContext, ...values: unknown[]): unknown {
  const { index } = self.request.kwargs
  return typeof index === 'number' ? values.at(index) : values
}

/** Not a task at all: a worker takes a chain apart before it gets here (surface BLT-010). */
function refuseChain(self: TaskContext): never {
  const error = {
    type: 'NotImplementedError',
    module: 'builtins',
    args: ['chain is not a real task'],
    traceback: undefined,
  }
  throw new RemoteTaskError(self.request.id, error, 'chain is not a real task')
}

/** Calls the task for each item, one after the other, here (surface BLT-006, BLT-007). */
function map(host: Host, argsOf: (item: unknown) => readonly unknown[]): BuiltinFunction {
  return async (self, data, items) => {
    const task = taskOf(host, data)
    const values: unknown[] = []
    for (const item of list(items)) {
      self.checkpoint()
      const args = argsOf(item)
      const { hostname } = self.request
      values.push(
        await task.run(
          new DirectTask({ task, host, args, kwargs: {}, hostname, signal: self.signal }),
          args,
          {},
        ),
      )
    }
    return values
  }
}

/** Sends one `celery.starmap` for each slice of `n` items; its value is the group's tuple (surface BLT-008). */
function chunks(host: Host): BuiltinFunction {
  return async (_self, task, it, n) => {
    const data = canvas('celery.chunks', 'chunks', { task, it, n })
    return (await applySignature(applierOf(host), data, {}))?.asTuple()
  }
}

const groupParams = ['tasks', 'result', 'group_id', 'partial_args', 'add_to_parent?']

/** Sends each task with the group's id; older clients send this one (surface BLT-009). */
function group(host: Host): BuiltinFunction {
  return async (self, tasks, result, groupId, partialArgs, addToParent = true) => {
    await applySignatures(applierOf(host), list(tasks).map(signature), {
      args: list(partialArgs),
      options: { group_id: groupId, add_to_parent: false },
    })
    if (addToParent === true) self.addTrail({ asTuple: () => result })
    return result
  }
}

const chordParams = ['header', 'body', 'partial_args?', 'interval?', 'countdown?', 'max_retries?', 'eager?']

/** Starts a chord from here; older clients send this one (surface BLT-011). */
function chord(host: Host): BuiltinFunction {
  return async (_self, header, body, partialArgs, interval, countdown, maxRetries) => {
    const data = canvas('celery.chord', 'chord', { kwargs: {}, header, body })
    const unlock = { interval, countdown, max_retries: maxRetries }
    const call = { args: list(partialArgs), unlock }
    return (await applySignature(applierOf(host), data, call))?.asTuple()
  }
}

function unlockDefinition(chordRetryInterval: number): BuiltinDefinition {
  return {
    bind: true,
    params: ['group_id', 'callback', 'interval?', 'max_retries?', 'result?'],
    maxRetries: null,
    defaultRetryDelay: chordRetryInterval,
    ignoreResult: true,
  }
}

/**
 * Looks whether all parts of a chord's header are ready, and again after `interval` seconds until they are; then starts
 * the body with their values, or fails it (surface BLT-003 to BLT-005). Retries for ever unless `max_retries` is given.
 */
function unlockChord(host: Host): BuiltinFunction {
  return async (self, groupId, callback, interval, maxRetries, result) => {
    const parts = list(result)
    const again = {
      ...(typeof interval === 'number' ? { countdown: interval } : {}),
      ...(typeof maxRetries === 'number' ? { maxRetries } : {}),
    }
    let metas: Awaited<ReturnType<typeof host.backend.fetchMany>>
    try {
      metas = await host.backend.fetchMany(headerLeaves(parts))
    } catch (error) {
      return self.retry({ ...again, exc: error })
    }
    const states = headerLeaves(parts).map((id) => metas.get(id))
    if (!states.every((meta) => meta !== undefined && READY_STATES.has(meta.state))) return self.retry(again)
    const body = signature(callback)
    const failed = states.find((meta) => meta !== undefined && meta.state !== 'SUCCESS')
    if (failed === undefined) {
      await startBody(host, applierOf(host), body, valuesOf(parts, metas))
      return
    }
    const cause = isRemoteError(failed.result) ? failed.result : remoteErrorFrom(failed.result)
    const reason = `Dependency ${failed.taskId} raised ${remoteErrorRepr(cause)}`
    self.log.error({ group_id: groupId }, `Chord ${String(groupId)} raised: ${remoteErrorRepr(cause)}`)
    return failChord(host, applierOf(host), body, reason, cause)
  }
}

function canvas(task: string, type: string, kwargs: Readonly<Record<string, unknown>>): SignatureData {
  return { task, args: [], kwargs, options: {}, subtask_type: type, immutable: false }
}

function taskOf(host: Host, data: unknown): RunnableTask {
  const name = signature(data)['task']
  const task = typeof name === 'string' ? host.task(name) : undefined
  if (task !== undefined) return task
  throw new TaskNotRegisteredError(String(name), `Task ${String(name)} is not registered in app ${host.main}`)
}

function signature(data: unknown): SignatureData {
  if (typeof data === 'object' && data !== null && !Array.isArray(data)) return data as SignatureData
  throw new InvalidArgumentError('A built-in task was given something that is not a signature')
}

function list(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : []
}
