/** The TypeScript worker of the loss trials: `celeriac -A loss-app.ts worker`. Settings come in the environment. */
import { openSync, writeSync } from 'node:fs'
import { Celery } from 'celeriac'
import type { Worker, WorkerOptions } from 'celeriac/worker'
import type { openTransport } from '../../src/transport/open.js'
import type { Delivery, Transport } from '../../src/transport/transport.js'

const { LOSS_BROKER_URL = '', LOSS_BROKER_OPTIONS = '{}', LOSS_ORACLE = '', LOSS_WORKER = '' } = process.env
const { LOSS_RESULTS = '' } = process.env
const { LOSS_ETA_LIMIT = '', LOSS_QUEUE_TYPE = 'classic' } = process.env
const oracle = openSync(LOSS_ORACLE, 'a')
const record = (what: string, id?: string): void => {
  writeSync(oracle, `${JSON.stringify({ at: Date.now(), what, id, who: LOSS_WORKER })}\n`)
}

/** The worker's own, which package.json does not export. */
const built = new URL('../../dist/src/transport/open.js', import.meta.url).href
const opening = (await import(built)) as { readonly openTransport: typeof openTransport }

/** Only looks on: when the broker has confirmed an acknowledgement, and when a connection has ended. */
function witnessed(transport: Transport): Transport {
  return {
    async connect(url, options) {
      const connection = await transport.connect(url, options)
      const consume = connection.consume.bind(connection)
      connection.consume = (queues, given) => {
        // Remote control has a subscription of its own, whose messages are no tasks.
        const onDeliveries = (deliveries: readonly Delivery[]): void => {
          for (const delivery of deliveries) witness(delivery)
          given.onDeliveries(deliveries)
        }
        return consume(queues, { ...given, onDeliveries })
      }
      // What a lost connection brought is acknowledged by the next one.
      const settleLost = connection.settleLost?.bind(connection)
      if (settleLost !== undefined) {
        connection.settleLost = async (lost, how, wasAsked) => {
          const gone = await settleLost(lost, how, wasAsked)
          if (how !== 'ack') return gone
          for (const one of lost)
            record(gone.includes(one) ? 'unacked' : 'acked', String(one.envelope.headers['id']))
          return gone
        }
      }
      const adopt = connection.adopt?.bind(connection)
      if (adopt !== undefined) {
        connection.adopt = async (lost) => {
          const adopted = await adopt(lost)
          for (const delivery of adopted) if (delivery !== undefined) witness(delivery)
          return adopted
        }
      }
      void connection.closed.then(() => record('lost'))
      return connection
    },
  }
}

function witness(delivery: Delivery): void {
  const { id } = delivery.envelope.headers
  if (typeof id !== 'string') return
  const ack = delivery.ack.bind(delivery)
  delivery.ack = () => {
    const acked = ack()
    acked.then(
      () => record('acked', id),
      () => record('unacked', id),
    )
    return acked
  }
}

class WatchedCelery extends Celery {
  override worker(options: WorkerOptions = {}): Worker {
    return super.worker({ ...options, openTransport: (url) => witnessed(opening.openTransport(url)) })
  }
}

export const app = new WatchedCelery('loss', {
  brokerUrl: LOSS_BROKER_URL,
  brokerTransportOptions: JSON.parse(LOSS_BROKER_OPTIONS) as Record<string, unknown>,
  taskDefaultQueue: 'loss',
  taskDefaultQueueType: LOSS_QUEUE_TYPE,
  taskIgnoreResult: LOSS_RESULTS === '',
  ...(LOSS_RESULTS === '' ? {} : { resultBackend: LOSS_RESULTS }),
  taskAcksLate: true,
  taskRejectOnWorkerLost: true,
  workerPrefetchMultiplier: 4,
  workerEtaTaskLimit: LOSS_ETA_LIMIT === '' ? null : Number(LOSS_ETA_LIMIT),
})

const pause = (seconds: number): Promise<void> => new Promise((done) => setTimeout(done, seconds * 1000))

/** Keeps the event loop from everything else, as a long calculation does. */
const block = (seconds: number): void => {
  const end = performance.now() + seconds * 1000
  while (performance.now() < end);
}

app.task('loss.work', { bind: true }, async (self, seconds: number, blocking: boolean) => {
  record('start', self.request.id)
  if (blocking) block(seconds / 2)
  else await pause(seconds / 2)
  record('effect', self.request.id)
  if (blocking) block(seconds / 2)
  else await pause(seconds / 2)
  record('end', self.request.id)
})

app.signals.workerReady.connect(() => record('ready'))
