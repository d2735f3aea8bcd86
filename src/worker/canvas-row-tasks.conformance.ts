/** The tasks of the whole canvases (canvas-rows.conformance.ts); `interop-tests/canvas/rows_app.py` has the same. */
import { chain, group } from '../canvas/build.js'
import { Ignore } from '../errors.js'
import type { TaskContext } from '../execution/context.js'
import type { RowLang } from './canvas-rows.conformance.js'
import type { Celery } from './celery.js'

/** Registers `<lang>.add` and the others. The tasks that they start themselves are those of the other language. */
export function rowTasks(app: Celery, lang: RowLang, note: (tag: string, id: string) => void): void {
  const other = lang === 'py' ? 'node' : 'py'
  const sent = new Set<string>()
  const sig = (name: string, ...args: unknown[]) => app.signature(`${other}.${name}`, { args })
  const define = (
    name: string,
    run: (self: TaskContext, ...args: never[]) => unknown,
    options: object = {},
  ): void => {
    app.task(
      `${lang}.${name}`,
      { ...options, bind: true },
      run as (self: TaskContext, ...args: unknown[]) => unknown,
    )
  }
  const tell = (self: TaskContext, id = self.request.id): void => {
    const { tag } = self.request.kwargs
    if (typeof tag === 'string') note(tag, id)
  }
  const deliberate = (): never => {
    throw Object.assign(new Error('deliberate'), { name: 'ValueError' })
  }
  const plus = (x: unknown, y: unknown): unknown =>
    Array.isArray(x) ? [...x, ...(y as unknown[])] : (x as number) + (y as number)

  define('add', (_self, x: unknown, y: unknown, z: unknown) => (z ? plus(plus(x, y), z) : plus(x, y)), {
    params: ['x', 'y', 'z?'],
  })
  define('add_quiet', (_self, x: number, y: number) => x + y, { ignoreResult: true })
  define('identity', (self, x: unknown, ..._args: unknown[]) => {
    tell(self)
    return x
  })
  define('tsum', (_self, numbers: number[]) => numbers.reduce((sum, one) => sum + one, 0))
  define('boom', (self, ..._args: unknown[]) => {
    tell(self)
    return deliberate()
  })
  define('boom_replaced', (self, ..._args: unknown[]) => self.replace(sig('boom')))
  define('add_replaced', (self, x: unknown, y: unknown) => self.replace(sig('add', x, y)))
  define('add_to_all', (self, numbers: unknown[], value: unknown) =>
    self.replace(group(numbers.map((one) => sig('add', one, value)))),
  )
  define('add_to_all_to_chord', async (self, numbers: number[], value: number) => {
    for (const one of numbers) await self.addToChord(sig('add', one, value))
    return 0
  })
  define('add_chord_to_chord', async (self, numbers: number[], value: number) => {
    await self.addToChord(group(numbers.map((one) => sig('add', one, value))).pipe(sig('tsum') as never))
    return 0
  })
  define('replace_with_chain', (self, ...args: unknown[]) => {
    const made = chain([sig('identity', ...args), sig('identity')])
    const { tag } = self.request.kwargs
    if (tag !== undefined) made.link(app.signature(`${other}.echo`, { kwargs: { tag }, immutable: true }))
    return self.replace(made)
  })
  define('replace_raises', (self, ...args: unknown[]) => {
    const made = chain([sig('identity', ...args), sig('boom')])
    const { tag } = self.request.kwargs
    made.linkError(app.signature(`${other}.echo`, { kwargs: { tag }, immutable: true }))
    return self.replace(made)
  })
  define('replace_empty', (self, ..._args: unknown[]) => self.replace(chain([])))
  define('ids', (self, i: unknown) => [self.request.rootId, self.request.parentId ?? null, i])
  define('collect_ids', (self, res: unknown, i: unknown) => [
    res,
    [self.request.rootId, self.request.parentId ?? null, i],
  ])
  define('echo', (self, ...args: unknown[]) => {
    tell(self)
    return args.length
  })
  // An errback of either style: it notes whose failure it was told of.
  define('err', (self, id: string) => tell(self, id))
  define('group_id', (self, ..._args: unknown[]) => tell(self, self.request.group ?? ''))
  define('priority', (self, ..._args: unknown[]) => self.request.deliveryInfo.priority ?? 0)
  define('stamps', (self, ...args: unknown[]) => [...args, self.request.stamps])
  define('stamps_retried', async (self, ..._args: unknown[]) => {
    if (self.request.retries === 0) await self.retry({ countdown: 0 })
    return self.request.stamps
  })
  define('stamps_replaced', (self, ..._args: unknown[]) => {
    const inner = sig('stamps')
    inner.stamp({ inner: 'yes' })
    return self.replace(inner)
  })
  // Its sub-tasks carry no stamps of its own, and stand among its children as one group.
  define('fan', async (self, ..._args: unknown[]) => {
    await group([sig('stamps'), sig('stamps')]).applyAsync()
    return Object.keys(self.request.stamps)
  })
  define('retried', async (self, value: unknown) => {
    if (self.request.retries < 2) await self.retry({ countdown: 0 })
    return value
  })
  define('ignoring', (..._args: unknown[]) => {
    throw new Ignore()
  })
  /** Sends its own message again before it returns, as a broker may. */
  define('doubled', async (self, value: unknown) => {
    const { id } = self.request
    if (!sent.has(id)) {
      sent.add(id)
      await self.retry({ countdown: 0, throw: false })
    }
    return value
  })
  define('outer', async (self, state: boolean) => {
    note(`${self.request.kwargs['tag']} ${state ? 'out' : 'in'} A`, '')
    if (state) return null
    return self.replace(chain([sigOf(self, 'inner', false), sigOf(self, 'outer', true)]))
  })
  define('inner', async (self, state: boolean) => {
    note(`${self.request.kwargs['tag']} ${state ? 'out' : 'in'} B`, '')
    if (state) return null
    const echo = app.signature(`${other}.echo`, {
      kwargs: { tag: `${self.request.kwargs['tag']} C` },
      immutable: true,
    })
    return self.replace(chain([echo, sigOf(self, 'inner', true)]))
  })
  define('patient', async (self, ..._args: unknown[]) => {
    await new Promise((resolve) => self.signal.addEventListener('abort', resolve, { once: true }))
    return 0
  })

  function sigOf(self: TaskContext, name: string, state: boolean) {
    const { tag } = self.request.kwargs
    return app.signature(`${other}.${name}`, { args: [state], kwargs: { tag }, immutable: true })
  }
}
