import type { RabbitServer } from '../rabbitmq-server.js'
import type { Amounts, Scenario } from './scenarios.js'
import { type BrokerName, type Side, Trial } from './trial.js'
import type { Verdict } from './verdict.js'
import type { Tally } from './workflows.js'

/** What one trial came to. */
export interface Outcome {
  readonly scenario: string
  readonly side: Side
  readonly broker: BrokerName
  readonly seed: number
  readonly rounds: number
  readonly seconds: number
  readonly verdict: Verdict
  /** Canvases; of those that were sent none may be open. */
  readonly workflows: Tally
  /** Messages left in the broker when nothing had happened for long. */
  readonly leftover: number
  /** The oracle's file, kept when something was wrong. */
  readonly oracle?: string
  /** What the workers printed last, when something was wrong. */
  readonly printed?: string
}

/** Runs one scenario from start to verdict. */
export async function runScenario(options: {
  scenario: Scenario
  side: Side
  broker: BrokerName
  seed: number
  amounts: Amounts
  visibilitySeconds: number
  /** See `Trial.start`. */
  rabbit?: RabbitServer
}): Promise<Outcome> {
  const { scenario, side, broker, seed, amounts, visibilitySeconds } = options
  const started = performance.now()
  const trial = await Trial.start({
    side,
    broker,
    seed,
    visibilitySeconds,
    rabbit: options.rabbit,
    withResults: scenario.withResults,
  })
  let isClean = false
  try {
    await scenario.run(trial, amounts)
    // A Celery worker looks for abandoned messages when it starts and then only every 100 s.
    await trial.settle((visibilitySeconds * 2 + (side === 'celery' ? 110 : 20)) * 1000)
    const found = trial.verdict()
    const left = await trial.leftover()
    // What the broker still holds is late, and would be run; it is not lost.
    const stuck = found.lost.filter((id) => left.some((message) => message.includes(id)))
    const verdict = { ...found, lost: found.lost.filter((id) => !stuck.includes(id)) }
    const leftover = left.length
    const workflows = trial.workflows?.tally() ?? { sent: 0, failed: [], open: 0 }
    isClean = isKept({ verdict, workflows }) && leftover === 0
    return {
      scenario: scenario.name,
      side,
      broker,
      seed,
      rounds: amounts.rounds,
      seconds: Math.round((performance.now() - started) / 100) / 10,
      verdict,
      workflows,
      leftover,
      ...(isClean ? {} : { oracle: trial.oracle.path, printed: trial.printed }),
    }
  } finally {
    await trial.close(!isClean)
  }
}

/**
 * Whether the promise was kept: nothing lost, nothing run twice without reason or begun late, nothing out of nowhere, no
 * step before its time, and no canvas whose client still waits.
 */
export function isKept({ verdict, workflows }: Pick<Outcome, 'verdict' | 'workflows'>): boolean {
  const { lost, duplicates, late, early, ghosts } = verdict
  return workflows.open === 0 && [lost, duplicates, late, early, ghosts].every((ids) => ids.length === 0)
}

const columns: readonly (readonly [
  title: string,
  width: number,
  of: (outcome: Outcome) => string | number,
])[] = [
  ['scenario', 24, (o) => o.scenario],
  ['worker', 10, (o) => o.side],
  ['broker', 11, (o) => o.broker],
  ['rounds', 7, (o) => o.rounds],
  ['sent', 7, (o) => o.verdict.sent],
  ['refused', 8, (o) => o.verdict.refused],
  ['lost', 6, (o) => o.verdict.lost.length],
  ['twice', 6, (o) => o.verdict.duplicates.length],
  ['ghosts', 7, (o) => o.verdict.ghosts.length],
  ['late', 6, (o) => o.verdict.late.length],
  ['died', 6, (o) => o.verdict.afterDeath],
  ['unacked', 8, (o) => o.verdict.beforeAck],
  ['away', 6, (o) => o.verdict.afterAbsence],
  ['again', 6, (o) => o.verdict.afterCause],
  ['resent', 7, (o) => o.verdict.afterRepeat],
  ['early', 6, (o) => o.verdict.early.length],
  ['flows', 6, (o) => o.workflows.sent],
  ['failed', 7, (o) => o.workflows.failed.length],
  ['open', 6, (o) => o.workflows.open],
  ['left', 6, (o) => o.leftover],
  ['seconds', 8, (o) => o.seconds],
  ['seed', 11, (o) => o.seed],
]

/** The heading of the table. */
export const heading = columns.map(([title, width]) => title.padEnd(width)).join('')

/** One line of the table. */
export function row(outcome: Outcome): string {
  return columns.map(([, width, of]) => String(of(outcome)).padEnd(width)).join('')
}
