/**
 * Remote control, the asking side (`celery/app/control.py`): what celeriac's and Python's workers obey alike.
 *
 * Rule 1: a command goes to every worker of the broker, which decides by destination and pattern whether it is meant.
 * A broker with nobody online keeps nothing: what is revoked then still runs later (surface CTL-058).
 * Rule 2: whoever asks for replies gets a reply queue and a connection of its own; both are gone afterwards, however
 * the waiting ended.
 */
import { encodeControlRequest } from '../../protocol/control.js'
import type { Envelope } from '../../protocol/envelope.js'
import type { LamportClock } from '../../protocol/lamport-clock.js'
import type { Codec } from '../../protocol/serializers.js'
import type { Clock } from '../clock.js'
import { BrokerUnavailableError, InvalidArgumentError } from '../errors.js'
import type { Logger } from '../logger.js'
import { orAborted } from '../or-aborted.js'
import type { Connection, Subscription } from '../transport/transport.js'
import { defaultTimeoutMs } from './attempts.js'
import { type ControlAnswer, ReplyCollector } from './control-replies.js'
import { assertFanout, Mailbox } from './mailbox.js'
import type { Publisher } from './publisher.js'
import type { Settings } from './settings.js'
import type { UnderWay } from './under-way.js'

/** What remote control needs from its app. */
export interface ControlApp {
  readonly conf: Settings
  readonly codec: Codec
  readonly publisher: Publisher
  readonly clock: Clock
  readonly logger: Logger
  readonly newId: () => string
  readonly logicalClock: LamportClock
  readonly sending: UnderWay
  purge(): Promise<number>
}

/** Whom to tell, and whether to wait for what they say. */
export interface CommandOptions {
  /** Node names; default, or empty, everyone that `pattern` takes. */
  readonly destination?: readonly string[] | undefined
  /** Of node names; needs `matcher`. */
  readonly pattern?: string | undefined
  readonly matcher?: 'glob' | 'pcre' | undefined
  /** Wait for replies. Default false. */
  readonly reply?: boolean | undefined
  /** Seconds of silence after which no more replies are expected. Default 1. */
  readonly timeout?: number | undefined
  /** Replies after which to wait no longer; default the number of destinations. */
  readonly limit?: number | undefined
}

/** How to broadcast. */
export interface BroadcastOptions extends CommandOptions {
  readonly signal?: AbortSignal | undefined
}

/** How to revoke; `signal` is the one that the task gets with `terminate`. */
export interface RevokeCommandOptions extends CommandOptions {
  /** Also stop those that run. Default false. */
  readonly terminate?: boolean | undefined
  /** Default `SIGTERM`. */
  readonly signal?: string | undefined
  /** Ends the waiting for replies. */
  readonly abortSignal?: AbortSignal | undefined
}

/** Workers that never fall silent are not listened to longer than this, or than ten times `timeout`. */
const longestListenMs = 60_000
/** A broker that hangs does not keep who asks from going on. */
const freeTimeoutMs = 5000

/** Commands the workers of this broker. */
export class Control {
  private readonly app: ControlApp
  private readonly mailbox: Mailbox

  /** Throws `ConfigError` for control queues that would be durable and exclusive. */
  constructor(app: ControlApp) {
    this.app = app
    this.mailbox = new Mailbox(app.conf)
  }

  /**
   * Sends a command; resolves when the broker has it, or with `reply` when the replies are in: one `{node: value}` for
   * each worker that answered, none when nobody did. Without `reply` the list is empty. Throws `InvalidArgumentError`,
   * `EncodeError`, `BrokerUnavailableError`, `ConfigError` where the broker cannot broadcast, or the signal's reason.
   */
  async broadcast(
    command: string,
    args: Readonly<Record<string, unknown>> = {},
    options: BroadcastOptions = {},
  ): Promise<readonly ControlAnswer[]> {
    check(options)
    if (options.reply) return this.ask(command, args, options)
    const { exchange } = this.mailbox
    const { publisher, sending } = this.app
    const sent = publisher.publishRaw(
      this.request(command, args, options),
      { exchange: exchange.name, routingKey: '' },
      { what: `remote control ${command}`, exchange, signal: options.signal },
    )
    await sending.track(sent)
    return []
  }

  /** Who is there: `[{ 'celery@host': { ok: 'pong' } }]`. Throws as `broadcast` does. */
  ping(options: Omit<BroadcastOptions, 'reply'> = {}): Promise<readonly ControlAnswer[]> {
    return this.broadcast('ping', {}, { ...options, reply: true })
  }

  /**
   * Tells workers not to run these tasks, and stores REVOKED where they can; with `terminate` also to stop those that
   * run. Throws as `broadcast` does.
   */
  revoke(
    taskIds: string | readonly string[],
    options: RevokeCommandOptions = {},
  ): Promise<readonly ControlAnswer[]> {
    const { terminate = false, signal = 'SIGTERM', abortSignal, ...rest } = options
    const taskId = typeof taskIds !== 'string' && taskIds.length === 1 ? taskIds[0] : taskIds
    return this.broadcast('revoke', { task_id: taskId, terminate, signal }, { ...rest, signal: abortSignal })
  }

  /** `revoke` with `terminate`. */
  terminate(
    taskIds: string | readonly string[],
    options: Omit<RevokeCommandOptions, 'terminate'> = {},
  ): Promise<readonly ControlAnswer[]> {
    return this.revoke(taskIds, { ...options, terminate: true })
  }

  /** Tells workers to stop, warm. They do not reply. Throws as `broadcast` does. */
  shutdown(options: Omit<BroadcastOptions, 'reply'> = {}): Promise<readonly ControlAnswer[]> {
    return this.broadcast('shutdown', {}, options)
  }

  /** Sets the rate limit of a task in each worker, `'10/m'` or a number per second; null, 0 or '' for none. */
  rateLimit(
    taskName: string,
    rate: string | number | null,
    options: BroadcastOptions = {},
  ): Promise<readonly ControlAnswer[]> {
    return this.broadcast('rate_limit', { task_name: taskName, rate_limit: rate }, options)
  }

  /** Sets the time limits in seconds of what starts from now on; one that is left out is taken away. */
  timeLimit(
    taskName: string,
    limits: { readonly soft?: number | undefined; readonly hard?: number | undefined },
    options: BroadcastOptions = {},
  ): Promise<readonly ControlAnswer[]> {
    const { soft = null, hard = null } = limits
    return this.broadcast('time_limit', { task_name: taskName, hard, soft }, options)
  }

  /** Removes what waits in all queues of the app; returns how many messages that were (surface CTL-057). */
  purge(): Promise<number> {
    return this.app.purge()
  }

  private request(
    method: string,
    args: Readonly<Record<string, unknown>>,
    options: BroadcastOptions,
    reply: { readonly ticket: string; readonly id: string } | undefined = undefined,
  ): Envelope {
    const { clock, codec, conf, logicalClock } = this.app
    const { destination, pattern, matcher, timeout = 1 } = options
    return encodeControlRequest(
      {
        method,
        arguments: args,
        destination,
        ...(pattern && matcher ? { pattern, matcher } : {}),
        ticket: reply?.ticket,
        replyTo: reply && { exchange: this.mailbox.replyExchange.name, routingKey: reply.id },
        clock: logicalClock.forward(),
        expires: timeout > 0 ? clock.now() / 1000 + timeout : 0,
      },
      { codec, serializer: conf.taskSerializer },
    )
  }

  private async ask(
    command: string,
    args: Readonly<Record<string, unknown>>,
    options: BroadcastOptions,
  ): Promise<readonly ControlAnswer[]> {
    const { clock, codec, conf, logger, logicalClock, newId, publisher } = this.app
    const { destination = [], timeout = 1, signal } = options
    signal?.throwIfAborted()
    const reply = { ticket: newId(), id: newId() }
    const envelope = this.request(command, args, options, reply)
    const timeoutMs = timeout * 1000
    const mostMs = Math.max(longestListenMs, timeoutMs * 10)
    const collector = new ReplyCollector({
      clock,
      logger,
      policy: { codec, accept: codec.accepting(conf.acceptContent) },
      ticket: reply.ticket,
      timeoutMs,
      mostMs,
      limit: options.limit ?? destination.length,
      onReply: ({ clock: other }) => logicalClock.adjust(other),
    })
    // Once there is a connection, `converse` heeds the signal itself: it has a queue to free first.
    const dialing = timedOut(clock, defaultTimeoutMs, signal)
    return publisher
      .runAlone(
        `remote control ${command}`,
        (connection) => {
          dialing.free()
          return this.converse(connection, envelope, reply.id, collector, signal)
        },
        { timeoutMs: 2 * defaultTimeoutMs + mostMs + freeTimeoutMs, signal: dialing.signal },
      )
      .finally(dialing.free)
  }

  private async converse(
    connection: Connection,
    envelope: Envelope,
    replyId: string,
    collector: ReplyCollector,
    signal: AbortSignal | undefined,
  ): Promise<readonly ControlAnswer[]> {
    assertFanout(connection, this.app.publisher.displayUrl)
    const { exchange } = this.mailbox
    const { name, topology } = this.mailbox.ofReplies(replyId)
    const sending = timedOut(this.app.clock, defaultTimeoutMs, signal)
    let subscription: Subscription | undefined
    try {
      const exchanges = [exchange, ...topology.exchanges]
      await orAborted(connection.declare({ ...topology, exchanges }), sending.signal)
      const listening = connection.consume([name], {
        prefetch: 0,
        noAck: true,
        onDeliveries: (deliveries) => collector.receive(deliveries),
      })
      subscription = await orAborted(listening, sending.signal)
      const to = { exchange: exchange.name, routingKey: '' }
      await connection.publish([{ envelope, to, mandatory: false }], { signal: sending.signal })
      sending.free()
      collector.start()
      return await orEnded(orAborted(collector.answers, signal), connection)
    } finally {
      sending.free()
      collector.end()
      await this.free(connection, subscription, name)
    }
  }

  /** Bounded, and never throws: what could not be freed expires, or is dropped with the connection. */
  private async free(
    connection: Connection,
    subscription: Subscription | undefined,
    queue: string,
  ): Promise<void> {
    const bound = timedOut(this.app.clock, freeTimeoutMs, undefined)
    const freeing = async (): Promise<void> => {
      await subscription?.cancel()
      await connection.deleteQueue(queue, { ifUnused: true })
    }
    try {
      await orAborted(freeing(), bound.signal)
    } catch (error) {
      this.app.logger.debug({ err: error, queue }, 'A reply queue of remote control could not be deleted.')
    } finally {
      bound.free()
    }
  }
}

function check({ destination, timeout, limit, pattern, matcher }: BroadcastOptions): void {
  if (destination !== undefined && !Array.isArray(destination)) {
    throw new InvalidArgumentError(`destination must be a list of node names, not ${typeof destination}`)
  }
  if ((pattern === undefined) !== (matcher === undefined)) {
    throw new InvalidArgumentError(
      'pattern and matcher go together: a pattern alone would reach every worker',
    )
  }
  if (timeout !== undefined && !(timeout >= 0 && Number.isFinite(timeout))) {
    throw new InvalidArgumentError(`timeout is a number of seconds, not ${String(timeout)}`)
  }
  if (limit !== undefined && !(Number.isInteger(limit) && limit >= 0)) {
    throw new InvalidArgumentError(`limit is a whole number of replies, not ${String(limit)}`)
  }
}

/** A signal that aborts with `other`, or after `ms`; `free` ends both, and nothing aborts any more. */
function timedOut(
  clock: Clock,
  ms: number,
  other: AbortSignal | undefined,
): { readonly signal: AbortSignal; readonly free: () => void } {
  const controller = new AbortController()
  const onAbort = (): void => controller.abort(other?.reason)
  const cancel = clock.after(ms, () =>
    controller.abort(new BrokerUnavailableError(`no answer within ${ms} ms`)),
  )
  if (other?.aborted) onAbort()
  other?.addEventListener('abort', onAbort, { once: true })
  const free = (): void => {
    cancel()
    other?.removeEventListener('abort', onAbort)
  }
  return { signal: controller.signal, free }
}

/** Rejects when the connection ends first: nobody can answer over it any more. */
async function orEnded<T>(promise: Promise<T>, connection: Connection): Promise<T> {
  const ended = connection.closed.then((cause): never => {
    throw cause ?? new BrokerUnavailableError('the app was closed while it waited for replies')
  })
  return Promise.race([promise, ended])
}
