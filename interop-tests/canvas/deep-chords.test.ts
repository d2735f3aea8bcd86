/**
 * Chords in the bodies of chords, ten deep, whoever sends and whoever runs them. Celery writes a copy of the body into
 * every task of the header at every level, we do not (docs/canvas.md): a worker that starts a chord sets them anew, so
 * nothing may come of it, neither where Python ends a header and sends the next chord, nor where we do.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RedisBroker } from '../brokers.js'
import { noRedis, skipNote } from '../redis-server.js'
import { type Answer, CanvasRig } from './rig.js'
import type { Lang, Spec, TaskSpec } from './spec.js'

/** What is ten deep; the tags say the level. */
interface Wish {
  /** By turns, from the outermost header inward. */
  readonly langs: readonly Lang[]
  readonly mark: string
  readonly levels?: number
  readonly width?: number
  /** The level of which one part fails; 0 is the innermost body. */
  readonly failing?: number
}

function deep({ langs, mark, levels = 10, width = 1, failing = -1 }: Wish): Spec {
  const task = (level: number, part: number): TaskSpec => ({
    k: 'task',
    lang: langs[(levels - level) % langs.length] as Lang,
    fn: level === failing && part === 0 ? 'fail' : 'mark',
    tag: `${level}.${part}${mark}`,
  })
  let spec: Spec = task(0, 0)
  for (let level = 1; level <= levels; level++) {
    const header = Array.from({ length: width }, (_, part) => task(level, part))
    spec = { k: 'chord', header, body: spec }
  }
  return spec
}

/** All tags of the levels that run. */
function tags({ mark, levels = 10, width = 1, failing = -1 }: Wish): readonly string[] {
  return Array.from({ length: levels + 1 }, (_, level) => level)
    .filter((level) => level >= failing)
    .flatMap((level) =>
      Array.from({ length: level === 0 ? 1 : width }, (_, part) => `${level}.${part}${mark}`),
    )
    .sort()
}

type Client = 'Python' | 'TypeScript'
const clients: readonly Client[] = ['Python', 'TypeScript']
const workers: readonly (readonly [string, readonly Lang[]])[] = [
  ['Python', ['py']],
  ['TypeScript', ['node']],
  ['either, Python first', ['py', 'node']],
  ['either, TypeScript first', ['node', 'py']],
]
const cases = clients.flatMap((client) => workers.map(([who, langs]) => [client, who, langs] as const))

describe.skipIf(noRedis)(`chords in bodies of chords${skipNote(noRedis)}`, () => {
  let broker: RedisBroker
  let rig: CanvasRig
  beforeAll(async () => {
    broker = await RedisBroker.start()
    rig = await CanvasRig.start(broker)
  }, 60_000)
  afterAll(async () => {
    await rig?.close()
    await broker?.close()
  })

  let turn = 0
  const mark = (): string => `-${turn++}`
  const answer = async (client: Client, wish: Wish, seconds = 40): Promise<Answer | undefined> => {
    const specs = [deep(wish)]
    const [only] = client === 'Python' ? await rig.run(specs, seconds) : await rig.runFromNode(specs, seconds)
    return only
  }
  const ran = (wish: Wish): readonly string[] =>
    rig
      .notes()
      .filter(({ what, tag }) => what === 'run' && tag.endsWith(wish.mark))
      .map(({ tag }) => tag)
      .sort()

  it.each(cases)(
    'CNV-192 ten deep from %s, run by %s',
    async (client, _who, langs) => {
      const wish = { langs, mark: mark() }
      expect(await answer(client, wish)).toMatchObject({ value: [`0.0${wish.mark}`, expect.anything()] })
      expect(ran(wish)).toEqual(tags(wish))
    },
    60_000,
  )

  it.each(cases)(
    'CNV-192 six deep, two parts each, from %s, run by %s',
    async (client, _who, langs) => {
      const wish = { langs, mark: mark(), levels: 6, width: 2 }
      expect(await answer(client, wish)).toMatchObject({ value: [`0.0${wish.mark}`, expect.anything()] })
      expect(ran(wish)).toEqual(tags(wish))
    },
    60_000,
  )

  it.each(cases.filter(([client]) => client === 'TypeScript'))(
    'CNV-192 CNV-200 a part that fails five levels down is the error of the whole, from %s, run by %s',
    async (client, _who, langs) => {
      const wish = { langs, mark: mark(), failing: 5 }
      expect(await answer(client, wish)).toMatchObject({ args: [expect.stringContaining(`5.0${wish.mark}`)] })
      expect(ran(wish)).toEqual(tags(wish))
    },
    60_000,
  )
})
