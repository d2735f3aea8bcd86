/** The app and the tasks of `tour.ts`, for a worker of their own. */
import { Celery } from 'celeriac'

export const app = new Celery('shop', {
  brokerUrl: 'filesystem://./var/broker',
  resultBackend: 'file://./var/results',
})

export const add = app.task('shop.add', (x: number, y: number) => x + y)

export const charge = app.task(
  'shop.charge',
  {
    bind: true,
    params: ['orderId', 'amount'],
    maxRetries: 5,
    autoretryFor: [TypeError],
    retryBackoff: true,
    acksLate: true,
    softTimeLimit: 20,
    timeLimit: 30,
  },
  async (self, orderId: string, amount: number) => {
    self.log.info({ orderId })
    return { id: self.request.id, amount }
  },
)
