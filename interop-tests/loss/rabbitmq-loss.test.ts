/** The short form of `npm run loss -- --broker rabbitmq`; each trial has a virtual host of its own on one server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { noRabbit, type RabbitServer } from '../rabbitmq-server.js'
import { skipNote } from '../redis-server.js'
import { LossRabbit } from './rabbit.js'
import { runScenario } from './report.js'
import { scenarios } from './scenarios.js'

const visibilitySeconds = 2
/** Few enough for CI; `npm run loss` runs all. Cold and long ends differ little by broker, and are tried over Redis. */
const short = {
  rabbitmq: [
    'kill-saturated',
    'term-short-grace',
    'partition',
    'flaps',
    'broker-restart',
    'queue-deleted',
    'memory-alarm',
    'cut-before-confirm',
  ],
  quorum: ['kill-saturated', 'queue-deleted'],
}

describe.skipIf(noRabbit)(`a celeriac worker over RabbitMQ loses nothing${skipNote(noRabbit)}`, () => {
  let rabbit: RabbitServer
  beforeAll(async () => {
    rabbit = await LossRabbit.serve(visibilitySeconds)
  })
  afterAll(() => rabbit?.close())

  for (const broker of ['rabbitmq', 'quorum'] as const) {
    const chosen = scenarios.filter(
      ({ name, brokers }) => brokers.includes(broker) && short[broker].includes(name),
    )
    it.each(chosen)(`ACK-026 ACK-027 $name (${broker})`, { timeout: 240_000 }, async (scenario) => {
      const { verdict, leftover, seed, printed } = await runScenario({
        scenario,
        side: 'celeriac',
        broker,
        seed: Math.floor(Math.random() * 2 ** 32),
        amounts: scenario.short,
        visibilitySeconds,
        rabbit,
      })
      const { lost, duplicates, late, ghosts, sent } = verdict
      expect(
        { lost, duplicates, late, ghosts, leftover },
        `seed ${seed}; the workers printed:\n${printed}`,
      ).toEqual({ lost: [], duplicates: [], late: [], ghosts: [], leftover: 0 })
      expect(sent).toBeGreaterThan(0)
    })
  }
})
