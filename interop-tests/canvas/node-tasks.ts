/** The TypeScript side of the canvas tests: the tasks `node.*`, which do what those of canvas_app.py do. */
import { appendFileSync, closeSync, openSync } from 'node:fs'
import { type Celery, Reject } from '../../src/index.js'
import { build } from './build.js'
import { short } from './model.js'
import type { Lang, Spec } from './spec.js'

/** Something that happened in a task, of either language. */
export interface Note {
  readonly what: 'run' | 'errback'
  readonly tag: string
  readonly id: string
}

/** Registers `<lang>.mark` and the others; what they do is appended to the file `log`, as by Python. */
export function defineTasks(app: Celery, log: string, lang: Lang): void {
  const note = (what: Note['what'], tag: unknown, id: string): void =>
    appendFileSync(log, `${JSON.stringify({ what, tag, id })}\n`)
  const isFirst = (id: string): boolean => {
    try {
      closeSync(openSync(`${log}.${id}`, 'wx'))
      return true
    } catch {
      return false
    }
  }
  const value = (id: string, args: readonly unknown[]): readonly unknown[] => {
    note('run', args.at(-1), id)
    return short([args.at(-1), ...args.slice(0, -1)])
  }
  app.task(`${lang}.mark`, { bind: true }, (self, ...args: unknown[]) => value(self.request.id, args))
  app.task(`${lang}.fail`, { bind: true }, (self, ...args: unknown[]) => {
    note('run', args.at(-1), self.request.id)
    throw Object.assign(new Error(String(args.at(-1))), { name: 'ValueError' })
  })
  app.task(`${lang}.flaky`, { bind: true, maxRetries: 5 }, async (self, ...args: unknown[]) => {
    if (self.request.retries < Number(args.at(-2))) await self.retry({ countdown: 0 })
    return value(self.request.id, [...args.slice(0, -2), args.at(-1)])
  })
  app.task(`${lang}.twice`, { bind: true }, async (self, ...args: unknown[]) => {
    if (isFirst(self.request.id)) await self.retry({ countdown: 0, throw: false })
    return value(self.request.id, args)
  })
  app.task(`${lang}.again`, { bind: true, acksLate: true }, (self, ...args: unknown[]) => {
    if (isFirst(self.request.id)) throw new Reject('again', true)
    return value(self.request.id, args)
  })
  app.task(`${lang}.replaced`, { bind: true }, (self, ...args: unknown[]) => {
    note('run', args.at(-1), self.request.id)
    return self.replace(build(app, args.at(-2) as Spec))
  })
  app.task(`${lang}.add`, (x: number, y: number) => x + y)
  app.task(`${lang}.tsum`, (values: readonly number[]) => values.reduce((sum, one) => sum + one, 0))
  app.task(`${lang}.identity`, (x: unknown) => x)
  app.task(`${lang}.ids`, { bind: true }, ({ request }, ..._: unknown[]) => [
    request.rootId,
    request.parentId ?? null,
    request.id,
  ])
  app.task(`${lang}.errback`, { bind: true }, (_self, id: string, tag: string) => note('errback', tag, id))
}
