/** The states of one request and the moves between them (ARCHITECTURE: one request's life). Pure. */

/** Where a request is. `settled`, `dropped` and `returned` are ends. */
export type RequestState =
  | 'received'
  | 'waiting'
  | 'throttled'
  | 'reserved'
  | 'running'
  | 'orphaned'
  | 'settled'
  | 'dropped'
  | 'returned'

/** What can happen to a request. */
export type RequestEvent =
  | 'wait'
  | 'throttle'
  | 'reserve'
  | 'start'
  /** Revoked, expired or refused before it ran. */
  | 'discard'
  | 'finish'
  /** Shutdown: given back to the broker unstarted, or cancelled and given back. */
  | 'return'
  | 'lose connection'
  /** The next connection has taken its message over. */
  | 'regain connection'

const table: { readonly [S in RequestState]: { readonly [E in RequestEvent]?: RequestState } } = {
  received: {
    wait: 'waiting',
    throttle: 'throttled',
    reserve: 'reserved',
    discard: 'settled',
    return: 'returned',
    'lose connection': 'dropped',
  },
  waiting: {
    throttle: 'throttled',
    reserve: 'reserved',
    discard: 'settled',
    return: 'returned',
    // A wall clock that was set back makes a task that was due wait again.
    wait: 'waiting',
    'lose connection': 'dropped',
  },
  throttled: {
    throttle: 'throttled',
    reserve: 'reserved',
    discard: 'settled',
    return: 'returned',
    'lose connection': 'dropped',
  },
  reserved: {
    start: 'running',
    discard: 'settled',
    return: 'returned',
    'lose connection': 'dropped',
  },
  running: { finish: 'settled', return: 'returned', 'lose connection': 'orphaned' },
  // It finishes, or is terminated if the setting says so; what no other connection takes over the broker redelivers.
  orphaned: {
    finish: 'settled',
    return: 'returned',
    'lose connection': 'orphaned',
    'regain connection': 'running',
  },
  settled: {},
  dropped: {},
  returned: {},
}

/** The state after `event`, or undefined where the event has no meaning: the caller then does nothing. */
export function nextState(state: RequestState, event: RequestEvent): RequestState | undefined {
  return table[state][event]
}

/** True when nothing can happen to the request any more. */
export function isOver(state: RequestState): boolean {
  return state === 'settled' || state === 'dropped' || state === 'returned'
}
