import { BackendDisabledError } from '../errors.js'
import type { ResultBackend } from './backend.js'

/**
 * No store at all: storing does nothing, reading throws `BackendDisabledError` (surface RES-030,
 * `celery/backends/base.py` DisabledBackend).
 */
export class DisabledBackend implements ResultBackend {
  readonly kind = 'disabled'
  readonly enabled = false
  readonly persistent = false
  readonly autoExpires = false
  readonly push = false
  readonly displayUrl = 'disabled://'

  async store(): Promise<void> {}

  async fetch(taskId: string): Promise<never> {
    throw disabled(`the result of task ${taskId} cannot be read`)
  }

  async fetchMany(taskIds: readonly string[]): Promise<never> {
    throw disabled(`the results of ${taskIds.length} tasks cannot be read`)
  }

  // biome-ignore lint/correctness/useYield: reading throws, as everywhere in this class
  async *watch(taskIds: readonly string[]): AsyncGenerator<never, void, undefined> {
    throw disabled(
      `nobody can wait for the result of ${taskIds.length === 1 ? `task ${taskIds[0]}` : 'tasks'}`,
    )
  }

  async forget(taskId: string): Promise<void> {
    throw disabled(`there is no result of task ${taskId} to forget`)
  }

  async storeGroup(groupId: string): Promise<void> {
    throw disabled(`group ${groupId} cannot be saved`)
  }

  async fetchGroup(groupId: string): Promise<never> {
    throw disabled(`group ${groupId} cannot be restored`)
  }

  async forgetGroup(groupId: string): Promise<void> {
    throw disabled(`there is no saved group ${groupId} to delete`)
  }

  async cleanup(): Promise<number> {
    return 0
  }

  async close(): Promise<void> {}
}

function disabled(consequence: string): BackendDisabledError {
  return new BackendDisabledError(
    `No result backend is configured, so ${consequence}. ` +
      "Set resultBackend (result_backend in Python), for instance to 'file://./var/results'.",
  )
}
