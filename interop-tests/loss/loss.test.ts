/** The short form of `npm run loss`: each scenario once, with a new seed that a failure shows. */
import { describe, expect, it } from 'vitest'
import { noRedis, skipNote } from '../redis-server.js'
import { runScenario } from './report.js'
import { scenarios } from './scenarios.js'

const nothingWrong = { lost: [], duplicates: [], late: [], early: [], ghosts: [], open: 0 }

for (const broker of ['redis', 'filesystem'] as const) {
  const missing = broker === 'redis' ? noRedis : undefined
  describe.skipIf(missing)(`a celeriac worker over ${broker} loses nothing${skipNote(missing)}`, () => {
    for (const scenario of scenarios.filter(({ brokers }) => brokers.includes(broker))) {
      it(`ACK-026 ACK-027 ${scenario.name}`, { timeout: 240_000 }, async () => {
        const { verdict, workflows, leftover, seed, printed } = await runScenario({
          scenario,
          side: 'celeriac',
          broker,
          seed: Math.floor(Math.random() * 2 ** 32),
          amounts: scenario.short,
          visibilitySeconds: 2,
        })
        const { lost, duplicates, late, early, ghosts, sent } = verdict
        expect(
          { lost, duplicates, late, early, ghosts, open: workflows.open, failed: workflows.failed, leftover },
          `seed ${seed}; the workers printed:\n${printed}`,
        ).toEqual({
          ...nothingWrong,
          failed: [],
          leftover: 0,
        })
        expect(sent).toBeGreaterThan(0)
      })
    }
  })
}
