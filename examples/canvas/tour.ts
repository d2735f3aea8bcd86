/** Every kind of canvas, run from the first line to the last by a worker of its own: npx tsx examples/canvas/tour.ts */
import { Celery, chain, chord, group } from 'celeriac'

await using app = new Celery('canvas', { brokerUrl: 'memory://', resultBackend: 'cache+memory://' })

const add = app.task('canvas.add', (x: number, y: number) => x + y)
const double = app.task('canvas.double', (x: number) => x * 2)
const total = app.task('canvas.total', (values: readonly number[]) =>
  values.reduce((sum, one) => sum + one, 0),
)
const greet = app.task('canvas.greet', (name: string) => `Hello ${name}`)
const told: string[] = []
const tell = app.task('canvas.tell', (value: unknown) => void told.push(`told ${value}`))

await using worker = app.worker({ concurrency: 10 })
await worker.start()
const timeout = 20

// One after the other: each step takes the result of the one before.
const twelve = await chain(add.s(2, 2), double.s(), add.s(4)).delay()
console.log('chain', await twelve.get({ timeout }))
console.log('the step before it', await twelve.parent?.get({ timeout }))

// The same, read from left to right, and with an argument that comes later.
const later = add.s(1).pipe(double.s())
console.log('pipe', await (await later.delay(9)).get({ timeout }))

// Side by side: the results come in order, each with its type.
const both = await group(add.s(1, 1), greet.s('Ada')).delay()
const [two, hello] = await both.get({ timeout })
console.log('group', two.toFixed(1), hello.toUpperCase())

// Side by side, then one task with the list of results. What a generator makes is sent while it is made.
function* pairs() {
  for (let n = 1; n <= 10; n++) yield add.s(n, n)
}
console.log('chord', await (await chord(pairs(), total.s()).delay()).get({ timeout }))

// A group that something follows is a chord, so this is one, too.
const mixed = chain(add.s(1, 1), group(add.s(2), add.s(3)), total.s(), double.s())
console.log(String(mixed), await (await mixed.delay()).get({ timeout }))

// One message for many items, or for a few of them each.
const items: [number, number][] = [
  [1, 1],
  [2, 2],
  [3, 3],
]
console.log('starmap', await (await add.starmap(items).delay()).get({ timeout }))
console.log('chunks', await (await add.chunks(items, 2).delay()).get({ timeout }))

// What happens when it succeeds, or fails.
const linked = add.s(20, 22)
linked.link(tell.s())
await (await linked.delay()).get({ timeout })
while (told.length === 0) await new Promise((resolve) => setTimeout(resolve, 10))
console.log('callback', told[0])
