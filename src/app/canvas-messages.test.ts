/**
 * The same canvas, built here and in Python, sends the same messages: compared with what real Celery wrote into
 * python-fixtures (record_canvases.py), every id replaced by the order in which they appear.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { afterEach, describe, expect, it } from 'vitest'
import { propertiesToWire } from '../../protocol/message-properties.js'
import { tuple } from '../../protocol/values.js'
import type { AnyResult } from '../backend/any-result.js'
import { chain, chord, group } from '../canvas/build.js'
import type { AnySignature } from '../canvas/canvas-types.js'
import type { Linkable } from '../canvas/send-options.js'
import type { Signature } from '../canvas/signature.js'
import type { StampingVisitor } from '../canvas/stamps.js'
import type { Outgoing } from '../transport/transport.js'
import type { App } from './app.js'
import { RecordingApp } from './recording-app.conformance.js'

const folder = new URL('../../python-fixtures/data/', import.meta.url)

interface Recorded {
  readonly to: readonly [exchange: string, routingKey: string]
  readonly headers: Readonly<Record<string, unknown>>
  readonly properties: Readonly<Record<string, unknown>>
  readonly body: unknown
}

interface Sample {
  readonly messages: readonly Recorded[]
  readonly told: readonly unknown[]
  readonly result: unknown
}

const visitor: StampingVisitor = {
  onSignature: (signature) => ({ task: signature.task }),
  onGroupStart: () => ({ in_group: true }),
  onChainStart: () => ({ in_chain: true }),
  onChordBody: () => ({ in_body: true }),
  onCallback: () => ({ callback: true }),
  onErrback: () => ({ errback: true }),
}

/** The signature itself, with a callback. */
function linked<S extends { link(callback: Linkable): unknown }>(signature: S, callback: Linkable): S {
  signature.link(callback)
  return signature
}

type Sending = () => Promise<AnyResult | undefined>

/** By the names of the fixtures. */
function canvases(app: App): Readonly<Record<string, Sending>> {
  const add = app.task('t.add', { params: ['x', 'y?'] }, (x: number, y?: number) => x + (y ?? 0))
  const xsum = app.task('t.xsum', { params: ['items'] }, (items: number[]) => items.length)
  const slow = { queue: 'slow', priority: 3 }
  const visited = { tenant: 'acme' }
  const pairs = [0, 1, 2].map((n) => tuple(n, n) as [number, number])
  function* generated() {
    for (let i = 0; i < 4; i++) yield add.s(i, i)
  }
  const nested = (depth: number): Signature<[number[]], number> => {
    let body: Signature<[number[]], number> = xsum.s()
    // What reaches the inner headers does not fit; only the messages matter here.
    for (let i = 0; i < depth; i++) body = chord([add.s(1), add.s(2)], body) as Signature as typeof body
    return body
  }
  return {
    'task-linked': () => linked(add.s(1, 1), add.s(2)).applyAsync(),
    'task-linked-chain': () => linked(add.s(1, 1), chain(add.s(2), add.s(3))).applyAsync(),
    'task-on-error': () => add.s(1, 1).onError(xsum.s()).applyAsync(),
    chain: () => chain(add.s(1, 1), add.s(10), add.s(100)).applyAsync(),
    'chain-partial': () => chain(add.s(1), add.s(10)).applyAsync({ args: [5] }),
    'chain-kwargs': () => chain(add.s(1), add.s(10)).applyAsync({ kwargs: { y: 7 } }),
    'chain-immutable-first': () => chain(add.si(1, 1), add.s(10)).applyAsync({ args: [5] }),
    'chain-id': () => chain(add.s(1, 1), add.s(10)).applyAsync({ taskId: 'the-id-of-the-chain' }),
    'chain-options': () =>
      chain(add.s(1, 1), add.s(2).set(slow)).applyAsync({ queue: 'quick', countdown: 10, priority: 5 }),
    'chain-links': () => chain(add.s(1, 1), add.s(2)).applyAsync({ link: add.s(3), linkError: xsum.s() }),
    'chain-link-inner': () => chain(add.s(1, 1), linked(chain(add.s(2), add.s(3)), xsum.s())).applyAsync(),
    'chain-on-error': () => add.s(1, 1).pipe(add.s(2)).onError(xsum.s()).applyAsync(),
    'chain-one': () => chain([add.s(1, 1)]).applyAsync(),
    'chain-of-a-chain': () => chain(chain(add.s(1, 1), add.s(2)), chain(add.s(3), add.s(4))).applyAsync(),
    'chain-single-argument': () => chain(group(add.s(1, 1), add.s(2, 2))).applyAsync(),
    'chain-group': () =>
      add
        .s(1, 1)
        .pipe(group(add.s(2), add.s(3)))
        .applyAsync(),
    'chain-group-of-one': () =>
      add
        .s(1, 1)
        .pipe(group([add.s(2)]), add.s(3))
        .applyAsync(),
    'chain-group-task': () =>
      add
        .s(1, 1)
        .pipe(group(add.s(2), add.s(3)), xsum.s())
        .applyAsync(),
    'chain-group-group': () =>
      add
        .s(1, 1)
        .pipe(group(add.s(2), add.s(3)), group(xsum.s(), xsum.s()))
        .applyAsync(),
    'chain-group-group-task': () =>
      add
        .s(1, 1)
        .pipe(group(add.s(2), add.s(3)), group(xsum.s(), xsum.s()), xsum.s())
        .applyAsync(),
    'chain-group-task-task': () =>
      add
        .s(1, 1)
        .pipe(group(add.s(2), add.s(3)), xsum.s(), add.s(4))
        .applyAsync(),
    'chain-group-task-group': () =>
      group(add.s(1, 1), add.s(2, 2))
        .pipe(xsum.s(), add.s(1), group(add.s(3), add.s(4)))
        .applyAsync(),
    'chain-chord-chord': () =>
      chain(chord([add.s(1, 1)], xsum.s()), chord([add.s(2), add.s(3)], xsum.s())).applyAsync(),
    'chain-of-starting-group': () =>
      chain(group(add.s(1), add.s(2)), xsum.s(), add.s(3)).applyAsync({ args: [9] }),
    'chain-map': () => chain(add.s(1, 1), xsum.map([[1, 2], [3]])).applyAsync(),
    'chain-chunks': () => chain(add.s(1, 1), add.chunks(pairs, 2)).applyAsync(),
    group: () => group(add.s(1, 1), add.s(2, 2), add.s(3, 3)).applyAsync(),
    'group-empty': () => group([]).applyAsync(),
    'group-of-one': () => group([add.s(1, 1)]).applyAsync(),
    'group-partial': () => group(add.s(), add.si(2, 2)).applyAsync({ args: [5], kwargs: { y: 1 } }),
    'group-options': () =>
      group(add.s(1, 1), add.s(2, 2).set({ queue: 'slow' })).applyAsync({
        taskId: 'the-id-of-the-group',
        queue: 'quick',
        priority: 4,
      }),
    'group-nested': () => group(add.s(1, 1), group(add.s(2, 2), add.s(3, 3)), add.s(4, 4)).applyAsync(),
    'group-of-chains': () => group(chain(add.s(1, 1), add.s(2)), add.s(3, 3)).applyAsync(),
    'group-of-chords': () => group(chord([add.s(1, 1), add.s(2, 2)], xsum.s()), add.s(3, 3)).applyAsync(),
    'group-of-chain-with-group': () =>
      group(chain(add.s(1, 1), group(add.s(2), add.s(3))), add.s(3, 3)).applyAsync(),
    'group-of-a-chain-with-group': () => group([chain(add.s(1, 1), group(add.s(2), add.s(3)))]).applyAsync(),
    'group-linked': () => linked(group(add.s(1, 1), add.s(2, 2)), add.s(3)).applyAsync(),
    'group-on-error': () => group(add.s(1, 1), add.s(2, 2)).onError(xsum.s()).applyAsync(),
    'group-skew': () =>
      group(add.s(1, 1), add.s(2, 2), add.s(3, 3)).skew({ start: 1, stop: 10 }).applyAsync(),
    chord: () => chord([add.s(1, 1), add.s(2, 2)], xsum.s()).applyAsync(),
    'chord-called': () =>
      chord([add.s(1, 1), add.s(2, 2)], xsum.s())
        .withBody(xsum.s())
        .applyAsync(),
    'chord-empty': () => chord([], xsum.s()).applyAsync(),
    'chord-one': () => chord([add.s(1, 1)], xsum.s()).applyAsync(),
    'chord-group-or': () =>
      group([add.s(1, 1)])
        .pipe(xsum.s())
        .applyAsync(),
    'chord-id': () =>
      chord([add.s(1, 1), add.s(2, 2)], xsum.s()).applyAsync({ taskId: 'the-id-of-the-body' }),
    'chord-partial': () => chord([add.s(), add.si(2)], xsum.s()).applyAsync({ args: [5], kwargs: { y: 1 } }),
    'chord-options': () =>
      chord([add.s(1, 1), add.s(2, 2)], xsum.s()).applyAsync({ queue: 'quick', priority: 4 }),
    'chord-body-queue': () => chord([add.s(1, 1)], xsum.s().set({ queue: 'slow', priority: 7 })).applyAsync(),
    'chord-of-a-chain': () => chord(chain(add.s(1, 1), add.s(2, 2)) as Signature, xsum.s()).applyAsync(),
    'chord-of-chains': () => chord([chain(add.s(1, 1), add.s(2)), add.s(3, 3)], xsum.s()).applyAsync(),
    'chord-of-groups': () => chord([group(add.s(1, 1), add.s(2, 2)), add.s(3, 3)], xsum.s()).applyAsync(),
    'chord-of-chords': () => chord([chord([add.s(1, 1)], xsum.s()), add.s(2, 2)], xsum.s()).applyAsync(),
    'chord-of-chain-with-group': () =>
      chord(
        [chain(add.s(1, 1), group(add.s(2), add.s(3))) as AnySignature, add.s(4, 4)],
        xsum.s() as Signature,
      ).applyAsync(),
    'chord-of-chain-with-chord': () =>
      chord([add.s(1, 1).pipe(group(add.s(2), add.s(3)), xsum.s()), add.s(4, 4)], xsum.s()).applyAsync(),
    'chord-body-chain': () => chord([add.s(1, 1), add.s(2, 2)], chain(xsum.s(), add.s(3))).applyAsync(),
    'chord-body-group': () => chord([add.s(1, 1), add.s(2, 2)], group(xsum.s(), xsum.s())).applyAsync(),
    'chord-body-chord': () =>
      chord([add.s(1, 1), add.s(2, 2)], chord([add.s(3), add.s(4)], xsum.s()) as Signature).applyAsync(),
    'chord-body-deep': () => chord([add.s(1, 1)], nested(3)).applyAsync(),
    'chord-task': () =>
      chord([add.s(1, 1), add.s(2, 2)], xsum.s())
        .pipe(add.s(3))
        .applyAsync(),
    'chord-chord': () =>
      chord([add.s(1, 1)], xsum.s())
        .pipe(chord([add.s(2), add.s(3)], xsum.s()))
        .applyAsync(),
    'chord-group': () =>
      chord([add.s(1, 1)], xsum.s())
        .pipe(group(add.s(2), add.s(3)))
        .applyAsync(),
    'chord-linked': () => linked(chord([add.s(1, 1)], xsum.s()), add.s(3)).applyAsync(),
    'chord-on-error': () =>
      chord([add.s(1, 1)], xsum.s())
        .onError(add.s(3))
        .applyAsync(),
    'chord-generator': () => chord(generated(), xsum.s()).applyAsync(),
    'group-generator': () => group(generated()).applyAsync(),
    map: () => xsum.map([[1, 2], [3]]).applyAsync(),
    starmap: () => add.starmap(pairs.slice(1)).applyAsync(),
    chunks: () => add.chunks(pairs, 2).applyAsync(),
    'chunks-group-chord': () =>
      add
        .chunks(pairs, 2)
        .group()
        .pipe(xsum.s() as Signature)
        .applyAsync(),
    'map-in-group': () => group(xsum.map([[1, 2]]), add.s(1, 1)).applyAsync(),
    'stamp-task': () =>
      add
        .s(1, 1)
        .stamp({ tenant: 'acme', tries: [1, 2] })
        .applyAsync(),
    'stamp-twice': () => add.s(1, 1).stamp(visited).stamp({ tenant: 'other' }).applyAsync(),
    'stamp-append': () =>
      add.s(1, 1).stamp(visited).stamp({ tenant: 'other' }, { append: true }).applyAsync(),
    'stamp-linked': () =>
      linked(add.s(1, 1), add.s(2)).onError(xsum.s()).stamp(visitor, { headers: visited }).applyAsync(),
    'stamp-chain': () => chain(add.s(1, 1), add.s(2)).stamp(visitor).applyAsync(),
    'stamp-group': () =>
      group(add.s(1, 1), chain(add.s(2, 2), add.s(3)))
        .stamp(visitor)
        .applyAsync(),
    'stamp-chord': () =>
      chord([add.s(1, 1), add.s(2, 2)], xsum.s())
        .stamp(visitor)
        .applyAsync(),
    'stamp-chord-plain': () =>
      chord([add.s(1, 1)], xsum.s())
        .stamp(visited)
        .applyAsync(),
    'protocol-stamps-in-chain': () =>
      add
        .s(1, 1)
        .pipe(group(add.s(2), add.s(3)), xsum.s())
        .stamp(visited)
        .applyAsync(),
    'freeze-chain': async () => {
      const frozen = chain(add.s(1, 1), add.s(2))
      frozen.freeze()
      await frozen.applyAsync()
      return frozen.applyAsync()
    },
  }
}

function sample(name: string): Sample {
  return JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as Sample
}

/** A message as the fixtures have it. */
function recorded({ envelope, to }: Outgoing): Recorded {
  return {
    to: [to.exchange, to.routingKey],
    headers: envelope.headers,
    properties: propertiesToWire(envelope.properties) as Readonly<Record<string, unknown>>,
    body: JSON.parse(Buffer.from(envelope.body).toString()) as unknown,
  }
}

const notCompared = new Set(['lang', 'origin', 'delivery_tag', 'body_encoding', 'reply_to'])

/** Keys sorted, and without what differs between languages and processes. */
function orderly(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(orderly)
  if (value === null || typeof value !== 'object') return value
  const entries = Object.entries(value).filter(([key]) => !notCompared.has(key))
  entries.sort(([a], [b]) => (a < b ? -1 : 1))
  return Object.fromEntries(
    entries.map(([key, one]) => [
      key,
      key === 'stamped_headers' && Array.isArray(one) ? [...one].sort() : orderly(one),
    ]),
  )
}

/** Where a result of ours has more parents: those of the steps between the header and the last task of the body. */
const longerResults =
  /^(chain-of-starting-group|chord-body-chain|chord-body-chord|chord-body-deep|chord-chord|chord-task)$/

/**
 * What we do not repeat of Celery's messages: `[]` for no chain where others have null; options of 5.6 that mean
 * nothing (`immutable`); the copies of a body in the header of a chord whose body holds a chord itself (see chord.ts).
 */
function meant(value: unknown): unknown {
  if (Array.isArray(value)) {
    const [args, kwargs, embed] = value as unknown[]
    const isBody = value.length === 3 && isRecord(embed) && 'callbacks' in embed
    if (!isBody) return value.map(meant)
    const chain = Array.isArray(embed.chain) && embed.chain.length === 0 ? null : embed.chain
    return [meant(args), meant(kwargs), meant({ ...embed, chain })]
  }
  if (!isRecord(value)) return value
  if (value.argsrepr !== undefined && value.task === 'celery.chord_unlock')
    return meant({ ...value, argsrepr: undefined })
  const all = Object.fromEntries(Object.entries(value).map(([key, one]) => [key, meant(one)]))
  if (isRecord(all.options)) delete all.options.immutable
  const { subtask_type: type, kwargs } = all
  if (type !== 'chord' || !isRecord(kwargs)) return all
  const body = JSON.stringify(kwargs.body)
  if (!body.includes('"subtask_type":"chord"')) return all
  return { ...all, kwargs: { ...kwargs, header: without(body, kwargs.header) } }
}

/** Options `chord` that are this body are left out. */
function without(body: string, value: unknown): unknown {
  if (Array.isArray(value)) return value.map((one) => without(body, one))
  if (!isRecord(value)) return value
  const kept = Object.entries(value).filter(([key, one]) => key !== 'chord' || JSON.stringify(one) !== body)
  return Object.fromEntries(kept.map(([key, one]) => [key, without(body, one)]))
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** Ids by the order in which they appear. */
function comparable(all: Sample, name: string): Sample {
  const names = new Map<string, string>()
  const { messages, told } = all
  const result = longerResults.test(name) ? (all.result as unknown[][])[0]?.[0] : all.result
  const text = JSON.stringify(meant(orderly({ messages, result, told }))).replaceAll('.461372+', '.461000+')
  const named = text.replace(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, (id) => {
    const known = names.get(id) ?? `id ${names.size + 1}`
    names.set(id, known)
    return known
  })
  return JSON.parse(named) as Sample
}

async function sentHere(app: RecordingApp, send: Sending | undefined): Promise<Sample> {
  const result = await send?.()
  return {
    messages: app.outgoing.map(recorded),
    told: app.told,
    result: result === undefined ? null : (JSON.parse(JSON.stringify(result.asTuple())) as unknown),
  }
}

describe('messages of a canvas beside those of Celery', () => {
  let app: RecordingApp
  afterEach(() => app.close())

  const files = readdirSync(folder)
  const names = (prefix: string): string[] =>
    files.filter((file) => file.startsWith(prefix)).map((file) => file.slice(prefix.length, -'.json'.length))

  const sent = names('canvas-sent-')
  const unlocked = names('canvas-unlock-')
  const about = (kinds: RegExp): string[] => sent.filter((name) => kinds.test(name))
  const chains = about(/^(task|chain|freeze)/)
  const groups = about(/^group/)
  const chords = about(/^chord/)
  const maps = about(/^(map|starmap|chunks)/)
  const stamps = about(/^(stamp|protocol)/)
  const compared = async (name: string): Promise<void> => {
    app = new RecordingApp(true)
    const ours = await sentHere(app, canvases(app)[name])
    expect(comparable(ours, name)).toEqual(comparable(sample(`canvas-sent-${name}`), name))
  }

  it('builds every canvas that was recorded', async () => {
    app = new RecordingApp(true)
    expect(sent.filter((name) => canvases(app)[name] === undefined)).toEqual([])
    expect(sent.length).toBeGreaterThan(75)
  })

  it.each(chains)(
    'CNV-003 CNV-012 CNV-019 CNV-020 CNV-021 CNV-023..027 CNV-035 CNV-036 CNV-038 CNV-039 CNV-041 CNV-043..046 CNV-048 CNV-091 sends %s as Celery does',
    compared,
  )
  it.each(groups)('CNV-061 CNV-063..071 CNV-073 sends %s as Celery does', compared)
  it.each(chords)(
    'CNV-028 CNV-031 CNV-033 CNV-034 CNV-077..085 CNV-087 CNV-088 CNV-109 sends %s as Celery does',
    compared,
  )
  it.each(maps)('CNV-002 CNV-132..134 sends %s as Celery does', compared)
  it.each(stamps)('CNV-136..141 CNV-144 CNV-145 sends %s as Celery does', compared)

  it.each(unlocked)('CNV-111 BLT-004 sends %s with celery.chord_unlock where nobody counts', async (name) => {
    app = new RecordingApp(false)
    const ours = await sentHere(app, canvases(app)[name])
    expect(comparable(ours, name)).toEqual(comparable(sample(`canvas-unlock-${name}`), name))
  })
})
