/** What large canvases cost to build and to send: bytes and steps of work, counted, so that no machine is too slow. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { chain, chord } from '../canvas/build.js'
import { Signature } from '../canvas/signature.js'
import { RecordingApp } from './recording-app.conformance.js'

let app: RecordingApp
beforeEach(() => {
  app = new RecordingApp(true)
})
afterEach(async () => {
  vi.restoreAllMocks()
  await app.close()
})

function tasksOf(of: RecordingApp) {
  return {
    add: of.task('t.add', { params: ['x', 'y'] }, (x: number, y: number) => x + y),
    xsum: of.task('t.xsum', (values: readonly number[]) => values.length),
    text: of.task('t.text', (value: unknown) => String(value)),
  }
}

interface Cost {
  readonly bytes: number
  /** Copies, freezings, writings and sendings of single signatures. */
  readonly work: number
}

/** What goes out, and how often a signature is touched, in `send`. */
async function costOf(send: () => Promise<unknown>): Promise<Cost> {
  const touched = (['cloneWire', 'freeze', 'written', 'plan', 'setWire', 'load', 'chordSize'] as const).map(
    (method) => vi.spyOn(Signature.prototype, method as 'freeze'),
  )
  const before = app.outgoing.length
  try {
    await send()
    const sent = app.outgoing.slice(before)
    return {
      bytes: sent.reduce((sum, { envelope }) => sum + envelope.body.length, 0),
      work: touched.reduce((sum, spy) => sum + spy.mock.calls.length, 0),
    }
  } finally {
    for (const spy of touched) spy.mockRestore()
  }
}

describe('a canvas grows by the same with each task', () => {
  const large: Readonly<Record<string, (n: number) => Promise<unknown>>> = {
    'a chain': (n) => {
      const { text } = tasksOf(app)
      return chain(Array.from({ length: n }, () => text.s())).applyAsync({ args: [1] })
    },
    'a chain put together step by step': (n) => {
      const { text } = tasksOf(app)
      let made = text.s(1) as Signature<[], string>
      for (let step = 1; step < n; step++) made = made.pipe(text.s())
      return made.applyAsync()
    },
    'a chord': (n) => {
      const { add, xsum } = tasksOf(app)
      const header = Array.from({ length: n }, () => add.s(1, 1))
      return chord(header, xsum.s()).applyAsync()
    },
    'a chain of chords': (n) => {
      const { text } = tasksOf(app)
      const steps = Array.from({ length: n }, () => chord([text.s(), text.s()], text.s()) as Signature)
      return chain(steps).applyAsync({ args: [1] })
    },
  }

  it.each([
    ['CNV-046', 'a chain', 1000],
    ['CNV-019', 'a chain put together step by step', 1000],
    ['CNV-079', 'a chord', 10_000],
    ['CNV-091', 'a chain of chords', 300],
  ] as const)('%s %s of %i', async (_row, kind, size) => {
    const send = large[kind]!
    const part = Math.floor(size / 3)
    const costs: Cost[] = []
    for (const n of [part, 2 * part, 3 * part]) costs.push(await costOf(() => send(n)))
    const [one, two, three] = costs as [Cost, Cost, Cost]
    expect(three.work - two.work).toBe(two.work - one.work)
    // Numbers of more digits are longer.
    expect(three.bytes - two.bytes).toBeLessThan(1.01 * (two.bytes - one.bytes))
  })

  it('CNV-087 a chord of 10,000 goes out in batches of a thousand', async () => {
    await large['a chord']?.(10_000)
    expect(app.batches).toEqual(Array.from({ length: 10 }, () => 1000))
  })

  it('chords in the bodies of chords grow by the same with each level', async () => {
    const { xsum, text } = tasksOf(app)
    const deep = (n: number): number => {
      let body = xsum.s() as Signature
      for (let i = 0; i < n; i++) body = chord([text.s(), text.s()], body)
      body.freeze()
      return JSON.stringify(body).length
    }
    expect(deep(10) - deep(9)).toBeLessThan(1.2 * (deep(5) - deep(4)))
  })
})
