/** What a confirm costs by itself: bare amqplib, one message at a time, over queues and messages of several kinds. */
import { connect, type Options } from 'amqplib'
import { type Figures, quantile } from '../figures.js'

/** A queue and what is sent to it. */
interface Kind {
  readonly name: string
  readonly queue: Options.AssertQueue
  readonly persistent: boolean
}

const kinds: readonly Kind[] = [
  { name: 'persistent, durable queue', queue: { durable: true }, persistent: true },
  { name: 'transient, durable queue', queue: { durable: true }, persistent: false },
  { name: 'transient, transient queue', queue: { durable: false }, persistent: false },
  {
    name: 'persistent, quorum queue',
    queue: { durable: true, arguments: { 'x-queue-type': 'quorum' } },
    persistent: true,
  },
]
/** About what a task message has. */
const content = Buffer.alloc(80, 'x')
const headers = Object.fromEntries(
  Array.from({ length: 20 }, (_, i) => [`header_${i}`, 'some text of a header']),
)
const warmUp = 200

/** Milliseconds of each of `count` calls, one after the other, after some that are not counted. */
async function timesOf(count: number, act: () => Promise<unknown>): Promise<readonly number[]> {
  const times: number[] = []
  for (let i = 0; i < warmUp + count; i += 1) {
    const began = performance.now()
    await act()
    if (i >= warmUp) times.push(performance.now() - began)
  }
  return times
}

/**
 * The time from a publish to its confirm, and for comparison of a request that the server answers without doing anything
 * (`basic.qos`): the bare way there and back. `url` is of a virtual host with nothing in it.
 */
export async function measureConfirms(figures: Figures, url: string, count: number): Promise<void> {
  const connection = await connect(url, { noDelay: true })
  const add = (name: string, times: readonly number[]): void =>
    figures.add(`confirm rabbitmq, ${name}, p50`, 'amqplib', 'µs', quantile([...times], 0.5) * 1000)
  try {
    const channel = await connection.createConfirmChannel()
    add('a request that does nothing', await timesOf(count, () => channel.prefetch(1)))
    for (const { name, queue, persistent } of kinds) {
      await channel.assertQueue(name, queue)
      const publish = (): Promise<void> =>
        new Promise((resolve, reject) => {
          const options = { headers, persistent, mandatory: true }
          channel.publish('', name, content, options, (error) => (error ? reject(error) : resolve()))
        })
      add(name, await timesOf(count, publish))
      await channel.deleteQueue(name)
    }
  } finally {
    await connection.close()
  }
}
