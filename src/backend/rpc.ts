/**
 * `rpc://`: results as messages to the one who asked (`celery/backends/rpc.py`, wire-format 9.1; surface RES-031 to
 * RES-033).
 *
 * Rule 1: every state of a task is one message to the queue that its message names in `reply_to`, through the default
 * exchange. Whoever asked for nothing is told nothing, and a queue that is gone takes no task down with it.
 * Rule 2: an app has one reply queue, for all its waits. What nobody waits for yet is kept (`RpcInbox`).
 * Rule 3: only the app that sent a task can read its result, and only while it lives: nothing here is a store.
 */
import { randomUUID } from 'node:crypto'
import type { Envelope } from '../../protocol/envelope.js'
import { encodeRpcResult, type ResultMeta, resultMetaFromWire } from '../../protocol/result-meta.js'
import { openEnvelope } from '../../protocol/task-message.js'
import { systemClock } from '../clock.js'
import { BackendUnavailableError, InvalidArgumentError, NotSupportedError } from '../errors.js'
import { silentLogger } from '../logger.js'
import type { Delivery } from '../transport/transport.js'
import type { ChordCounter, ResultBackend, ResultRequest, WatchOptions } from './backend.js'
import type { BackendOptions } from './backend-options.js'
import type { KeyListener } from './key-value-store.js'
import { noChordsOverRpc } from './no-chords.js'
import { ResultPush } from './result-push.js'
import { retryPolicyOf } from './retry-policy.js'
import type { RpcSettings } from './rpc-broker.js'
import { RpcInbox } from './rpc-inbox.js'
import { RpcReplies } from './rpc-replies.js'
import { RpcSender } from './rpc-sender.js'

/** See above. */
export class RpcBackend implements ResultBackend {
  readonly kind = 'rpc'
  readonly displayUrl = 'rpc://'
  readonly enabled = true
  readonly persistent = false
  readonly autoExpires = true
  readonly push = true
  /** Refuses chords before anything of them is sent (surface RES-032). */
  readonly chords: ChordCounter = {
    begin: async () => {
      throw new NotSupportedError(noChordsOverRpc)
    },
    // A part of somebody else's chord: Celery's rpc backend does not count it either.
    partDone: async () => undefined,
  }
  readonly #options: BackendOptions
  readonly #serializer: string
  readonly #deliveryMode: 1 | 2
  readonly #sender: RpcSender
  readonly #replies: RpcReplies
  readonly #inbox: RpcInbox
  readonly #waits: ResultPush
  readonly #wanted = new Set<string>()
  /** The envelope that a body came in. */
  readonly #envelopes = new WeakMap<Uint8Array, Envelope>()
  #listener: KeyListener | undefined
  #trouble: Error | undefined
  #isClosed = false

  /** Connects when first used. Throws `EncodeError` for a serializer that the codec does not know. */
  constructor(settings: RpcSettings, options: BackendOptions) {
    const { clock = systemClock(), random = Math.random, logger = silentLogger } = options
    this.#options = options
    this.#serializer = options.serializer ?? 'json'
    options.codec.accepting([this.#serializer])
    this.#deliveryMode = settings.persistent === true ? 2 : 1
    const policy = retryPolicyOf(options.transportOptions ?? {})
    this.#sender = new RpcSender({ broker: settings.broker, policy, clock })
    let hasDropped = false
    this.#inbox = new RpcInbox((taskId) => {
      if (hasDropped) return
      hasDropped = true
      logger.warn(
        { task_id: taskId },
        'more results came than are kept for nobody; the oldest are dropped from now on (send with ignoreResult)',
      )
    })
    const { expires = 86_400 } = options
    this.#replies = new RpcReplies({
      broker: settings.broker,
      queue: {
        name: settings.replyTo || randomUUID(),
        durable: false,
        exclusive: false,
        autoDelete: true,
        arguments: expires ? { 'x-expires': Math.trunc(expires * 1000) } : {},
      },
      clock,
      random,
      logger,
      onReply: (delivery) => this.#receive(delivery),
      onListening: () => this.#look(undefined),
      onTrouble: (error) => this.#look(error),
    })
    this.#waits = new ResultPush(
      {
        channels: {
          listen: (listener) => {
            this.#listener = listener
          },
          want: (taskId) => this.#want(taskId),
          unwant: (taskId) => void this.#wanted.delete(taskId),
          flushed: async () => {},
        },
        read: (taskIds) => this.#read(taskIds),
        decode: async (taskId, bytes) => ({ meta: this.#decode(taskId, bytes), bytes }),
        keyOf: (taskId) => taskId,
        idOf: (key) => key,
      },
      clock,
    )
  }

  async store(meta: ResultMeta, request?: ResultRequest): Promise<void> {
    checkedId(meta.taskId)
    if (!request?.replyTo) return
    const { codec } = this.#options
    const result = hasTuple(meta.result) ? meta.result.asTuple() : meta.result
    const payload = encodeRpcResult({ ...meta, result }, { codec, serializer: this.#serializer })
    await this.#sender.send({
      envelope: {
        ...payload,
        headers: {},
        properties: {
          correlationId: request.correlationId || meta.taskId,
          deliveryMode: this.#deliveryMode,
          priority: 0,
        },
      },
      to: { exchange: '', routingKey: request.replyTo },
    })
  }

  async fetch(taskId: string): Promise<ResultMeta | undefined> {
    return (await this.fetchMany([taskId])).get(taskId)
  }

  async fetchMany(taskIds: readonly string[]): Promise<ReadonlyMap<string, ResultMeta>> {
    for (const id of taskIds) checkedId(id)
    await this.#replies.look()
    const metas = new Map<string, ResultMeta>()
    for (const id of new Set(taskIds)) {
      const envelope = this.#inbox.get(id)
      if (envelope !== undefined) metas.set(id, this.#decode(id, envelope.body))
    }
    return metas
  }

  watch(taskIds: readonly string[], options: WatchOptions): AsyncGenerator<ResultMeta, void, undefined> {
    for (const id of taskIds) checkedId(id)
    return this.#waits.watch(taskIds, options)
  }

  /** Declares the reply queue, so that the answer finds it. Throws when it cannot be declared: nothing is sent then. */
  async expect(): Promise<void> {
    await this.#replies.declare()
  }

  /** In this process alone: what the worker sent cannot be taken back (surface RES-032). */
  async forget(taskId: string): Promise<void> {
    this.#inbox.delete(checkedId(taskId))
  }

  async storeGroup(): Promise<void> {
    throw new NotSupportedError('save_group is not supported by this backend.')
  }

  async fetchGroup(): Promise<never> {
    throw new NotSupportedError('restore_group is not supported by this backend.')
  }

  async forgetGroup(): Promise<void> {
    throw new NotSupportedError('delete_group is not supported by this backend.')
  }

  /** The queue expires with its owner. */
  async cleanup(): Promise<number> {
    return 0
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    const reason = new BackendUnavailableError('The result backend rpc:// was closed.')
    this.#waits.end(reason)
    await Promise.all([this.#sender.end(reason), this.#replies.end(reason)])
  }

  #want(taskId: string): boolean {
    if (this.#isClosed) return false
    this.#wanted.add(taskId)
    this.#replies.listen()
    return this.#replies.isListening
  }

  /** Has those who wait look again: at what came, or at the trouble. */
  #look(trouble: Error | undefined): void {
    this.#trouble = trouble
    this.#listener?.onReady([...this.#wanted])
  }

  async #read(taskIds: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>> {
    const found = new Map<string, Uint8Array>()
    for (const id of taskIds) {
      const envelope = this.#inbox.get(id)
      if (envelope !== undefined) found.set(id, envelope.body)
    }
    if (found.size === 0 && this.#trouble !== undefined) throw this.#trouble
    return found
  }

  /** Never throws: what cannot be read is kept under its correlation id, for the one who waits to be told. */
  #receive({ envelope }: Delivery): void {
    const { correlationId } = envelope.properties
    let id = correlationId
    let isSuccess = false
    this.#envelopes.set(envelope.body, envelope)
    try {
      const meta = this.#opened(envelope, correlationId)
      id = meta.taskId
      isSuccess = meta.state === 'SUCCESS'
    } catch (error) {
      const { logger = silentLogger } = this.#options
      logger.warn({ err: error, task_id: correlationId }, 'a result in the reply queue cannot be read')
    }
    if (!id || !this.#inbox.put(id, envelope, isSuccess)) return
    this.#listener?.onValue(id, envelope.body)
  }

  #opened(envelope: Envelope, knownId: string | undefined): ResultMeta {
    const { codec, accept = [this.#serializer] } = this.#options
    const wire = openEnvelope(envelope, { codec, accept: codec.accepting(accept) })
    return resultMetaFromWire(wire, knownId)
  }

  #decode(taskId: string, body: Uint8Array): ResultMeta {
    const envelope = this.#envelopes.get(body)
    if (envelope === undefined) throw new BackendUnavailableError(`the result of task ${taskId} is gone`)
    return this.#opened(envelope, taskId)
  }
}

function checkedId(taskId: string): string {
  if (typeof taskId === 'string' && taskId !== '') return taskId
  throw new InvalidArgumentError(`A task id must not be empty: got ${JSON.stringify(taskId)}.`)
}

/** A result object that a task returned is sent as its tuple (surface RES-015). */
function hasTuple(value: unknown): value is { asTuple(): unknown } {
  return (
    typeof value === 'object' && value !== null && 'asTuple' in value && typeof value.asTuple === 'function'
  )
}
