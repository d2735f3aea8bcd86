/**
 * Remote control, the answering side (`celery/worker/pidbox.py`, `kombu/pidbox.py` Node; wire-format 11, surface
 * CTL-001 to CTL-020).
 *
 * Rule 1: it lives beside the task queues on the same connection, and has nothing to do with what they deliver: no
 * command, however wrong or slow, and no reply that cannot be sent ends or delays them.
 * Rule 2: commands start in the order they came; a slow one holds up no other.
 * Rule 3: the mailbox is ours alone. What was sent to a node of our name before we were there is removed, as it is on
 * brokers that forget it by themselves; after an orderly stop the queue is gone, so that nothing is written to it.
 */
import {
  addresses,
  type ControlRequest,
  decodeControlRequest,
  encodeControlReply,
} from '../../protocol/control.js'
import { pyRepr } from '../../protocol/python-repr.js'
import { Mailbox, type MailboxQueue } from '../app/mailbox.js'
import { pause } from '../clock.js'
import { ConnectivityError } from '../errors.js'
import type { Logger } from '../logger.js'
import type { Connection, Delivery, Subscription } from '../transport/transport.js'
import { builtinCommands } from './commands/all.js'
import {
  type CommandContext,
  type CommandedWorker,
  type ControlCommand,
  noReply,
} from './commands/command.js'
import { errorRepr, PythonError } from './commands/python-error.js'
import type { Companion } from './session.js'
import type { WorkerApp } from './worker-app.js'

/** What remote control is made of. */
export interface RemoteControlOptions {
  readonly app: WorkerApp
  readonly worker: CommandedWorker
  readonly logger: Logger
  /** Default the builtin ones. */
  readonly commands?: ReadonlyMap<string, ControlCommand>
}

/** Milliseconds that sending a reply may take. */
const replyTimeoutMs = 5000
/** Milliseconds for which an orderly stop waits for commands that run. */
const lastCommandsMs = 2000

/** Obeys the commands for one worker. */
export class RemoteControl implements Companion {
  readonly name = 'remote control'
  private readonly options: RemoteControlOptions
  private readonly mailbox: Mailbox
  private readonly queue: MailboxQueue
  private readonly context: CommandContext
  private readonly commands: ReadonlyMap<string, ControlCommand>
  private readonly running = new Set<Promise<void>>()
  private open: { readonly connection: Connection; readonly subscription: Subscription } | undefined

  /** Throws `ConfigError` for control queues that would be durable and exclusive. */
  constructor(options: RemoteControlOptions) {
    const { app, worker, logger } = options
    this.options = options
    this.mailbox = new Mailbox(app.conf)
    this.queue = this.mailbox.ofNode(worker.hostname)
    this.context = { app, worker, logger }
    this.commands = options.commands ?? builtinCommands
  }

  /**
   * Listens on a new connection, where the broker can broadcast. Rejects with `ConnectivityError` alone: the connection
   * is of no use then. A mailbox that the broker refuses is logged, and the worker goes without.
   */
  async attach(connection: Connection, isRestart: boolean): Promise<void> {
    const { logger } = this.options
    this.open = undefined
    if (!connection.capabilities.fanout) {
      logger.debug({}, 'This broker has no fanout exchanges: the worker goes without remote control.')
      return
    }
    try {
      await connection.declare(this.queue.topology)
      if (!isRestart) await connection.purge(this.queue.name)
      const subscription = await connection.consume([this.queue.name], {
        prefetch: 0,
        noAck: true,
        onDeliveries: (deliveries) => this.receive(connection, deliveries),
      })
      this.open = { connection, subscription }
    } catch (error) {
      if (error instanceof ConnectivityError) throw error
      logger.error(
        { err: error, queue: this.queue.name },
        `The mailbox ${this.queue.name} cannot be used: the worker goes without remote control.`,
      )
    }
  }

  /** Listens no more, lets what runs end, and deletes the mailbox. Bounded by whoever calls it. */
  async detach(): Promise<void> {
    const { open } = this
    if (open === undefined) return
    this.open = undefined
    await open.subscription.cancel()
    const ended = new AbortController()
    const late = pause(this.options.app.clock, lastCommandsMs, ended.signal).catch(() => {})
    await Promise.race([Promise.all(this.running), late])
    ended.abort()
    await open.connection.deleteQueue(this.queue.name, { ifUnused: true })
  }

  /** Takes what came. Never throws. */
  private receive(connection: Connection, deliveries: readonly Delivery[]): void {
    for (const delivery of deliveries) {
      const running: Promise<void> = this.handle(connection, delivery)
        .catch((error: unknown) =>
          this.options.logger.error({ err: error }, `Control command error: ${error}`),
        )
        .finally(() => this.running.delete(running))
      this.running.add(running)
    }
  }

  private async handle(connection: Connection, delivery: Delivery): Promise<void> {
    const { app, worker, logger } = this.options
    const { codec, conf, logicalClock } = app
    let request: ControlRequest
    try {
      request = decodeControlRequest(delivery.envelope, {
        codec,
        accept: codec.accepting(conf.acceptContent),
      })
    } catch (error) {
      logger.error({ err: error }, 'A remote control message cannot be read; it is dropped.')
      return
    }
    // Most who command have no clock of their own worth following.
    logicalClock.forward()
    logicalClock.adjust(request.clock)
    if (!addresses(request, worker.hostname)) return
    const { method, replyTo, ticket } = request
    logger.debug(
      { method },
      `pidbox received method ${method}(${callText(request)}) [reply_to:${replyTo?.routingKey ?? 'None'} ticket:${ticket ?? 'None'}]`,
    )
    const answer = await this.answerTo(request)
    if (replyTo === undefined || answer === noReply) return
    await this.reply(connection, replyTo, ticket, answer)
  }

  /** What the command says, or what is wrong with it. Never rejects. */
  private async answerTo({ method, arguments: args }: ControlRequest): Promise<unknown> {
    const command = this.commands.get(method)
    if (command === undefined) {
      const error = errorRepr(new PythonError('KeyError', method))
      // Every Python worker says hello when it starts; what people ask for and is not here is worth a line, not a stack.
      const says = `pidbox command error: ${error}`
      if (method === 'hello') this.options.logger.debug({ method }, says)
      else this.options.logger.error({ method }, says)
      return { error }
    }
    try {
      checkArguments(command, args)
      return await command.run(this.context, args)
    } catch (error) {
      this.options.logger.error({ err: error, method }, `pidbox command error: ${errorRepr(error)}`)
      return { error: errorRepr(error) }
    }
  }

  private async reply(
    connection: Connection,
    to: NonNullable<ControlRequest['replyTo']>,
    ticket: string | undefined,
    answer: unknown,
  ): Promise<void> {
    const { app, worker, logger } = this.options
    try {
      const envelope = encodeControlReply(
        { replies: { [worker.hostname]: answer ?? null }, ticket, clock: app.logicalClock.forward() },
        { codec: app.codec, serializer: app.conf.taskSerializer },
      )
      const late = new AbortController()
      const cancel = app.clock.after(replyTimeoutMs, () => late.abort(new Error('no answer in time')))
      try {
        const exchange = { ...this.mailbox.replyExchange, name: to.exchange }
        await connection.declare({ exchanges: [exchange], queues: [], bindings: [] })
        await connection.publish([{ envelope, to, mandatory: false }], { signal: late.signal })
      } finally {
        cancel()
      }
    } catch (error) {
      logger.warn(
        { err: error },
        `The reply to a remote control command of ${to.routingKey} could not be sent.`,
      )
    }
  }
}

/** Refuses as Python refuses to call a handler (surface CTL-010). Throws `PythonError`. */
function checkArguments(command: ControlCommand, args: Readonly<Record<string, unknown>>): void {
  const { name, required, optional } = command
  const missing = required.filter((argument) => !Object.hasOwn(args, argument)).map((one) => `'${one}'`)
  if (missing.length > 0) {
    const listed =
      missing.length < 3
        ? missing.join(' and ')
        : `${missing.slice(0, -1).join(', ')}, and ${missing.at(-1) ?? ''}`
    const what = `${missing.length} required positional argument${missing.length === 1 ? '' : 's'}`
    throw new PythonError('TypeError', `${name}() missing ${what}: ${listed}`)
  }
  if (optional === undefined) return
  const surplus = Object.keys(args).find((one) => !required.includes(one) && !optional.includes(one))
  if (surplus !== undefined) {
    throw new PythonError('TypeError', `${name}() got an unexpected keyword argument '${surplus}'`)
  }
}

/** `task_id='a', terminate=False`, cut to what a log line bears. */
function callText({ arguments: args }: ControlRequest): string {
  const text = Object.entries(args)
    .map(([name, value]) => `${name}=${pyRepr(value)}`)
    .join(', ')
  return text.length > 500 ? `${text.slice(0, 500)}...` : text
}
