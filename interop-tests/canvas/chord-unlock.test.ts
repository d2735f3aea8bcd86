/** Chords over files, where nothing counts the parts: `celery.chord_unlock` of one language ends what the other began. */
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type Broker, filesystemKind } from '../brokers.js'
import { CanvasRig } from './rig.js'
import type { Lang, Spec } from './spec.js'

let broker: Broker
let rig: CanvasRig
beforeAll(async () => {
  broker = await filesystemKind.start()
  rig = await CanvasRig.start(broker)
})
afterAll(async () => {
  await rig?.close()
  await broker?.close()
})

const chord = (parts: readonly Lang[], body: Lang): Spec => ({
  k: 'chord',
  header: parts.map((lang, at) => ({ k: 'task', lang, fn: 'mark', tag: `p${at}` })),
  body: { k: 'task', lang: body, fn: 'mark', tag: 'body' },
})
const value = { value: ['body', [['p0'], ['p1'], ['p2']]] }

// The look goes to the queue of the body, so the language of the body is that of the worker that ends the chord.
it('CNV-111 BLT-003 BLT-004 ours ends a chord that Python began, with parts that Celery writes in place', async () => {
  expect(await rig.run([chord(['py', 'node', 'py'], 'node')], 30)).toEqual([value])
})

// Celery does not look twice at a result that is half written, so all that it reads here is ours.
it('CNV-111 BLT-003 BLT-004 that of Celery ends a chord that we began', async () => {
  expect(await rig.runFromNode([chord(['node', 'node', 'node'], 'py')], 30)).toEqual([value])
})
