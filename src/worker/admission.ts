/**
 * What to do with a message that was just read, or that has become due (`celery/worker/strategy.py`).
 *
 * Rule 1: a verdict is a value; nothing here acts. (In Celery an ETA that cannot be converted is rejected, and then
 * scheduled all the same, surface WRK-038; a function with one answer cannot do that.)
 * Rule 2: every input has a verdict.
 * Rule 3: the same question is asked again when a wait is over, so what has changed meanwhile counts (WRK-035).
 */

/** The verdict on one message. */
export type Admission =
  | { readonly kind: 'run' }
  /** Until epoch milliseconds. */
  | { readonly kind: 'wait'; readonly until: number }
  /** Over its rate limit: joins the queue of its task's bucket. */
  | { readonly kind: 'throttle' }
  | { readonly kind: 'discard'; readonly reason: Discard }
  | { readonly kind: 'refuse'; readonly reason: 'unknown task' }

/** Why a message is dropped with REVOKED; also the text stored with it. */
export type Discard = 'revoked' | 'expired'

/** What admission looks at, and nothing more. Times are epoch milliseconds, with fractions for microseconds. */
export interface Candidate {
  readonly id: string
  readonly task: string
  readonly eta: number | undefined
  readonly expires: number | undefined
  readonly stamps: Readonly<Record<string, unknown>>
}

/** What the worker knows at this moment. */
export interface AdmissionRules {
  knows(task: string): boolean
  isRevoked(candidate: Candidate): boolean
  /** Whether the task's rate limit holds a start back now. Asking takes nothing. */
  isThrottled(task: string): boolean
}

/** Decides, in Celery's order: known, expired or revoked, ETA, rate limit (WRK-033, WRK-037, WRK-040). */
export function admit(candidate: Candidate, now: number, rules: AdmissionRules): Admission {
  if (!rules.knows(candidate.task)) return { kind: 'refuse', reason: 'unknown task' }
  const reason = discardReason(candidate, now, rules)
  if (reason !== undefined) return { kind: 'discard', reason }
  if (candidate.eta !== undefined && candidate.eta > now) return { kind: 'wait', until: candidate.eta }
  return rules.isThrottled(candidate.task) ? { kind: 'throttle' } : { kind: 'run' }
}

/** The part of the decision that is asked again when a slot is free: expired wins over revoked, as its text does. */
export function discardReason(
  candidate: Candidate,
  now: number,
  rules: Pick<AdmissionRules, 'isRevoked'>,
): Discard | undefined {
  // Strictly later: a task that expires at this very instant still runs (WRK-037).
  if (candidate.expires !== undefined && now > candidate.expires) return 'expired'
  return rules.isRevoked(candidate) ? 'revoked' : undefined
}
