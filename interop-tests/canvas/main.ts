/**
 * `npm run canvas-property`: random canvases of both languages, run on real brokers and compared with a model.
 *
 *   npm run canvas-property                          500 of each mix over Redis, and over RabbitMQ
 *   npm run canvas-property -- --seed 42 --count 1000 --broker rabbitmq
 *   npm run canvas-property -- --pure                Celery alone: is the model right?
 *
 * The seed is random unless it is given, and printed; results are in a Redis in both cases. Ends with 1 when a canvas did not end, or not as the model says.
 */
import { parseArgs } from 'node:util'
import { filesystemKind, RabbitKind, redisKind } from '../brokers.js'
import { mixes, pureMixes, runMix } from './property.js'
import { CanvasRig } from './rig.js'

const { values } = parseArgs({
  options: {
    seed: { type: 'string' },
    count: { type: 'string' },
    broker: { type: 'string' },
    mix: { type: 'string' },
    pure: { type: 'boolean', default: false },
  },
})
const seed = values.seed === undefined ? Math.floor(Math.random() * 2 ** 31) : Number(values.seed)
console.log(`seed ${seed}`)
let failed = 0
const rabbitKind = new RabbitKind()
for (const kind of [redisKind, rabbitKind, filesystemKind]) {
  // Celery writes results to files in place, and its own client may read half of one: only when asked for.
  if (values.broker === undefined ? kind === filesystemKind : values.broker !== kind.name) continue
  const count = Number(values.count ?? 500)
  for (const mix of values.pure ? pureMixes : mixes) {
    if (values.mix !== undefined && values.mix !== mix.name) continue
    const broker = await kind.start()
    try {
      // Over AMQP Celery's threads do a few tasks a second only.
      const pool = kind === rabbitKind ? 'prefork' : 'threads'
      const rig = await CanvasRig.start(broker, { ...mix, pool })
      try {
        const began = performance.now()
        const wrong = await runMix(rig, mix, { from: seed, count, timeout: 60 })
        for (const line of wrong) console.log(line)
        failed += wrong.length
        const seconds = ((performance.now() - began) / 1000).toFixed(1)
        console.log(`${kind.name} ${mix.name}: ${count} canvases in ${seconds} s, ${wrong.length} wrong`)
      } finally {
        await rig.close()
      }
    } finally {
      await broker.close()
    }
  }
}
await rabbitKind.stop()
process.exitCode = failed === 0 ? 0 : 1
