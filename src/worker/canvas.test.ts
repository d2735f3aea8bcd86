/** What the rest of a canvas is told of tasks that are retried, revoked, replaced, given up, ignored, or run eagerly. */
import { describe, expect, it } from 'vitest'
import type { AnyResult } from '../backend/any-result.js'
import { chain, chord, group } from '../canvas/build.js'
import type { Signature } from '../canvas/signature.js'
import { Ignore } from '../errors.js'
import { Trial, until } from './trial.test.setup.js'

const timeout = 10

/** A trial whose worker runs, with some tasks. */
async function begun(settings: object = {}) {
  const trial = new Trial(settings)
  const { app } = trial
  const errbacks: [id: string, tag: string][] = []
  const tasks = {
    add: app.task('t.add', (x: number, y: number) => x + y),
    same: app.task('t.same', (x: unknown) => x),
    fail: app.task('t.fail', (..._: unknown[]): number => {
      throw Object.assign(new Error('broken'), { name: 'ValueError' })
    }),
    tell: app.task('t.tell', (id: string, tag: string) => void errbacks.push([id, tag])),
  }
  const worker = await trial.started({ concurrency: 4 })
  const told = (tag: string): readonly string[] => errbacks.flatMap(([id, of]) => (of === tag ? [id] : []))
  /** Everything that was sent before has run. */
  const settled = async (): Promise<void> => {
    await until('all have run', async () => worker.ledger.size === 0 && (await trial.waiting()) === 0)
  }
  return { trial, app, worker, told, settled, ...tasks }
}

describe('members of a chord', () => {
  it('CNV-116 TSK-062 one that retries is counted at its end; one that is ignored never is', async () => {
    const { trial, app, same, settled } = await begun()
    await using _ = trial
    const flaky = app.task('t.flaky', { bind: true }, async (self, x: number) => {
      if (self.request.retries < 2) await self.retry({ countdown: 0 })
      return x
    })
    const whole = await chord([flaky.s(1), same.s(2)], same.s()).delay()
    expect(await whole.get({ timeout })).toEqual([1, 2])
    const silent = app.task('t.silent', (): number => {
      throw new Ignore('not today')
    })
    await chord([silent.s(), same.s(2)], same.s()).delay()
    await settled()
    const waiting: unknown[] = []
    for await (const { size, counted, missing } of app.chords.pending())
      waiting.push([size, counted, missing])
    expect(waiting).toEqual([[2, 1, [0]]])
  })

  it('CNV-093 one whose result is ignored is counted all the same', async () => {
    const { trial, app, same } = await begun()
    await using _ = trial
    const ignored = app.task('t.ignored', { ignoreResult: true }, (x: number) => x)
    const whole = await chord([ignored.s(1), same.s(2)], same.s()).delay()
    expect(await whole.get({ timeout })).toEqual([1, 2])
    expect(await trial.meta(whole.parent?.results?.[0]?.id as string)).toBeUndefined()
  })

  it('CNV-117 CNV-056 a revoked one fails the body; of a chain the steps behind a revoked one are not marked', async () => {
    const { trial, worker, same } = await begun()
    await using _ = trial
    worker.revoke('revoked-member')
    const whole = await chord([same.s(1).set({ taskId: 'revoked-member' }), same.s(2)], same.s()).delay()
    await expect(whole.get({ timeout })).rejects.toThrow('TaskRevokedError')
    worker.revoke('revoked-step')
    const last = await chain(same.s(1).set({ taskId: 'revoked-step' }), same.s()).delay()
    await expect(last.get({ timeout })).rejects.toThrow('revoked')
    expect(await trial.meta(last.id as string)).toBeUndefined()
  })

  it('CNV-114 a body that is a group: each member fails with the error itself, and so does the group', async () => {
    const { trial, same, fail, tell, told, settled } = await begun()
    await using _ = trial
    const members = [same.s(), same.s()].map((member) => {
      member.linkError(tell.s('member'))
      return member
    })
    const result = await chord(
      [fail.s(1), same.s(2)],
      group(members) as unknown as Signature<[unknown]>,
    ).delay()
    const { results = [] } = result as AnyResult
    const ids = results.map((one) => one.id as string)
    await until('all are marked', async () => {
      const states = await Promise.all([...ids, result.id as string].map((id) => trial.state(id)))
      return states.every((state) => state === 'FAILURE')
    })
    expect((await trial.meta(ids[1] as string))?.result).toMatchObject({
      type: 'ValueError',
      args: ['broken'],
    })
    await settled()
    expect([...told('member')].sort()).toEqual([...ids].sort())
  })

  it('CNV-086 CNV-099 a group at the end of a chain counts all of its members, whichever of them ends last', async () => {
    const { trial, app, same } = await begun()
    await using _ = trial
    let letGo = (): void => {}
    const waits = new Promise<void>((resolve) => {
      letGo = resolve
    })
    const late = app.task('t.late', async (x: number) => {
      await waits
      return x
    })
    const tail = chain(same.s(2), group(same.si(3), late.si(4))) as unknown as Signature
    const whole = await chord([same.s(1), tail], same.s() as Signature).delay()
    const counted = async (): Promise<unknown> => {
      for await (const { size, counted } of app.chords.pending()) return [size, counted]
      return undefined
    }
    await until('two parts are counted', async () => String(await counted()) === '3,2')
    letGo()
    expect(await whole.get({ timeout })).toEqual([1, [3, 4]])
  })

  it('CNV-156 one that ends itself at its soft time limit gives its value', async () => {
    const { trial, app, same } = await begun()
    await using _ = trial
    const soft = app.task('t.soft', { bind: true, softTimeLimit: 0.05 }, async (self) => {
      await new Promise<void>((resolve) => self.signal.addEventListener('abort', () => resolve()))
      return 1
    })
    const whole = await chord([soft.s(), same.s(2)], same.s()).delay()
    expect(await whole.get({ timeout })).toEqual([1, 2])
  })

  it('CNV-112 without a result store a message that names a chord runs, and its chord is let be', async () => {
    const { trial, app, worker } = await begun({ resultBackend: undefined })
    await using _ = trial
    let ran = 0
    app.task('t.count', () => void ran++)
    const body = { task: 't.count', args: [], kwargs: {}, options: {}, subtask_type: null, immutable: true }
    await app.sendTask('t.count', { groupId: 'g', groupIndex: 0, chord: body })
    await until('it has run', () => ran === 1 && worker.ledger.size === 0)
    expect([ran, await trial.waiting()]).toEqual([1, 0])
  })
})

describe('error callbacks', () => {
  const header = 4
  const failing = (fail: { s(): Signature<[], number> }) => Array.from({ length: header }, () => fail.s())

  it('CNV-203 with task_allow_error_cb_on_chord_header: one for each failed header task, and one for the body', async () => {
    const { trial, fail, same, tell, told, settled } = await begun({ taskAllowErrorCbOnChordHeader: true })
    await using _ = trial
    const made = chord(failing(fail as never), same.s())
    made.linkError(tell.s('chord'))
    const result = await made.delay()
    await expect(result.get({ timeout })).rejects.toThrow('broken')
    const upgraded = chain(group(failing(fail as never)), same.s() as never) as unknown as Signature
    upgraded.linkError(tell.s('upgraded'))
    await expect(((await upgraded.delay()) as typeof result).get({ timeout })).rejects.toThrow('broken')
    await settled()
    expect([told('chord').length, told('upgraded').length]).toEqual([header + 1, header + 1])
    expect(told('chord')).toContain(result.id)
  })

  it('CNV-204 without it exactly one, whatever the header is', async () => {
    const { trial, fail, same, tell, told, settled } = await begun()
    await using _ = trial
    const one = () => fail.s() as unknown as Signature<[], number>
    const headers: Record<string, readonly Signature[]> = {
      task: [one()],
      tasks: failing(fail as never) as never,
      chain: [chain(same.s(1), same.s(), fail.s()) as never],
      'chain that fails at once': [chain(fail.s(), same.s()) as never],
      group: [group(one(), one()) as never],
      mixed: [one(), chain(same.s(1), fail.s()) as never, same.s(1) as never],
    }
    for (const [name, members] of Object.entries(headers)) {
      const made = chord(members as Signature[], same.s())
      made.linkError(tell.s(name))
      await expect((await made.delay()).get({ timeout }), name).rejects.toThrow('broken')
      await settled()
      expect(told(name), name).toHaveLength(1)
    }
  })

  it('CNV-125 ACK-030 are called for a task that was given up at its hard time limit', async () => {
    const { trial, app, tell, told, settled } = await begun()
    await using _ = trial
    const stuck = app.task('t.stuck', { timeLimit: 0.05 }, () => new Promise<number>(() => {}))
    const made = stuck.s()
    made.linkError(tell.s('given up'))
    const result = await made.delay()
    await expect(result.get({ timeout })).rejects.toThrow()
    await settled()
    expect(told('given up')).toEqual([result.id])
  })
})

describe('what a task sends and what replaces it', () => {
  it('CNV-072 TSK-070 a group that a task sends is one child of it', async () => {
    const { trial, app, same, add } = await begun()
    await using _ = trial
    const spawn = app.task('t.spawn', async () => {
      await group(same.s(1), add.s(1, 1)).delay()
    })
    const result = await spawn.delay()
    await result.get({ timeout })
    const children = await result.children()
    expect(children).toHaveLength(1)
    expect(await children?.[0]?.get({ timeout })).toEqual([1, 2])
  })

  it('CNV-131 CNV-130 a retry keeps the depth of replacement; run eagerly, what replaces a task runs in its place', async () => {
    const { trial, app } = await begun()
    await using _ = trial
    const depth = app.task('t.depth', { bind: true }, async (self) => {
      if (self.request.retries === 0) await self.retry({ countdown: 0 })
      return self.request.replacedTaskNesting
    })
    const replaced = app.task('t.replaced', { bind: true }, (self) => self.replace(depth.s()))
    expect(await (await replaced.delay()).get({ timeout })).toBe(1)
    const add = app.task('t.sum', (x: number, y: number) => x + y)
    const eager = app.task('t.eager', { bind: true }, (self) => self.replace(chain(add.s(1, 2), add.s(3))))
    expect(await (await eager.apply()).get()).toBe(6)
  })

  it('CNV-143 CNV-146 stamps are those of the task, also eagerly, and not of what it sends', async () => {
    const { trial, app } = await begun()
    await using _ = trial
    const stamps = app.task('t.stamps', { bind: true }, (self) => self.request.stamps)
    const sender = app.task('t.sender', { bind: true }, async (self) => {
      const { id } = await stamps.delay()
      return [self.request.stamps, id]
    })
    const [own, id] = (await (await sender.s().stamp({ tenant: 'acme' }).delay()).get({ timeout })) as [
      object,
      string,
    ]
    expect(own).toEqual({ tenant: 'acme' })
    expect(await app.asyncResult(id).get({ timeout })).toEqual({})
    expect(await (await stamps.s().stamp({ tenant: 'acme' }).apply()).get()).toEqual({ tenant: 'acme' })
  })

  it('CNV-212 the result of a chain with two groups in a row keeps both of them', async () => {
    const { trial, same, add } = await begun()
    await using _ = trial
    const made = chain([same.s(1), group(add.s(1), add.s(2)), group(same.s(), same.s())] as Signature[])
    const { parent, results } = (await made.delay()) as never as {
      parent: { results: unknown[]; parent: unknown }
      results: unknown[]
    }
    expect([results, parent.results].map((members) => members?.length)).toEqual([2, 2])
    expect(parent.parent).toBeDefined()
  })
})
