/**
 * What happens to a message that cannot be run (`celery/worker/consumer/consumer.py` on_unknown_message,
 * on_unknown_task, on_invalid_task, on_decode_error; surface WRK-028 to WRK-032, wire-format 16).
 *
 * Rule 1: the broker is told what Celery tells it. Rule 2: the log has the bytes, cut as Celery cuts them. Rule 3: a
 * caller is not left waiting: where Celery stores nothing (invalid and undecodable messages) and the id can be read,
 * FAILURE is stored with the reason, unless something is known about the task already.
 */
import { Buffer } from 'node:buffer'
import {
  ContentRefusedError,
  DecodeError,
  ProtocolError,
  SizeLimitError,
  UnknownMessageError,
} from '../../protocol/errors.js'
import { decodeJson } from '../../protocol/json.js'
import type { Host } from '../execution/host.js'
import type { TaskRequest } from '../execution/request.js'
import type { Logger } from '../logger.js'
import type { Delivery, Unreadable } from '../transport/transport.js'
import { type Endings, remoteError } from './endings.js'
import type { Errands } from './errands.js'

/** Celery shows this much of a body. */
const shownBytes = 1024

/** What a `Refusals` needs. */
export interface RefusalsOptions {
  readonly host: Host
  readonly endings: Endings
  readonly errands: Errands
  readonly logger: Logger
  /** The sender of the signals. */
  readonly sender: unknown
}

/** Refuses messages, each in Celery's way. */
export class Refusals {
  private readonly options: RefusalsOptions

  constructor(options: RefusalsOptions) {
    this.options = options
  }

  /**
   * A task that this app does not have: NotRegistered is stored first, so that no crash leaves the caller waiting. What
   * was `read` of it tells who else waits: its chord, the rest of its chain, its errbacks (Celery leaves them waiting).
   */
  unknownTask(
    delivery: Delivery,
    name: string,
    id: string | undefined,
    read?: Pick<TaskRequest, 'message' | 'body'>,
  ): void {
    const { logger, host, errands, sender } = this.options
    logger.error(
      { id, name },
      `Received unregistered task of type ${name}.\nThe message has been ignored and discarded.\n\n` +
        'Did you remember to import the module containing this task?\n\n' +
        `The full contents of the message body was:\n${dumpBody(delivery)}\n\n` +
        `The full contents of the message headers:\n${show(delivery.envelope.headers)}\n\n` +
        `The delivery info for this task is:\n${show(delivery.address)}`,
    )
    errands.run(
      `Refusing the unregistered task ${name}`,
      (async () => {
        const exc = remoteError('NotRegistered', 'celery.exceptions', [name])
        if (id !== undefined) await this.storeFailure(delivery, id, exc)
        if (read !== undefined) await this.options.endings.unknown(requestOf(delivery, read), exc)
        await this.settle(delivery, 'reject')
        const { taskUnknown } = host.signals
        if (taskUnknown.hasReceivers)
          await taskUnknown.send(sender, { message: delivery, exc, name, id: id ?? '' })
      })(),
    )
  }

  /** A message that could not be read, for the reason `error`. */
  unreadable(delivery: Delivery, error: unknown): void {
    if (error instanceof UnknownMessageError) {
      this.unknownFormat(delivery)
      return
    }
    const hasTask = Object.hasOwn(delivery.envelope.headers, 'task')
    // Without a task header Celery opens the body to find one, and any error then is a decode error.
    const isDecode =
      error instanceof DecodeError ||
      error instanceof SizeLimitError ||
      (!hasTask && error instanceof ContentRefusedError)
    if (isDecode) this.undecodable(delivery, error)
    else this.invalid(delivery, error)
  }

  /**
   * A message that is not even an envelope: the transport has kept its bytes. Where they still tell an id, the caller
   * is told too (Rule 3); such a message ends a Python worker.
   */
  setAside(report: Unreadable): void {
    const { errands, endings, logger } = this.options
    const id = idInBytes(report.bytes)
    if (id !== undefined) {
      const explain = async (): Promise<void> => {
        if (await endings.isUnknown(id)) await endings.refused(id, pythonError(report.error))
      }
      errands.run('Telling the caller of an unreadable message', explain())
    }
    logger.error(
      { err: report.error, queue: report.queue, keptAt: report.keptAt },
      `A message in ${report.queue} is not one (${report.error.message}); its ${report.bytes.length} bytes are kept ` +
        `at ${report.keptAt}.`,
    )
  }

  private unknownFormat(delivery: Delivery): void {
    const { logger, errands } = this.options
    logger.warn(
      {},
      'Received and deleted unknown message.  Wrong destination?!?\n\n' +
        `The full contents of the message body was: ${report(delivery)}`,
    )
    errands.run('Refusing an unknown message', this.reject(delivery, null))
  }

  private invalid(delivery: Delivery, error: unknown): void {
    const { logger, errands } = this.options
    logger.error(
      { err: error },
      `Received invalid task message: ${textOf(error)}\nThe message has been ignored and discarded.\n\n` +
        'Please ensure your message conforms to the task\nmessage protocol as described here:\n' +
        'https://docs.celeryq.dev/en/latest/internals/protocol.html\n\n' +
        `The full contents of the message body was:\n${dumpBody(delivery)}`,
    )
    errands.run(
      'Refusing an invalid task message',
      this.explain(delivery, error).then(() => this.reject(delivery, error)),
    )
  }

  private undecodable(delivery: Delivery, error: unknown): void {
    const { logger, errands } = this.options
    const { contentType, contentEncoding, headers } = delivery.envelope
    logger.fatal(
      { err: error },
      `Can't decode message body: ${textOf(error)} [type:${show(contentType)} encoding:${show(contentEncoding)} ` +
        `headers:${show(headers)}]\n\nbody: ${dumpBody(delivery)}`,
    )
    errands.run(
      'Acknowledging an undecodable message',
      this.explain(delivery, error).then(() => this.settle(delivery, 'ack')),
    )
  }

  /** Rule 3. */
  private async explain(delivery: Delivery, error: unknown): Promise<void> {
    const id = idOf(delivery)
    if (id === undefined || !(await this.options.endings.isUnknown(id))) return
    await this.storeFailure(delivery, id, pythonError(error))
  }

  private storeFailure(delivery: Delivery, id: string, error: ReturnType<typeof remoteError>): Promise<void> {
    const { replyTo, correlationId } = delivery.envelope.properties
    return this.options.endings.refused(id, error, replyTo, correlationId)
  }

  private async reject(delivery: Delivery, exc: unknown): Promise<void> {
    await this.settle(delivery, 'reject')
    const { taskRejected } = this.options.host.signals
    if (taskRejected.hasReceivers) await taskRejected.send(this.options.sender, { message: delivery, exc })
  }

  private async settle(delivery: Delivery, how: 'ack' | 'reject'): Promise<void> {
    try {
      await (how === 'ack' ? delivery.ack() : delivery.reject({ requeue: false }))
    } catch (error) {
      this.options.logger.error(
        { err: error },
        `Couldn't ${how} a refused message: the broker may deliver it again.`,
      )
    }
  }
}

function requestOf(
  { address, redelivered }: Delivery,
  read: Pick<TaskRequest, 'message' | 'body'>,
): TaskRequest {
  const { exchange, routingKey } = address
  const deliveryInfo = { exchange, routingKey, priority: read.message.priority, redelivered }
  return { ...read, deliveryInfo, hostname: '', isEager: false }
}

/** The id that a message says in its headers, if it says one. */
export function idOf(delivery: Delivery): string | undefined {
  const { headers } = delivery.envelope
  const id = Object.hasOwn(headers, 'id') ? headers['id'] : undefined
  return typeof id === 'string' && id !== '' ? id : undefined
}

/** The id in what may be a damaged envelope. */
function idInBytes(bytes: Uint8Array): string | undefined {
  try {
    const { headers } = decodeJson(bytes) as { headers?: { id?: unknown } }
    const id = headers?.id
    return typeof id === 'string' && id !== '' ? id : undefined
  } catch {
    return undefined
  }
}

function pythonError(error: unknown): ReturnType<typeof remoteError> {
  const text = textOf(error)
  if (error instanceof ContentRefusedError)
    return remoteError('ContentDisallowed', 'kombu.exceptions', [text])
  if (error instanceof DecodeError || error instanceof SizeLimitError) {
    return remoteError('DecodeError', 'kombu.exceptions', [text])
  }
  return remoteError('InvalidTaskError', 'celery.exceptions', [text])
}

function textOf(error: unknown): string {
  if (error instanceof ProtocolError) return error.message
  return error instanceof Error ? `${error.name}: ${error.message}` : String(error)
}

function dumpBody({ envelope }: Delivery): string {
  const { body } = envelope
  const text = Buffer.from(body.subarray(0, shownBytes)).toString('utf8')
  return `${show(text)}${body.length > shownBytes ? '...' : ''} (${body.length}b)`
}

function report(delivery: Delivery): string {
  const { contentType, contentEncoding, headers } = delivery.envelope
  return (
    `body: ${dumpBody(delivery)}\n{content_type:${show(contentType)} content_encoding:${show(contentEncoding)}\n` +
    `  delivery_info:${show(delivery.address)} headers=${show(headers)}}`
  )
}

/** Any value as one line that cannot fail; bigints, cycles and strange objects included. */
function show(value: unknown): string {
  try {
    const text = JSON.stringify(value, (_key, item: unknown) => (typeof item === 'bigint' ? `${item}` : item))
    return (text ?? String(value)).slice(0, 4 * shownBytes)
  } catch {
    return '(cannot be shown)'
  }
}
