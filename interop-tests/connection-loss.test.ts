/** What becomes of late-acknowledged tasks that run when the connection to their broker is lost, over real brokers. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { AppOptions, AsyncResult, Worker } from '../src/index.js'
import { silentLogger } from '../src/logger.js'
import { type Broker, RabbitBroker, RabbitKind, RedisBroker, redisKind } from './brokers.js'
import { Shop } from './harness.js'
import { eventually, nodeApp } from './node-app.js'
import { skipNote } from './redis-server.js'

/** Has the broker close every connection of its clients. */
async function cut(broker: Broker): Promise<void> {
  if (broker instanceof RabbitBroker) await broker.server.closeConnections()
  else if (broker instanceof RedisBroker)
    await broker.server.client().call('CLIENT', 'KILL', 'TYPE', 'normal')
}

const cancelling = { workerCancelLongRunningTasksOnConnectionLoss: true }

/** What a worker did with one late task, whose first run waits for its gate, or for being cancelled. */
interface Trial {
  readonly worker: Worker
  readonly sent: AsyncResult<string>
  /** The task's state at the start of each of its runs. */
  readonly states: string[]
  /** How each of its runs ended. */
  readonly ends: string[]
  readonly logged: string[]
  openGate(): void
}

const rabbitKind = new RabbitKind()
afterAll(() => rabbitKind.stop())

for (const kind of [rabbitKind, redisKind]) {
  describe.skipIf(kind.missing)(
    `late tasks and a lost connection over ${kind.name}${skipNote(kind.missing)}`,
    () => {
      const isRabbit = kind === rabbitKind
      let broker: Broker
      let shop: Shop
      const closing: { close(): Promise<unknown> }[] = []
      beforeAll(async () => {
        broker = await kind.start()
        shop = new Shop({ broker })
      })
      afterEach(async () => {
        for (const each of closing.splice(0)) await each.close()
      })
      afterAll(async () => {
        await shop?.close()
        await broker?.close()
      })

      /** Cuts its connection while the task runs, and waits for the next one. */
      async function lose(queue: string, settings: AppOptions): Promise<Trial> {
        const app = nodeApp(shop, { taskRoutes: null, taskDefaultQueue: queue, ...settings })
        let openGate = (): void => {}
        const gate = new Promise<void>((resolve) => (openGate = resolve))
        const [states, ends, logged]: string[][] = [[], [], []]
        const task = app.task(
          'lost.late',
          { acksLate: true, bind: true, trackStarted: false },
          async (self) => {
            const isFirst = states?.push(await app.asyncResult(self.request.id).state()) === 1
            const { signal } = self
            const cancelled = new Promise<void>((resolve) =>
              signal.addEventListener('abort', () => resolve()),
            )
            if (isFirst) await Promise.race([gate, cancelled])
            ends?.push(signal.aborted ? 'cancelled' : 'done')
            return 'done'
          },
        )
        const note = (_fields: object, text = ''): void => void logged?.push(text)
        const logger = { ...silentLogger, info: note, warn: note, error: note }
        const worker = app.worker({ concurrency: 2, logger })
        closing.push({ close: async () => openGate() }, { close: () => worker.stop() }, app)
        await worker.start()
        const sent = await task.delay()
        await eventually('it runs', () => states?.length === 1)
        await cut(broker)
        const connected = (): string[] => (logged ?? []).filter((text) => /^Connected to/.test(text))
        await eventually('it is connected again', () => connected().length === 2)
        return { worker, sent, states: states ?? [], ends: ends ?? [], logged: logged ?? [], openGate }
      }

      it('ACK-028 WRK-091 are cancelled where the setting says so, and run again when the broker has redelivered them', async () => {
        const trial = await lose('lost-cancelled', cancelling)
        expect(await trial.sent.get({ timeout: 30 })).toBe('done')
        expect(trial.ends).toEqual(['cancelled', 'done'])
        expect(trial.states).toEqual(['PENDING', 'RETRY'])
        await eventually('nothing is held', () => trial.worker.ledger.size === 0)
        expect(
          trial.logged.filter((text) => /cannot be acknowledged after a connection loss/.test(text)),
        ).toHaveLength(1)
        expect(trial.logged.filter((text) => /could not be acknowledged/.test(text))).toEqual([])
      })

      it('WRK-090 finish otherwise, and what is lost with the connection is said once', async () => {
        const trial = await lose('lost-finished', {})
        if (isRabbit) await eventually('it was delivered again', () => trial.ends.length === 1)
        trial.openGate()
        expect(await trial.sent.get({ timeout: 30 })).toBe('done')
        await eventually('nothing is held', () => trial.worker.ledger.size === 0)
        // RabbitMQ takes a message back with its connection; on Redis the next connection takes it over.
        expect(trial.ends).toEqual(isRabbit ? ['done', 'done'] : ['done'])
        expect(trial.logged.filter((text) => /could not be acknowledged/.test(text))).toHaveLength(
          isRabbit ? 1 : 0,
        )
      })

      if (!isRabbit) return
      it('ACK-028 Celery does the same with that setting', async () => {
        const settings = {
          CELERY_TASK_ACKS_LATE: true,
          CELERY_WORKER_CANCEL_LONG_RUNNING_TASKS_ON_CONNECTION_LOSS: true,
        }
        const other = new Shop({ broker, settings })
        closing.push(other)
        const theirs = await other.startPythonWorker({ pool: 'prefork' })
        const app = nodeApp(other)
        closing.unshift(app)
        const sent = await app.sendTask('py.sleep', { args: [4] })
        await eventually('it runs', async () => (await sent.state()) === 'STARTED')
        await cut(broker)
        await theirs.saw(/cannot be acknowledged after a connection loss[\s\S]*Task py.sleep\S+ received/)
        expect(await sent.get({ timeout: 30 })).toBe('slept')
        await theirs.saw(/Task py.sleep\S+ succeeded/)
        expect(theirs.log.match(/Task py.sleep\S+ received/g)).toHaveLength(2)
        expect(theirs.log.match(/Task py.sleep\S+ succeeded/g)).toHaveLength(1)
      })
    },
  )
}
