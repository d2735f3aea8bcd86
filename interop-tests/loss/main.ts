/**
 * `npm run loss`: does to workers what machines, networks and people do, and counts what became of every task.
 *
 *   npm run loss                                     all scenarios in full, celeriac and Celery, over Redis
 *   npm run loss -- kill-trickle --side celeriac --kills 1000 --seed 42
 *   npm run loss -- --broker filesystem --short --json
 *   npm run loss -- --broker rabbitmq                classic queues; --broker quorum for quorum queues
 *
 * Ends with 1 when a celeriac worker lost a task, ran one twice without reason or ran one that nobody sent.
 */
import { parseArgs } from 'node:util'
import { heading, isKept, type Outcome, row, runScenario } from './report.js'
import { scenarios } from './scenarios.js'
import type { BrokerName, Side } from './trial.js'

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    side: { type: 'string', default: 'both' },
    broker: { type: 'string', default: 'redis' },
    /** Rounds of each scenario: deaths, restarts, flaps. */
    kills: { type: 'string' },
    tasks: { type: 'string' },
    seed: { type: 'string' },
    /** Seconds of the visibility timeout. */
    visibility: { type: 'string', default: '4' },
    short: { type: 'boolean', default: false },
    json: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
})

if (values.help) {
  console.log(`npm run loss -- [scenario...] [--side celeriac|celery|both] [--broker redis|filesystem|rabbitmq|quorum]
  [--kills n] [--tasks n] [--seed n] [--visibility seconds] [--short] [--json]
scenarios: ${scenarios.map(({ name }) => name).join(', ')}
columns: lost = published, effect never seen; twice = effect again without reason; ghosts = ran unsent or undead;
  late = begun by a worker that had been away and had lost it; early = begun before what it waits for;
  open = canvases whose client still waits (these six must be 0);
  and effects again with a reason: died = its process died at work; unacked = killed between the end and the
  answer to the acknowledgement; away = it was paused or cut off while it held the task;
  again = sent again by a task that came to its end again; resent = acknowledged before a publish that lost its answer
  was tried again; failed = canvases that ended with an error;
  left = messages still in the broker`)
  process.exit(0)
}
const unknown = positionals.find((name) => !scenarios.some((scenario) => scenario.name === name))
if (unknown !== undefined) throw new Error(`no scenario is called ${unknown}; see --help`)

const broker = values.broker as BrokerName
const sides: readonly Side[] = values.side === 'both' ? ['celeriac', 'celery'] : [values.side as Side]
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 32) : Number(values.seed)
const outcomes: Outcome[] = []
if (!values.json) console.log(`seed ${seed}, visibility timeout ${values.visibility} s\n${heading}`)
for (const scenario of scenarios) {
  if (positionals.length > 0 && !positionals.includes(scenario.name)) continue
  if (!scenario.brokers.includes(broker)) continue
  const amounts = values.short ? scenario.short : scenario.full
  for (const side of sides) {
    if (scenario.sides && !scenario.sides.includes(side)) continue
    const outcome = await runScenario({
      scenario,
      side,
      broker,
      seed,
      amounts: {
        rounds: amounts.rounds === 0 || values.kills === undefined ? amounts.rounds : Number(values.kills),
        tasks: amounts.tasks === 0 || values.tasks === undefined ? amounts.tasks : Number(values.tasks),
      },
      visibilitySeconds: Number(values.visibility),
    })
    outcomes.push(outcome)
    if (values.json) continue
    console.log(row(outcome))
    if (outcome.oracle !== undefined) console.log(`  facts: ${outcome.oracle}`)
  }
}
if (values.json) console.log(JSON.stringify(outcomes, null, 2))
process.exitCode = outcomes.every((outcome) => outcome.side === 'celery' || isKept(outcome)) ? 0 : 1
