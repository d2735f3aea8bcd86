// biome-ignore-all format: the lines of the README's tour, as they stand there
// Needs a worker that knows these tasks (`celeriac -A examples/shop/app.ts worker`); the worker at the end stops with
// the module.
import { Celery, kw } from 'celeriac'
export const app = new Celery('shop', { brokerUrl: 'filesystem://./var/broker', resultBackend: 'file://./var/results' })
export const add = app.task('shop.add', (x: number, y: number) => x + y)
export const charge = app.task('shop.charge', {
  bind: true, params: ['orderId', 'amount'],          // Python callers may use keyword arguments
  maxRetries: 5, autoretryFor: [TypeError], retryBackoff: true, acksLate: true, softTimeLimit: 20, timeLimit: 30,
}, async (self, orderId: string, amount: number) => { self.log.info({ orderId }); return { id: self.request.id, amount } })
const r = await add.delay(2, 3)                          // AsyncResult<number>
const five: number = await r.get({ timeout: 10 })       // seconds, as in Celery; also { signal }
await charge.applyAsync({ args: ['o-1'], kwargs: { amount: 5 }, countdown: 3, queue: 'billing', priority: 5, expires: 60 })
const resize = app.remote<{ args: [path: string]; kwargs: { width?: number }; result: string }>('images.resize')   // lives in Python
await resize.delay('a.png', kw({ width: 100 }))           // kw(...) last: Python keyword arguments, typed; also in s() and si()
await app.sendTask('images.resize', { args: ['a.png'], kwargs: { width: 100 } })
add(2, 3)                                                // a task is callable: runs here, now; add.apply(...) runs it eagerly with a result
await using worker = app.worker({ queues: ['celery', 'billing'], concurrency: 10 });  await worker.start()
console.log(`2 + 3 = ${five}; ${worker.hostname} runs until the module ends`)
