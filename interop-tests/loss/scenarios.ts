/** What is done to workers and brokers in the loss trials. */
import { type BrokerName, queue, type Side, type Trial, type TrialWorker } from './trial.js'
import type { CanvasKind } from './workflows.js'

/** How much of a scenario is done; the command line and the short form in CI choose. */
export interface Amounts {
  /** Deaths, restarts or flaps. */
  readonly rounds: number
  /** Tasks where the scenario has a number of them. */
  readonly tasks: number
}

/** One scenario. */
export interface Scenario {
  readonly name: string
  readonly brokers: readonly BrokerName[]
  /** Whose worker it can be done to; both by default. */
  readonly sides?: readonly Side[]
  /** Amounts of a full run, and of the short form. */
  readonly full: Amounts
  readonly short: Amounts
  /** Whether tasks have results, as canvases need; they are in Redis. */
  readonly withResults?: boolean
  /** Disturbs the trial; afterwards at least one worker runs, and the caller waits for what is left. */
  run(trial: Trial, amounts: Amounts): Promise<void>
}

const all: readonly BrokerName[] = ['redis', 'filesystem', 'rabbitmq', 'quorum']
const withLinks: readonly BrokerName[] = ['redis', 'rabbitmq', 'quorum']
const rabbits: readonly BrokerName[] = ['rabbitmq', 'quorum']
const withLeases: readonly BrokerName[] = ['redis', 'filesystem']
const onlyRedis: readonly BrokerName[] = ['redis']

/** Runs `disturb` while tasks are published; errors of either end both. */
async function underLoad(
  trial: Trial,
  load: { seconds: number; backlog?: number },
  disturb: () => Promise<void>,
): Promise<void> {
  const stop = new AbortController()
  const publishing = trial.load(stop.signal, load)
  try {
    await disturb()
  } finally {
    stop.abort()
    await publishing
  }
}

/** Resolves when `worker` begins a task, so that what follows hits it at work and connected; bounded. */
async function atWork(trial: Trial, worker: TrialWorker): Promise<void> {
  let seen = trial.oracle.read().length
  await trial.oracle.until((facts) => {
    for (; seen < facts.length; seen++) {
      if (facts[seen]?.what === 'start' && facts[seen]?.who === worker.name) return true
    }
    return false
  }, 30_000)
}

/** Starts a worker, lets it work for up to `upToMs`, ends it by `end`; `rounds` times, then starts a last one. */
async function bounce(
  trial: Trial,
  rounds: number,
  upToMs: number,
  end: (worker: TrialWorker) => Promise<void>,
): Promise<void> {
  let worker = await trial.worker()
  for (let round = 0; round < rounds; round++) {
    // The next one is started first, as a cluster does, and so that rounds are short.
    const next = trial.worker()
    await atWork(trial, worker)
    await trial.pause(trial.random.between(0, upToMs))
    await end(worker)
    worker = await next
  }
}

const kills = (name: string, load: { seconds: number; backlog?: number }): Scenario => ({
  name,
  brokers: all,
  full: { rounds: 500, tasks: 0 },
  short: { rounds: 3, tasks: 0 },
  run: (trial, { rounds }) =>
    underLoad(trial, load, () => bounce(trial, rounds, 300, (worker) => worker.kill())),
})

/** Workers are killed in the middle of canvases: a few are always under way, and a client waits for each. */
const canvasKills = (kind: CanvasKind): Scenario => ({
  name: `canvas-${kind}`,
  brokers: withLinks,
  withResults: true,
  full: { rounds: 200, tasks: 0 },
  short: { rounds: 3, tasks: 0 },
  async run(trial, { rounds }) {
    const { workflows } = trial
    if (workflows === undefined) throw new Error('this scenario needs results')
    const stop = new AbortController()
    const load = async (): Promise<void> => {
      while (!stop.signal.aborted) {
        if (workflows.open < 5) await workflows.send(kind, () => trial.random.between(0, 0.1))
        else await trial.pause(10)
      }
    }
    const publishing = load()
    try {
      await bounce(trial, rounds, 200, (worker) => worker.kill())
    } finally {
      stop.abort()
      await publishing
    }
  },
})

/** All scenarios, in the order they are run. */
export const scenarios: readonly Scenario[] = [
  kills('kill-trickle', { seconds: 0.1 }),
  kills('kill-saturated', { seconds: 0.1, backlog: 60 }),
  canvasKills('chain'),
  canvasKills('group'),
  canvasKills('chord'),
  {
    name: 'term-long-grace',
    brokers: all,
    full: { rounds: 50, tasks: 0 },
    short: { rounds: 2, tasks: 0 },
    run: (trial, { rounds }) =>
      underLoad(trial, { seconds: 0.5, backlog: 40 }, () =>
        bounce(trial, rounds, 300, (worker) => worker.terminate(20_000)),
      ),
  },
  {
    name: 'term-short-grace',
    brokers: all,
    full: { rounds: 50, tasks: 0 },
    short: { rounds: 2, tasks: 0 },
    run: (trial, { rounds }) =>
      underLoad(trial, { seconds: 2, backlog: 40 }, () =>
        bounce(trial, rounds, 300, (worker) => worker.terminate(trial.random.between(0, 500))),
      ),
  },
  {
    // Celery's cold shutdown: running tasks are given up and go back to the broker.
    name: 'cold-shutdown',
    brokers: all,
    full: { rounds: 50, tasks: 0 },
    short: { rounds: 2, tasks: 0 },
    run: (trial, { rounds }) =>
      underLoad(trial, { seconds: 2, backlog: 40 }, () =>
        bounce(trial, rounds, 300, (worker) => worker.terminate(10_000, true)),
      ),
  },
  {
    name: 'freeze',
    brokers: all,
    full: { rounds: 10, tasks: 0 },
    short: { rounds: 1, tasks: 0 },
    async run(trial, { rounds }) {
      const frozen = await trial.worker()
      await trial.worker()
      await underLoad(trial, { seconds: 0.5, backlog: 30 }, async () => {
        for (let round = 0; round < rounds; round++) {
          await atWork(trial, frozen)
          await trial.pause(trial.random.between(0, 300))
          await trial.absence(frozen, {
            begin: () => frozen.signal('SIGSTOP', true),
            during: () => trial.pause(trial.visibilitySeconds * 2000 + trial.random.between(0, 1000)),
            end: () => frozen.signal('SIGCONT', true),
          })
          await trial.pause(1000)
        }
      })
    },
  },
  {
    name: 'partition',
    brokers: withLinks,
    full: { rounds: 10, tasks: 0 },
    short: { rounds: 1, tasks: 0 },
    async run(trial, { rounds }) {
      const cutOff = await trial.worker({ proxied: true })
      await trial.worker()
      await underLoad(trial, { seconds: 0.5, backlog: 30 }, async () => {
        for (let round = 0; round < rounds; round++) {
          await atWork(trial, cutOff)
          await trial.pause(trial.random.between(0, 300))
          await trial.absence(cutOff, {
            begin: trial.random.pick([
              () => trial.link.stall(),
              () => trial.link.cut(),
              () => trial.link.halfOpen(),
            ]),
            during: () => trial.pause(trial.visibilitySeconds * 2000 + trial.random.between(0, 1000)),
            end: () => trial.link.heal(),
          })
          await trial.pause(1000)
        }
      })
    },
  },
  {
    name: 'flaps',
    brokers: withLinks,
    full: { rounds: 200, tasks: 0 },
    short: { rounds: 10, tasks: 0 },
    async run(trial, { rounds }) {
      const worker = await trial.worker({ proxied: true })
      await underLoad(trial, { seconds: 0.1 }, async () => {
        for (let round = 0; round < rounds; round++) {
          trial.link.delay(trial.random.pick([0, 0, 5, 40]))
          await trial.pause(trial.random.between(20, 600))
          await trial.absence(worker, {
            begin: () => trial.link.reset(),
            // Until then it may begin what had arrived before.
            during: () => trial.noticed(worker),
            end: () => {},
          })
        }
        trial.link.heal()
      })
    },
  },
  {
    name: 'broker-restart',
    brokers: withLinks,
    full: { rounds: 50, tasks: 0 },
    short: { rounds: 2, tasks: 0 },
    async run(trial, { rounds }) {
      const worker = await trial.worker()
      await underLoad(trial, { seconds: 0.2 }, async () => {
        for (let round = 0; round < rounds; round++) {
          await trial.pause(trial.random.between(200, 1500))
          // While the broker is away nobody can renew or acknowledge.
          await trial.absence(worker, {
            begin: () => trial.server.stop(trial.random.pick(['SIGTERM', 'SIGKILL'])),
            during: () => trial.pause(trial.random.between(0, 1000)),
            end: () => trial.server.restart(),
          })
        }
      })
    },
  },
  {
    // Over AMQP a loop that is blocked for two heartbeats has lost its connection, as RabbitMQ sees it.
    name: 'blocked-event-loop',
    brokers: withLeases,
    full: { rounds: 0, tasks: 20 },
    short: { rounds: 0, tasks: 2 },
    async run(trial, { tasks }) {
      await trial.worker({ concurrency: 2 })
      await trial.worker({ concurrency: 2 })
      for (let i = 0; i < tasks; i++) {
        await trial.publish(trial.visibilitySeconds * 2.5, { blocking: true })
        await trial.publish(0.1)
      }
    },
  },
  {
    name: 'long-task-beside-celery',
    brokers: onlyRedis,
    full: { rounds: 0, tasks: 8 },
    short: { rounds: 0, tasks: 2 },
    async run(trial, { tasks }) {
      const holder = await trial.worker({ concurrency: tasks })
      for (let i = 0; i < tasks; i++) await trial.publish(trial.visibilitySeconds * 5)
      await trial.oracle.until(
        (facts) => facts.filter(({ what, who }) => what === 'start' && who === holder.name).length >= tasks,
        20_000,
      )
      await trial.worker({ side: 'celery', pool: 'solo', concurrency: 1 })
      await underLoad(trial, { seconds: 0.1 }, () => trial.pause(trial.visibilitySeconds * 5000 + 2000))
    },
  },
  {
    name: 'eta-while-bouncing',
    brokers: all,
    full: { rounds: 20, tasks: 20_000 },
    short: { rounds: 2, tasks: 100 },
    async run(trial, { rounds, tasks }) {
      const due = Date.now() + trial.visibilitySeconds * 10_000
      for (let i = 0; i < tasks; i += 100) {
        const batch = Array.from({ length: Math.min(100, tasks - i) }, () =>
          trial.publish(0, { countdown: Math.max(0, due - Date.now()) / 1000 + trial.random.between(0, 5) }),
        )
        await Promise.all(batch)
      }
      let worker = await trial.worker({ concurrency: 20 })
      // Also while they fall due, which takes five seconds.
      const end = due + 4000
      for (let round = 0; round < rounds; round++) {
        await trial.pause(trial.random.between(100, Math.max(200, (end - Date.now()) / (rounds - round))))
        const next = trial.worker({ concurrency: 20 })
        await (round % 2 === 0 ? worker.kill() : worker.terminate(10_000))
        worker = await next
      }
    },
  },
  {
    // The queue goes while nothing is in it; what is sent afterwards must be run by the worker that was there.
    name: 'queue-deleted',
    brokers: rabbits,
    full: { rounds: 20, tasks: 20 },
    short: { rounds: 2, tasks: 3 },
    async run(trial, { rounds, tasks }) {
      await trial.worker()
      for (let round = 0; round < rounds; round++) {
        for (let i = 0; i < tasks; i++) await trial.publish(0.02)
        // What waits in it, or is thought to be handed out, would go with it: it is left to be found there.
        if (!(await trial.settle(60_000))) return
        await trial.rabbit.deleteQueue(queue)
        await trial.pause(trial.random.between(0, 300))
      }
      for (let i = 0; i < tasks; i++) await trial.publish(0.02)
    },
  },
  {
    // RabbitMQ takes nothing from those who publish while its memory is short; workers go on.
    name: 'memory-alarm',
    brokers: rabbits,
    full: { rounds: 10, tasks: 0 },
    short: { rounds: 1, tasks: 0 },
    async run(trial, { rounds }) {
      await trial.worker()
      await underLoad(trial, { seconds: 0.1 }, async () => {
        for (let round = 0; round < rounds; round++) {
          await trial.pause(trial.random.between(100, 500))
          await trial.rabbit.server.memoryAlarm(true)
          await trial.pause(trial.random.between(0, 3000))
          await trial.rabbit.server.memoryAlarm(false)
        }
        await trial.pause(500)
      })
    },
  },
  {
    // A publish reaches the broker and its confirm does not come back: it may be refused to the caller, never lost.
    name: 'cut-before-confirm',
    brokers: rabbits,
    full: { rounds: 100, tasks: 0 },
    short: { rounds: 5, tasks: 0 },
    async run(trial, { rounds }) {
      await trial.worker()
      await underLoad(trial, { seconds: 0.05 }, async () => {
        for (let round = 0; round < rounds; round++) {
          await trial.pause(trial.random.between(20, 300))
          trial.publisherLink?.mute()
          await trial.pause(trial.random.between(0, 100))
          trial.publisherLink?.heal()
        }
      })
    },
  },
]
