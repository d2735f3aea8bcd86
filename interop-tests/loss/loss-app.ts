/** The TypeScript worker of the loss trials: `celeriac -A loss-app.ts worker`. Settings come in the environment. */
import { openSync, writeSync } from 'node:fs'
import { Celery } from 'celeriac'

const { LOSS_BROKER_URL = '', LOSS_BROKER_OPTIONS = '{}', LOSS_ORACLE = '', LOSS_WORKER = '' } = process.env
const oracle = openSync(LOSS_ORACLE, 'a')
const record = (what: string, id?: string): void => {
  writeSync(oracle, `${JSON.stringify({ at: Date.now(), what, id, who: LOSS_WORKER })}\n`)
}

export const app = new Celery('loss', {
  brokerUrl: LOSS_BROKER_URL,
  brokerTransportOptions: JSON.parse(LOSS_BROKER_OPTIONS) as Record<string, unknown>,
  taskDefaultQueue: 'loss',
  taskIgnoreResult: true,
  taskAcksLate: true,
  taskRejectOnWorkerLost: true,
  workerPrefetchMultiplier: 4,
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
