/**
 * Another process on a filesystem broker, for tests: `tsx filesystem-peer.conformance.ts <folder> <job> <queue> <count>`.
 *
 * `hold` takes `count` messages and keeps them; `work` prints and acknowledges each message; `publish` publishes
 * `count` messages. Each prints one line per message, and ends in order when its standard input ends.
 */

import { Collector, textOf, toQueue } from './collector.conformance.js'
import { createFilesystemTransport } from './filesystem-transport.js'

const [folder = '', job = '', queue = '', count = '0', name = job] = process.argv.slice(2)

const connection = await createFilesystemTransport().connect(`filesystem://${folder}`, {
  transportOptions: { polling_interval: 0.5 },
})
process.stdout.write('ready\n')
if (job === 'publish') {
  for (let index = 0; index < Number(count); index += 10) {
    const texts = Array.from(
      { length: Math.min(10, Number(count) - index) },
      (_, n) => `${name}-${index + n}`,
    )
    await connection.publish(toQueue(queue, texts))
    for (const text of texts) process.stdout.write(`${text}\n`)
  }
  process.stdout.write('done\n')
} else {
  const collector = new Collector((delivery) => {
    if (job === 'hold') {
      process.stdout.write(`${textOf(delivery)}\n`)
      return
    }
    delivery.ack().then(
      () => process.stdout.write(`${textOf(delivery)}\n`),
      () => process.stdout.write(`lost ${textOf(delivery)}\n`),
    )
  })
  await connection.consume([queue], collector.options(job === 'hold' ? Number(count) : 8))
}
process.stdin.resume()
process.stdin.once('end', () => void connection.close())
