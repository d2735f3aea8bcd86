/**
 * The Node side of the demo and of the interop tests: tasks that a Django app sends, and the Python tasks it offers.
 * `SHOP_VAR` names the folder that both sides share.
 */
import { Celery } from 'celeriac'

const shared = process.env.SHOP_VAR ?? './var/demo'

export const app = new Celery('shop', {
  brokerUrl: `filesystem://${shared}/broker`,
  resultBackend: `file://${shared}/results`,
  taskDefaultQueue: 'node',
  taskTrackStarted: true,
  resultExtended: true,
  taskRoutes: { 'py.*': { queue: 'celery' } },
})

export const add = app.task('node.add', (x: number, y: number) => x + y)

export const charge = app.task(
  'node.charge',
  { bind: true, params: ['orderId', 'amount'], maxRetries: 5, acksLate: true },
  async (self, orderId: string, amount: number) => {
    self.log.info({ orderId }, 'charging')
    return { order: orderId, amount, task: self.request.id }
  },
)

export const fail = app.task('node.fail', (what: string) => {
  throw new TypeError(what)
})

/** Lives in Python. */
export const resize = app.remote<{
  args: [path: string]
  kwargs: { width?: number; height?: number }
  result: string
}>('py.resize')
export const pyAdd = app.remote<{ args: [x: number, y: number]; kwargs: object; result: number }>('py.add')
export const pyFail = app.remote<{ args: [kind: string]; kwargs: object; result: never }>('py.fail')
