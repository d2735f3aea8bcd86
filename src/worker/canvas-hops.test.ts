/** Long chains: a worker reads the step that comes next, and passes the others on as they came. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import type { AnyResult } from '../backend/any-result.js'
import { chain, chord, group } from '../canvas/build.js'
import type { Signature } from '../canvas/signature.js'
import { Trial } from './trial.test.setup.js'

const timeout = 20
/** Enough steps that they are not read at once. */
const many = 20

afterEach(() => void vi.restoreAllMocks())

async function begun() {
  const trial = new Trial()
  const { app } = trial
  const tasks = {
    next: app.task('t.next', (x: number) => x + 1),
    both: app.task('t.both', (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0)),
    fail: app.task('t.fail', (_: number): number => {
      throw new Error('broken')
    }),
  }
  const steps = (count = many): Signature<[number], number>[] =>
    Array.from({ length: count }, () => tasks.next.s())
  const whole = (...all: readonly unknown[]): Signature =>
    (chain as (...steps: unknown[]) => Signature)(tasks.next.s(0), ...all)
  await trial.started({ concurrency: 4 })
  return { trial, app, steps, whole, ...tasks }
}

describe('a chain that is passed on', () => {
  it('CNV-046 costs each worker the step that comes next, however many are behind it', async () => {
    const { trial, steps, whole } = await begun()
    await using _ = trial
    const parse = vi.spyOn(JSON, 'parse')
    const stringify = vi.spyOn(JSON, 'stringify')
    const costOf = async (count: number): Promise<number> => {
      parse.mockClear()
      const result = await whole(...steps(count)).delay()
      stringify.mockClear()
      expect(await result.get({ timeout })).toBe(count + 1)
      const read = parse.mock.calls.map(([text]) => text)
      const written = stringify.mock.results.map(({ value }) => String(value))
      return [...read, ...written].reduce((sum, text) => sum + text.length, 0)
    }
    expect(await costOf(200)).toBeLessThan(2.2 * (await costOf(100)))
  })

  it('CNV-046 CNV-128 shows a task all that comes after it', async () => {
    const { trial, app, steps, whole } = await begun()
    await using _ = trial
    const seen: unknown[] = []
    const look = app.task('t.look', { bind: true }, ({ request }, x: number) => {
      seen.push(
        Array.isArray(request.chain),
        request.chain.map(({ task }) => task),
      )
      return x
    })
    expect(await (await whole(look.s(), ...steps()).delay()).get({ timeout })).toBe(many + 1)
    expect(seen).toEqual([true, Array.from({ length: many }, () => 't.next')])
  })

  it('CNV-054 ends as failed with all its steps when one fails', async () => {
    const { trial, fail, steps, whole } = await begun()
    await using _ = trial
    const last = (await whole(fail.s(), ...steps()).delay()) as AnyResult
    await expect(last.get({ timeout })).rejects.toThrow('broken')
    const states: unknown[] = []
    for (let one: AnyResult | undefined = last; one !== undefined; one = one.parent) {
      states.push(await trial.state(one.id as string))
    }
    expect(states).toEqual([...Array.from({ length: many + 1 }, () => 'FAILURE'), 'SUCCESS'])
  })

  it('CNV-058 CNV-126 goes on behind a task that retries with other arguments, or puts a chain in its place', async () => {
    const { trial, app, next, steps, whole } = await begun()
    await using _ = trial
    const flaky = app.task('t.flaky', { bind: true }, async (self, x: number) => {
      if (self.request.retries === 0) await self.retry({ args: [x + 10], countdown: 0 })
      return x
    })
    const replaced = app.task('t.replaced', { bind: true }, (self, x: number) =>
      self.replace(chain(next.s(x), next.s())),
    )
    const result = await whole(flaky.s(), ...steps(), replaced.s(), ...steps()).delay()
    expect(await result.get({ timeout })).toBe(1 + 10 + many + 2 + many)
  })

  it('CNV-039 CNV-051 CNV-091 goes on behind chords, groups and chains among its steps', async () => {
    const { trial, app, next, both, steps, whole } = await begun()
    await using _ = trial
    const header = [next.s(), next.s()]
    const result = await whole(
      chord(header, both.s()),
      ...steps(),
      group(header),
      both.s(),
      ...steps(),
    ).delay()
    const between = 2 * 2 + many
    expect(await result.get({ timeout })).toBe(2 * (between + 1) + many)
    // As a client of another kind may send it: a chain as a step of a running chain.
    const inner = chain(next.s(), next.s()) as Signature
    const rest = [...steps(), inner].map((step) => {
      step.freeze()
      return step.toSignatureData()
    })
    const sent = await app.signature('t.next', { args: [0] }).applyAsync({ chain: rest })
    const last = app.asyncResult<number>(
      String((rest[0] as { options: { task_id: string } }).options.task_id),
    )
    expect(await last.get({ timeout })).toBe(1 + 2 + many)
    expect(await sent.get({ timeout })).toBe(1)
  })
})
