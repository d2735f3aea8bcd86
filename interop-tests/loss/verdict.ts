/**
 * What the facts of a trial prove.
 *
 * Rule 1: an effect that happens again is excused only by what the oracle saw happen to the run before it, WHILE the
 *         worker held the task: from the start of the body to the answer to its acknowledgement.
 * Rule 2: that is: its process ended, or it was paused or cut off. How long after its body it was acknowledged does not
 *         matter; that it was (`acked`), was refused (`unacked`) or that its connection ended (`lost`) does.
 * Rule 3: and it excuses only runs that begin after it.
 * Rule 4: a worker that is away may not begin a task once its lease has run out, nor after it is back what another has
 *         begun meanwhile: such a run excuses nothing and is itself counted (`late`).
 * Rule 5: where a broker does not answer acknowledgements (AMQP), one that was sent within `ackMs` before the end of its
 *         process or link may not have arrived.
 * Rule 6: a task of a canvas that another one sends at its end is sent again when that one comes to its end again: sending
 *         and acknowledging are two steps, and who died in between did the first one, or did not. There may be
 *         as many more runs that nothing excuses as there were more ends. Where a worker does both in one step, or tells the
 *         copies apart (ours), this excuses nothing.
 * Rule 7: a publish that is tried again looks first for what the first attempt has left. It may make a copy of a task only
 *         when that had been run and acknowledged before the publish came to its end.
 */
import type { Fact } from './oracle.js'

/** What became of the tasks of one trial. */
export interface Verdict {
  /** Tasks whose publish returned. */
  readonly sent: number
  /** Publishes that threw: such a task may run or not, and counts nowhere else. */
  readonly refused: number
  /** Ids whose publish returned and whose effect was never seen: the promise is that there are none. */
  readonly lost: readonly string[]
  /** Further effects of tasks whose process ended while their body ran. */
  readonly afterDeath: number
  /** Further effects of tasks whose process was killed after the end of the body, with no acknowledgement answered. */
  readonly beforeAck: number
  /** Further effects of tasks whose worker was paused or cut off while it held them. */
  readonly afterAbsence: number
  /** Ids that a worker began which had been away and had lost them: the promise is that there are none. */
  readonly late: readonly string[]
  /** Tasks of canvases that ran again because one before them had (rule 6). */
  readonly afterCause: number
  /** Copies made by publishes that were tried again, of tasks that were acknowledged meanwhile (rule 7). */
  readonly afterRepeat: number
  /** Ids that began before all that they wait for had had their effect: there must be none. */
  readonly early: readonly string[]
  /** Ids with further effects that nothing explains: the promise is that there are none. */
  readonly duplicates: readonly string[]
  /** Ids that ran although nobody sent them, or on a process that had ended: there must be none. */
  readonly ghosts: readonly string[]
}

interface Run {
  readonly who: string
  readonly started: number
  effect: boolean
  ended: number | undefined
  /** When the broker answered the acknowledgement, or the connection that brought the task ended. */
  let: number | undefined
  acked: boolean
}

interface Absence {
  readonly from: number
  to: number
}

/**
 * Judges the facts of a trial; `leaseMs` is how long a worker that is away may still take its tasks for its own,
 * `ackMs` how long an acknowledgement may be on its way unanswered (default 0: it is answered), `isOneStep` whether of what
 * a task sends again one copy is run.
 */
export function judge(
  facts: readonly Fact[],
  {
    leaseMs,
    ackMs = 0,
    isOneStep = false,
  }: { readonly leaseMs: number; readonly ackMs?: number; readonly isOneStep?: boolean },
): Verdict {
  const sending = new Set<string>()
  const sent = new Set<string>()
  const causes = new Map<string, readonly string[]>()
  let refused = 0
  /** When a publish was first tried again, and when it came to its end. */
  const repeats = new Map<string, { readonly from: number; to: number }>()
  const runs = new Map<string, Run[]>()
  const held = new Map<string, Set<Run>>()
  const effects = new Set<string>()
  const early = new Set<string>()
  const gone = new Map<string, { from: number; at: number; sudden: boolean }>()
  const absences = new Map<string, Absence[]>()

  for (const { at, what, id = '', who = '', sudden, after } of facts) {
    const of = runs.get(id) ?? []
    // The runs of one task in one process take the same time: what begins first is first in all.
    const next = (is: (run: Run) => boolean): Run | undefined => of.find((one) => one.who === who && is(one))
    switch (what) {
      case 'sending':
        sending.add(id)
        if (after !== undefined) causes.set(id, after)
        break
      case 'repeated':
        if (!repeats.has(id)) repeats.set(id, { from: at, to: Number.POSITIVE_INFINITY })
        break
      case 'sent':
      case 'refused': {
        if (what === 'sent') sent.add(id)
        else refused++
        const repeat = repeats.get(id)
        if (repeat !== undefined) repeat.to = at
        break
      }
      case 'start': {
        if (causes.get(id)?.some((cause) => !effects.has(cause))) early.add(id)
        const run: Run = { who, started: at, effect: false, ended: undefined, let: undefined, acked: false }
        of.push(run)
        runs.set(id, of)
        held.set(who, (held.get(who) ?? new Set()).add(run))
        break
      }
      case 'effect': {
        const run = next((one) => !one.effect)
        if (run) run.effect = true
        effects.add(id)
        break
      }
      case 'end': {
        const run = next((one) => one.ended === undefined)
        if (run) run.ended = at
        break
      }
      case 'acked':
      case 'unacked': {
        const run = next((one) => one.ended !== undefined && one.let === undefined)
        if (run) {
          run.let = at
          run.acked = what === 'acked'
          held.get(who)?.delete(run)
        }
        break
      }
      case 'lost':
        for (const run of held.get(who) ?? []) run.let ??= at
        held.delete(who)
        break
      case 'gone':
        gone.set(who, { from: gone.get(who)?.from ?? at, at, sudden: sudden === true })
        break
      case 'doomed':
        gone.set(who, { from: at, at: Number.POSITIVE_INFINITY, sudden: true })
        break
      case 'away':
        absences.set(who, [...(absences.get(who) ?? []), { from: at, to: Number.POSITIVE_INFINITY }])
        break
      case 'back': {
        const absence = absences.get(who)?.at(-1)
        if (absence) absence.to = at
      }
    }
  }

  const of = (run: Run): readonly Absence[] => absences.get(run.who) ?? []
  /** Its process ended while the body ran, or was killed before the broker had answered its acknowledgement. */
  const died = (run: Run, next: Run): boolean => {
    const end = gone.get(run.who)
    if (end === undefined || next.started < end.from) return false
    const arrived = (run.let ?? end.from) + ackMs
    if (run.acked && (ackMs === 0 || arrived < end.from)) return false
    return run.ended === undefined || (end.sudden && arrived >= end.from)
  }
  const absent = (run: Run, next: Run): boolean =>
    of(run).some(
      ({ from, to }) =>
        run.started <= Math.min(to, from + leaseMs) &&
        (run.let ?? from) + ackMs >= from &&
        next.started >= from,
    )
  /** It began when its worker had been away for longer than a lease, or was just back, and others had begun it. */
  const late = (run: Run, all: readonly Run[]): boolean =>
    of(run).some(
      ({ from, to }) =>
        (run.started > from + leaseMs && run.started <= to) ||
        (run.started > to &&
          all.some((one) => one.who !== run.who && one.started > from && one.started < to)),
    )

  /** It was acknowledged before a publish that was tried again had come to its end, and the next began after that trial. */
  const copied = (id: string, run: Run, next: Run): boolean => {
    const repeat = repeats.get(id)
    if (repeat === undefined || !run.acked || run.let === undefined) return false
    return run.let <= repeat.to && next.started >= repeat.from
  }

  const never: Run = {
    who: '',
    started: Number.POSITIVE_INFINITY,
    effect: false,
    ended: undefined,
    let: undefined,
    acked: false,
  }
  const ghosts = new Set<string>()
  const duplicates = new Set<string>()
  const begunLate = new Set<string>()
  let afterDeath = 0
  let beforeAck = 0
  let afterAbsence = 0
  let afterCause = 0
  let afterRepeat = 0
  const endsAgain = (id: string): number =>
    (causes.get(id) ?? []).reduce((sum, cause) => {
      const ends = (runs.get(cause) ?? []).filter((run) => run.ended !== undefined).length
      return sum + Math.max(0, ends - 1)
    }, 0)
  for (const [id, all] of runs) {
    const isGhost = (run: Run): boolean => (gone.get(run.who)?.at ?? Number.POSITIVE_INFINITY) < run.started
    if (!sending.has(id) || all.some(isGhost)) ghosts.add(id)
    const effective = all.filter((run) => run.effect)
    // Each message of a task that was sent again may die at work, and begin again, by itself.
    const sentAgain = endsAgain(id)
    const survivors = effective.filter((run) => !died(run, never) && !absent(run, never)).length
    for (let i = 1; i < effective.length; i++) {
      const earlier = effective.slice(0, i)
      const next = effective[i] as Run
      if (earlier.every((run) => died(run, next))) {
        if (earlier.every((run) => run.ended === undefined)) afterDeath++
        else beforeAck++
      } else if (earlier.every((run) => died(run, next) || absent(run, next))) afterAbsence++
      else if (earlier.every((run) => died(run, next) || absent(run, next) || copied(id, run, next)))
        afterRepeat++
      else if (effective.slice(0, i + 1).some((run) => late(run, effective))) begunLate.add(id)
      else if (!isOneStep && causes.has(id) && survivors - 1 <= sentAgain) afterCause++
      else duplicates.add(id)
    }
  }
  const lost = [...sent].filter((id) => !(runs.get(id) ?? []).some((run) => run.effect))
  return {
    sent: sent.size,
    refused,
    lost,
    afterDeath,
    beforeAck,
    afterAbsence,
    late: [...begunLate],
    afterCause,
    afterRepeat,
    early: [...early],
    duplicates: [...duplicates],
    ghosts: [...ghosts],
  }
}
