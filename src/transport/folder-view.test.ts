import { mkdtemp, rename, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemClock } from '../clock.js'
import { FolderView } from './folder-view.js'

let folder: string
let view: FolderView
const never = new AbortController().signal
const put = (name: string): Promise<void> => writeFile(path.join(folder, name), '')

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'celeriac-view-'))
  view = new FolderView(folder, 60_000, systemClock())
})
afterEach(async () => {
  view.close()
  await rm(folder, { recursive: true })
})

describe('FolderView', () => {
  it('takes the oldest names first over all queues that are asked for, each once', async () => {
    for (const name of ['3_a.x.msg', '1_a.y.msg', '2_a.x.msg', '0_a.z.msg', 'other']) await put(name)
    await view.refresh()
    expect(view.take(['x', 'y'], 2)).toEqual(['1_a.y.msg', '2_a.x.msg'])
    expect(view.take(['x', 'y'], 9)).toEqual(['3_a.x.msg'])
    expect(view.take(['x', 'y'], 9)).toEqual([])
  })

  it('is told of what comes, long before it would look', async () => {
    await view.refresh()
    const changed = view.changed(['x'], 60_000, never)
    await put('scratch')
    await rename(path.join(folder, 'scratch'), path.join(folder, '1_a.x.msg'))
    await changed
    expect(view.take(['x'], 9)).toEqual(['1_a.x.msg'])
  })

  it('looks for itself where the system does not tell', async () => {
    const blind = new FolderView(folder, 20, systemClock())
    // Closed before its start, it watches nothing: all it learns is by looking.
    blind.close()
    await put('1_a.x.msg')
    for (const name of ['1_a.x.msg', '2_a.x.msg', '3_a.x.msg']) {
      await put(name)
      let taken: readonly string[] = []
      for (let looks = 0; looks < 100 && !taken.includes(name); looks += 1) {
        await blind.changed(['x'], 20, never)
        await blind.refresh()
        taken = blind.take(['x'], 9)
        await rm(path.join(folder, name), { force: taken.includes(name) })
        if (!taken.includes(name)) await put(name)
      }
      expect(taken).toContain(name)
    }
  })

  it('stops waiting when its signal aborts', async () => {
    await view.refresh()
    const abort = new AbortController()
    const waiting = view.changed(['x'], 60_000, abort.signal)
    abort.abort()
    await waiting
    expect(view.take(['x'], 1)).toEqual([])
  })
})
