/** `client.mjs <kind> <one|many|bulk|latency|eta> <count> [...]`: publishes, and prints JSON of what it took. */
import { openClient } from './clients.mjs'

const [, , kind, how, countText, firstText, spreadText] = process.argv
const count = Number(countText)
const client = await openClient(kind)
const numbers = (from, to) => Array.from({ length: to - from }, (_, i) => from + i)
/** Epoch milliseconds. */
const now = () => performance.timeOrigin + performance.now()

const ways = {
  /** One after the other, each awaited. */
  async one() {
    for (let number = 1; number < count; number += 1) await client.one(number)
  },
  /** A thousand in flight: a new one as soon as one is answered. */
  async many() {
    let next = 1
    const runner = async () => {
      while (next < count) await client.one(next++)
    }
    await Promise.all(numbers(0, 1000).map(runner))
  },
  /** A thousand in each call. */
  async bulk() {
    for (let from = 1; from < count; from += 1000)
      await client.bulk(numbers(from, Math.min(count, from + 1000)))
  },
}

async function publish() {
  // The first is not measured: it connects.
  await client.one(0)
  const began = performance.now()
  await ways[how]()
  return { rate: (count - 1) / ((performance.now() - began) / 1000), sent: count }
}

/** 100 a second; when each was sent, and how long its result took. */
async function latency() {
  await client.ready?.()
  await client.withResult(0)
  const sent = [now()]
  const took = []
  const begin = performance.now()
  for (let number = 1; number < count; number += 1) {
    const waitMs = begin + number * 10 - performance.now()
    if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
    const at = now()
    sent.push(at)
    took.push(
      client.withResult(number).then((value) => {
        if (value !== number + 1) throw new Error(`task ${number} returned ${value}`)
        return now() - at
      }),
    )
  }
  return { sent, took: await Promise.all(took) }
}

/** Tasks that are due one after the other, from `firstText` (epoch milliseconds) over `spreadText` milliseconds. */
async function eta() {
  const dueAt = numbers(0, count).map((number) =>
    Math.round(Number(firstText) + (number * Number(spreadText)) / count),
  )
  let next = 0
  const runner = async () => {
    for (let number = next++; number < count; number = next++) await client.eta(number, dueAt[number])
  }
  await Promise.all(numbers(0, 500).map(runner))
  return { dueAt }
}

const told = how === 'latency' ? await latency() : how === 'eta' ? await eta() : await publish()
await client.close()
process.stdout.write(`${JSON.stringify(told)}\n`, () => process.exit())
