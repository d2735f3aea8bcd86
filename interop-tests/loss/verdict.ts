import type { Fact } from './oracle.js'

/** What became of the tasks of one trial. */
export interface Verdict {
  /** Tasks whose publish returned. */
  readonly sent: number
  /** Publishes that threw: such a task may run or not, and counts nowhere else. */
  readonly refused: number
  /** Ids whose publish returned and whose effect was never seen: the promise is that there are none. */
  readonly lost: readonly string[]
  /** Further effects of tasks whose earlier run was cut short by the death of its process. */
  readonly afterDeath: number
  /** Further effects of tasks whose process was killed between the end of the body and the acknowledgement. */
  readonly beforeAck: number
  /** Further effects of tasks whose earlier run was on a worker paused or cut off while it held the task. */
  readonly afterAbsence: number
  /** Further effects by a worker that was away, begun after it was back, or when another had already begun. */
  readonly begunLate: number
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
}

/**
 * Judges the facts of a trial. Between the end of a body and its acknowledgement lies a window in which a death
 * still makes the task run again: `ackWindowMs` (default 1000) is how late after its end a run may be excused.
 */
export function judge(facts: readonly Fact[], options: { ackWindowMs?: number } = {}): Verdict {
  const { ackWindowMs = 1000 } = options
  const sending = new Set<string>()
  const sent = new Set<string>()
  let refused = 0
  const runs = new Map<string, Run[]>()
  const gone = new Map<string, { at: number; sudden: boolean }>()
  const absences = new Map<string, { from: number; to: number }[]>()

  for (const { at, what, id = '', who = '', sudden } of facts) {
    const of = runs.get(id) ?? []
    const run = of.findLast((one) => one.who === who && one.ended === undefined)
    switch (what) {
      case 'sending':
        sending.add(id)
        break
      case 'sent':
        sent.add(id)
        break
      case 'refused':
        refused++
        break
      case 'start':
        of.push({ who, started: at, effect: false, ended: undefined })
        runs.set(id, of)
        break
      case 'effect':
        if (run) run.effect = true
        break
      case 'end':
        if (run) run.ended = at
        break
      case 'gone':
        gone.set(who, { at, sudden: sudden === true })
        break
      case 'away':
        absences.set(who, [...(absences.get(who) ?? []), { from: at, to: Number.POSITIVE_INFINITY }])
        break
      case 'back': {
        const last = absences.get(who)?.at(-1)
        if (last) last.to = at
      }
    }
  }

  const died = (run: Run): boolean => {
    const end = gone.get(run.who)
    if (end === undefined) return false
    return run.ended === undefined || (end.sudden && end.at - run.ended <= ackWindowMs)
  }
  const absent = (run: Run): boolean =>
    (absences.get(run.who) ?? []).some(
      ({ from, to }) => run.started <= to && (run.ended ?? Number.POSITIVE_INFINITY) + ackWindowMs >= from,
    )

  const ghosts = new Set<string>()
  const duplicates = new Set<string>()
  let afterDeath = 0
  let beforeAck = 0
  let afterAbsence = 0
  let begunLate = 0
  for (const [id, of] of runs) {
    const isGhost = (run: Run): boolean => (gone.get(run.who)?.at ?? Number.POSITIVE_INFINITY) < run.started
    if (!sending.has(id) || of.some(isGhost)) ghosts.add(id)
    const effective = of.filter((run) => run.effect)
    for (let i = 1; i < effective.length; i++) {
      const earlier = effective.slice(0, i)
      if (earlier.every(died)) {
        if (earlier.every((run) => run.ended === undefined)) afterDeath++
        else beforeAck++
      } else if (earlier.every((run) => died(run) || absent(run))) afterAbsence++
      // The late one is itself by a worker that had lost the task while it was away.
      else if (absent(effective[i] as Run)) begunLate++
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
    begunLate,
    duplicates: [...duplicates],
    ghosts: [...ghosts],
  }
}
