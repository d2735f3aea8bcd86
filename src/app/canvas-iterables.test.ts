import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { chain, chord, group } from '../canvas/build.js'
import type { Signature } from '../canvas/signature.js'
import { RecordingApp } from './recording-app.conformance.js'

let app: RecordingApp
beforeEach(() => {
  app = new RecordingApp(true)
})
afterEach(() => app.close())

function tasksOf(of: RecordingApp) {
  return {
    add: of.task('t.add', (x: number, y: number) => x + y),
    xsum: of.task('t.xsum', (values: readonly number[]) => values.length),
  }
}

type Made = AsyncIterable<Signature<[], number>>

/** The canvases that read an iterable, each in its own way. */
function canvases(made: Made): Readonly<Record<string, () => Signature>> {
  const { add, xsum } = tasksOf(app)
  return {
    'a group': () => group(made) as unknown as Signature,
    'the header of a chord': () => chord(made, xsum.s()) as unknown as Signature,
    'a group in a header': () => chord([group(made)], xsum.s()) as unknown as Signature,
    'a group in a chain': () => chain([add.s(1, 1) as Signature, group(made) as unknown as Signature]),
  }
}

const kinds = ['a group', 'the header of a chord', 'a group in a header', 'a group in a chain']

describe('members that are made while they are sent', () => {
  it.each(kinds)('are no longer waited for when the signal of the call aborts: %s', async (kind) => {
    const { add } = tasksOf(app)
    const ending = new AbortController()
    async function* stuck() {
      yield add.s(1, 1)
      yield add.s(2, 2)
      ending.abort(new Error('enough'))
      await new Promise(() => {})
    }
    const sending = canvases(stuck())[kind]?.().applyAsync({ signal: ending.signal })
    await expect(sending).rejects.toThrow('enough')
  })

  it.each(kinds)('end when the signal aborts, and let go of what they hold: %s', async (kind) => {
    const { add } = tasksOf(app)
    const ending = new AbortController()
    let letGo = (): void => {}
    const isLetGo = new Promise<void>((resolve) => {
      letGo = resolve
    })
    async function* endless() {
      try {
        for (let n = 0; ; n++) {
          if (n === 10) ending.abort(new Error('enough'))
          yield add.s(n, n)
        }
      } finally {
        letGo()
      }
    }
    const sending = canvases(endless())[kind]?.().applyAsync({ signal: ending.signal })
    await expect(sending).rejects.toThrow('enough')
    await isLetGo
  })

  it.each(kinds)('are not taken for the whole where making them failed: %s', async (kind) => {
    const { add } = tasksOf(app)
    async function* failing() {
      yield add.s(1, 1)
      throw new Error('no page')
    }
    const canvas = canvases(failing())[kind]?.()
    await expect(canvas?.applyAsync()).rejects.toThrow('no page')
    const before = app.outgoing.length
    await expect(canvas?.applyAsync()).rejects.toThrow('no page')
    expect(app.outgoing).toHaveLength(before)
  })
})
