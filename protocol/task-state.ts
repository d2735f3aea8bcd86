/** Task states, their sets and their order of strength (`celery/states.py`, surface RES-001 to RES-003). */

/** State names of `celery/states.py`; custom ones are any other string. */
export type TaskState =
  | 'PENDING'
  | 'RECEIVED'
  | 'STARTED'
  | 'SUCCESS'
  | 'FAILURE'
  | 'RETRY'
  | 'REVOKED'
  | 'REJECTED'
  | 'IGNORED'
  | (string & {})

/** States that end a task: a caller that waits stops waiting. */
export const READY_STATES: ReadonlySet<TaskState> = new Set(['SUCCESS', 'FAILURE', 'REVOKED'])

/** Built-in states of a task that has not ended. Custom states are in neither set and do not end a task. */
export const UNREADY_STATES: ReadonlySet<TaskState> = new Set([
  'PENDING',
  'RECEIVED',
  'STARTED',
  'REJECTED',
  'RETRY',
])

/** States whose stored result is an error. */
export const EXCEPTION_STATES: ReadonlySet<TaskState> = new Set(['RETRY', 'FAILURE', 'REVOKED'])

/** States whose error is raised to the caller that waits. */
export const PROPAGATE_STATES: ReadonlySet<TaskState> = new Set(['FAILURE', 'REVOKED'])

/** The states that Celery lists as `ALL_STATES`: the ones a result store can hold. */
export const ALL_STATES: ReadonlySet<TaskState> = new Set([
  'PENDING',
  'RECEIVED',
  'STARTED',
  'SUCCESS',
  'FAILURE',
  'RETRY',
  'REVOKED',
])

const PRECEDENCE: ReadonlyMap<string, number> = new Map([
  ['SUCCESS', 0],
  ['FAILURE', 1],
  ['REVOKED', 3],
  ['STARTED', 4],
  ['RECEIVED', 5],
  ['REJECTED', 6],
  ['RETRY', 7],
  ['PENDING', 8],
])

/** How strong a state is: 0 (SUCCESS) is the strongest, 8 (PENDING) the weakest; every custom state is 2. */
export function statePrecedence(state: TaskState): number {
  return PRECEDENCE.get(state) ?? 2
}

/** Negative when `a` is the stronger state, for sorting; `celery.states.state` compares the same way. */
export function compareStates(a: TaskState, b: TaskState): number {
  return statePrecedence(a) - statePrecedence(b)
}
