import { afterAll, describe, expect, it } from 'vitest'
import { createCodec } from '../../protocol/serializers.js'
import { systemClock } from '../clock.js'
import { AbortableAsyncResult } from './abortable-result.js'
import { AsyncResult } from './async-result.js'
import { metaOf } from './backend.conformance.js'
import { type GroupProgress, progressLine } from './group-progress.js'
import { GroupResult } from './group-result.js'
import { openBackend } from './open.js'
import type { ResultContext } from './result-context.js'

const clock = systemClock()
const backend = openBackend('cache+memory://', { codec: createCodec(), clock })
const context: ResultContext = { backend, clock, insideTask: () => false }
const boom = { type: 'ValueError', module: 'builtins', args: ['boom'], traceback: undefined }
const task = (id: string): AsyncResult => new AsyncResult(id, context)
afterAll(() => backend.close())

/** A stream that keeps what is written to it; each write is told. */
function paper(isTTY: boolean, columns: number, written: (text: string) => void = () => {}) {
  const texts: string[] = []
  const write = (text: string): void => {
    texts.push(text)
    written(text)
  }
  return { isTTY, columns, texts, write }
}

describe('progress of a group', () => {
  it('yields at once and as each task ends, those of nested groups too, and throws no error of theirs', async () => {
    const inner = new GroupResult('p-inner', ['p-c', 'p-d'].map(task), context)
    const group = new GroupResult('p', [task('p-a'), task('p-b'), inner], context)
    const seen: GroupProgress[] = []
    const ends = [
      () => backend.store(metaOf('p-c', 'SUCCESS', 1)),
      () => backend.store(metaOf('p-a', 'FAILURE', boom)),
      () => backend.store(metaOf('p-d', 'REVOKED', boom)),
      () => backend.store(metaOf('p-b', 'SUCCESS', 2)),
    ]
    for await (const progress of group.progress({ timeout: 10 })) {
      seen.push(progress)
      await ends[seen.length - 1]?.()
    }
    expect(seen.map(({ done, failed }) => [done, failed])).toEqual([
      [0, 0],
      [1, 0],
      [2, 1],
      [3, 2],
      [4, 2],
    ])
    expect(seen.every(({ total }) => total === 4)).toBe(true)
  })

  it('writes one line over and over on a terminal, and a line for every tenth elsewhere', async () => {
    const ids = Array.from({ length: 40 }, (_, i) => `w-${i}`)
    for (const id of ids) await backend.store(metaOf(id, 'SUCCESS', id))
    const group = new GroupResult('w', ids.map(task), context)
    const terminal = paper(true, 60)
    await group.showProgress(terminal)
    expect(terminal.texts.at(-1)).toBe('\n')
    expect(terminal.texts.at(-2)).toBe(`\r[${'#'.repeat(40)}] 100% 40/40`)
    expect(terminal.texts).toHaveLength(42)
    const file = paper(false, 60)
    await group.showProgress(file)
    expect(file.texts).toHaveLength(11)
    expect(file.texts.slice(0, 3)).toEqual(['0/40\n', '4/40\n', '8/40\n'])
  })

  it('fits its line into any width', () => {
    const half = { done: 5, failed: 1, total: 10 }
    expect(progressLine(half, 40)).toBe('[########---------]  50% 5/10, 1 failed')
    for (const columns of [0, 1, 10, 25, 30, 200]) {
      expect(progressLine(half, columns).length).toBeLessThanOrEqual(Math.max(0, columns - 1))
    }
    expect(progressLine({ done: 0, failed: 0, total: 0 }, 40)).toContain('100% 0/0')
  })
})

describe('AbortableAsyncResult', () => {
  it('TST-021 stores ABORTED for the task to see, which gives way to how the task ends', async () => {
    const result = new AbortableAsyncResult('ab-1', context)
    expect(await result.isAborted()).toBe(false)
    await result.abort()
    expect(await result.isAborted()).toBe(true)
    expect(await new AsyncResult('ab-1', context).state()).toBe('ABORTED')
    await backend.store(metaOf('ab-1', 'SUCCESS', 'stopped early'))
    expect(await result.isAborted()).toBe(false)
    expect(await result.get({ timeout: 10 })).toBe('stopped early')
  })

  it('waits for a chain of thousands without going deeper than its stack', async () => {
    let last = task('deep-0')
    await backend.store(metaOf('deep-0', 'FAILURE', boom))
    for (let i = 1; i <= 20_000; i++) {
      const next = task(`deep-${i}`)
      next.parent = last
      last = next
    }
    await expect(last.get({ timeout: 10 })).rejects.toThrow('boom')
  })
})
