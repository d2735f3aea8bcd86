/** The TypeScript side of the interop tests: an app on the shop's folders, and the tasks that Python sends to. */
import { afterEach } from 'vitest'
import { type AppOptions, Celery, Ignore, type Logger, Reject } from '../src/index.js'
import { silentLogger } from '../src/logger.js'
import type { Shop } from './harness.js'

/** Everything a message may come in. */
export const everyContent = ['json', 'yaml', 'msgpack', 'pickle']

/** An app on the same broker and results as `shop`. */
export function nodeApp(shop: Shop, settings: AppOptions = {}): Celery {
  return new Celery('shop', {
    brokerUrl: shop.place.brokerUrl,
    brokerTransportOptions: shop.place.brokerOptions,
    resultBackend: shop.place.resultBackend,
    ...(shop.place.resultOptions ? { resultBackendTransportOptions: shop.place.resultOptions } : {}),
    acceptContent: everyContent,
    resultExtended: true,
    taskTrackStarted: true,
    taskRoutes: { 'node.*': { queue: 'node' }, 'py.*': { queue: 'celery' } },
    ...settings,
  })
}

/** Makes apps of the shop that is there by then for the tests of this `describe`; each is closed after its test. */
export function useNodeApps(shop: () => Shop, defaults: AppOptions = {}): (settings?: AppOptions) => Celery {
  const opened: Celery[] = []
  afterEach(async () => {
    await Promise.all(opened.splice(0).map((app) => app.close()))
  })
  return (settings = {}) => {
    const app = nodeApp(shop(), { ...defaults, ...settings })
    opened.push(app)
    return app
  }
}

/** A logger, and what it was told at INFO. */
export function hearing(): { readonly logger: Logger; readonly said: readonly string[] } {
  const said: string[] = []
  const logger: Logger = {
    ...silentLogger,
    info: (_fields, message) => void said.push(message ?? ''),
    child: () => logger,
    isLevelEnabled: () => true,
  }
  return { logger, said }
}

/** A class of the application, unknown to Python. */
export class PaymentError extends Error {
  constructor(message: string) {
    super(message)
    this.name = 'PaymentError'
  }
}

/** Registers the tasks `node.*`; `seen` collects what ran. */
export function nodeTasks(app: Celery, seen: string[] = []) {
  return {
    add: app.task('node.add', (x: number, y: number) => x + y),
    echo: app.task('node.echo', (...args: unknown[]) => args),
    kwargs: app.task(
      'node.kwargs',
      { params: ['orderId', 'amount', 'note?'] },
      (orderId: string, amount: number, note?: string) => ({
        orderId,
        amount,
        note: note ?? null,
      }),
    ),
    kinds: app.task('node.kinds', (...args: unknown[]) =>
      args.map((arg) =>
        arg === null ? 'null' : typeof arg === 'object' ? arg.constructor.name : typeof arg,
      ),
    ),
    fail: app.task('node.fail', (kind: string) => {
      if (kind === 'PaymentError') throw new PaymentError('card refused')
      if (kind === 'RangeError') throw new RangeError('out of range')
      throw new TypeError('bad argument')
    }),
    flaky: app.task('node.flaky', { bind: true, maxRetries: 5 }, (self, times: number) => {
      if (self.request.retries < times)
        throw self.retry({ countdown: 0.2, exc: new Error(`attempt ${self.request.retries}`) })
      return { retries: self.request.retries, id: self.request.id }
    }),
    auto: app.task(
      'node.auto',
      {
        bind: true,
        autoretryFor: [TypeError],
        retryBackoff: 1,
        // Less than the second after which Celery's rpc:// client lets go of its queue for a moment (rpc-absent.ts).
        retryBackoffMax: 0.5,
        retryJitter: false,
        maxRetries: 2,
      },
      (self, times: number) => {
        if (self.request.retries < times) throw new TypeError(`attempt ${self.request.retries}`)
        return self.request.retries
      },
    ),
    progress: app.task('node.progress', { bind: true }, async (self, steps: number) => {
      for (let done = 0; done < steps; done++) {
        await self.updateState({ state: 'PROGRESS', meta: { done, total: steps } })
        await new Promise((resolve) => setTimeout(resolve, 150))
      }
      return 'done'
    }),
    request: app.task('node.request', { bind: true }, (self, ..._args: unknown[]) => {
      const r = self.request
      return {
        id: r.id,
        rootId: r.rootId,
        parentId: r.parentId ?? null,
        headers: r.headers,
        retries: r.retries,
        eta: r.eta,
        expires: r.expires,
        argsRepr: r.argsRepr,
        kwargsRepr: r.kwargsRepr,
        kwargs: r.kwargs,
        origin: r.origin,
        shadow: r.shadow,
        ignoreResult: r.ignoreResult,
        correlationId: r.correlationId,
        priority: r.deliveryInfo?.priority,
        stamps: r.stamps,
      }
    }),
    parent: app.task('node.parent', { bind: true }, async (self, child: string, queue: string) => {
      const result = await app.sendTask(child, { args: [1, 2], queue })
      return { id: self.request.id, rootId: self.request.rootId, child: result.id }
    }),
    sleep: app.task('node.sleep', { bind: true }, async (self, seconds: number) => {
      await new Promise<void>((resolve, reject) => {
        const timer = setTimeout(resolve, seconds * 1000)
        self.signal.addEventListener('abort', () => {
          clearTimeout(timer)
          reject(self.signal.reason)
        })
      })
      return 'slept'
    }),
    deaf: app.task(
      'node.deaf',
      (seconds: number) => new Promise<string>((r) => setTimeout(r, seconds * 1000, 'too late')),
    ),
    quiet: app.task('node.quiet', { ignoreResult: true }, (mark: string) => void seen.push(mark)),
    ignore: app.task('node.ignore', () => {
      seen.push('ignored')
      throw new Ignore()
    }),
    reject: app.task('node.reject', { acksLate: true }, () => {
      seen.push('rejected')
      throw new Reject('no', false)
    }),
    onError: app.task('node.on_error', (id: string) => void seen.push(`failed:${id}`)),
  }
}

/** Resolves when `check` holds, looking often; rejects after `timeoutMs`. */
export async function eventually(
  what: string,
  check: () => boolean | Promise<boolean>,
  timeoutMs = 20_000,
): Promise<void> {
  const end = performance.now() + timeoutMs
  for (;;) {
    if (await check()) return
    if (performance.now() > end) throw new Error(`${what}: not so after ${timeoutMs} ms`)
    await new Promise((resolve) => setTimeout(resolve, 25))
  }
}
