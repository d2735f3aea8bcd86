/** The short form of `npm run canvas-property`, with seeds of its own so that it does the same each time. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type Broker, type BrokerKind, RabbitKind, redisKind } from '../brokers.js'
import { skipNote } from '../redis-server.js'
import { type Mix, mixes, runMix } from './property.js'
import { CanvasRig } from './rig.js'

/** Not over files: Celery writes a result in place, and its own client may read half of one. */
const rabbitKind = new RabbitKind()
const short: readonly (readonly [BrokerKind, Mix, number])[] = [redisKind, rabbitKind].flatMap((kind) =>
  mixes.map((mix) => [kind, mix, 40] as const),
)
afterAll(() => rabbitKind.stop())

describe.each(short)('random canvases', (kind, mix, count) => {
  const title = `${kind.name}, ${mix.name}${skipNote(kind.missing)}`
  describe.skipIf(kind.missing !== undefined)(title, () => {
    let broker: Broker
    let rig: CanvasRig
    beforeAll(async () => {
      broker = await kind.start()
      rig = await CanvasRig.start(broker, mix)
    })
    afterAll(async () => {
      await rig?.close()
      await broker?.close()
    })

    it('CNV-095 CNV-100 CNV-103 CNV-108 CNV-115 end as Celery’s rules say, whichever language runs a step or waits', async () => {
      expect(await runMix(rig, mix, { from: 1000, count, timeout: 60 })).toEqual([])
    })
  })
})
