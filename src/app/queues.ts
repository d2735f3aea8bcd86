/**
 * The queues of an app: declared, default, and made on demand (`celery/app/amqp.py`, `Queues`).
 *
 * Rule 1: what is declared here must be declared alike by Python, or RabbitMQ answers PRECONDITION_FAILED: names,
 *         flags and arguments follow kombu, its oddities included (surface PUB-048 to PUB-060).
 * Rule 2: a queue of a list without a routing key shares the default one; a queue of a record has its own name.
 * Rule 3: a queue made on demand is consumed by a worker that was not given `-Q`, as in Celery 5.6 (PUB-049).
 */
import { ConfigError, InvalidArgumentError, QueueNotFoundError } from '../errors.js'
import type { Binding, Exchange, Queue, Topology } from '../transport/transport.js'
import type {
  ExchangeDeclaration,
  ExchangeType,
  QueueBinding,
  QueueOptions,
  QueuesSetting,
} from './queue-declaration.js'
import { camelCase } from './settings.js'

type Arguments = Readonly<Record<string, unknown>>

/** The settings that queues are made from; `Settings` has them all. */
export interface QueueSettings {
  readonly taskQueues: QueuesSetting | null
  readonly taskDefaultQueue: string
  readonly taskDefaultQueueType: string
  readonly taskDefaultExchange: string | null
  readonly taskDefaultExchangeType: ExchangeType
  readonly taskDefaultRoutingKey: string | null
  readonly taskCreateMissingQueues: boolean
  readonly taskCreateMissingQueueType: string
  readonly taskCreateMissingQueueExchangeType: ExchangeType | null
  readonly taskQueueMaxPriority: number | null
}

/** An exchange, with what only a publisher asks of it. */
export interface TaskExchange extends Exchange {
  readonly deliveryMode: 1 | 2 | undefined
  readonly noDeclare: boolean
}

/** A queue with its exchange and bindings: what kombu's `Queue` holds. */
export interface TaskQueue {
  readonly name: string
  readonly alias: string | undefined
  readonly exchange: TaskExchange
  readonly routingKey: string
  readonly declaration: Queue
  readonly bindingArguments: Arguments
  readonly consumerArguments: Arguments
  /** Bindings in place of the one to `exchange`. */
  readonly bindings: readonly { exchange: TaskExchange; routingKey: string; arguments: Arguments }[]
  readonly noAck: boolean
  readonly noDeclare: boolean
  /** A kombu `Broadcast`: publishers do not declare it (surface PUB-059). */
  readonly isBroadcast: boolean
}

/** `Queue.from_dict` drops these, so that Python declares a queue of a record without them. */
const listFormOnly = [
  'expires',
  'messageTtl',
  'maxLength',
  'maxLengthBytes',
  'maxPriority',
  'noDeclare',
] as const

/** All queues of one app, and those that its worker consumes from. */
export class Queues {
  private readonly settings: QueueSettings
  private readonly newId: () => string
  private readonly byName = new Map<string, TaskQueue>()
  private readonly madeOnDemand = new Set<string>()
  private readonly byAlias = new Map<string, TaskQueue>()
  private selected: Map<string, TaskQueue> | undefined
  private changes = 0

  /** `newId` names the queues of broadcasts; default `crypto.randomUUID`. Throws `ConfigError`. */
  constructor(settings: QueueSettings, newId: () => string = () => crypto.randomUUID()) {
    this.settings = settings
    this.newId = newId
    const declared = settings.taskQueues ?? []
    if (Array.isArray(declared)) {
      for (const queue of declared as readonly unknown[]) this.addDeclared(queue)
    } else {
      for (const [name, options] of Object.entries(declared)) this.addNamed(name, options)
    }
    if (this.byName.size === 0) {
      const isQuorum = settings.taskDefaultQueueType === 'quorum'
      this.add(settings.taskDefaultQueue, isQuorum ? { queueArguments: { 'x-queue-type': 'quorum' } } : {})
    }
  }

  /** Another number after each change of a queue: what was worked out from queues before is out of date. */
  get version(): number {
    return this.changes
  }

  /** Every queue, by name, in the order of declaration. */
  get all(): ReadonlyMap<string, TaskQueue> {
    return this.byName
  }

  /** What a worker consumes from: the selection, or all. */
  get consumeFrom(): ReadonlyMap<string, TaskQueue> {
    return this.selected ?? this.byName
  }

  /** True when a declared queue is a quorum queue (surface PUB-083). */
  get hasQuorum(): boolean {
    return [...this.byName.values()].some((q) => q.declaration.arguments['x-queue-type'] === 'quorum')
  }

  /** By name or alias, without making one. */
  find(name: string): TaskQueue | undefined {
    return this.byAlias.get(name) ?? this.byName.get(name)
  }

  /** By name or alias; made when missing. Throws `QueueNotFoundError` when `task_create_missing_queues` is off. */
  get(name: string): TaskQueue {
    // Made and kept under such a name, it would fail whoever declares all queues later.
    if (typeof name !== 'string') {
      throw new InvalidArgumentError(`The name of a queue is text, not a value of type ${typeof name}.`)
    }
    const known = this.find(name)
    if (known !== undefined) return known
    if (!this.settings.taskCreateMissingQueues) {
      throw new QueueNotFoundError(
        `Queue '${name}' missing from task_queues (there are: ${[...this.byName.keys()].join(', ')}). ` +
          'Declare it in taskQueues, or turn taskCreateMissingQueues on.',
      )
    }
    const made = this.add(name, { ...this.missing(name), routingKey: name })
    this.madeOnDemand.add(name)
    return made
  }

  /** Drops a queue that was made on demand and that the broker would not have; a declared one stays. */
  forget(name: string): void {
    if (!this.madeOnDemand.delete(name)) return
    this.byName.delete(name)
    this.changes += 1
  }

  /** Consume from exactly these (`-Q`); none given changes nothing. Throws `ConfigError` for one that cannot be made. */
  select(names: readonly string[]): void {
    if (!Array.isArray(names)) {
      throw new InvalidArgumentError(`The queues of a worker are a list of names: ['${String(names)}']`)
    }
    if (names.length === 0) return
    this.selected = new Map(names.map((name) => [name, this.selectable(name)]))
  }

  /** Consume from all but these (`-X`), or take them out of the selection; unknown names are ignored. */
  deselect(names: readonly string[]): void {
    const remaining = [...this.consumeFrom].filter(([name]) => !names.includes(name))
    if (names.length > 0) this.selected = new Map(remaining)
  }

  /** Consume from one more, also when a selection was made (`add_consumer`, `worker_direct`). */
  selectAdd(queue: TaskQueue | string, options: QueueOptions = {}): TaskQueue {
    const added =
      typeof queue !== 'string'
        ? this.keep(queue)
        : (this.find(queue) ?? this.add(queue, { routingKey: queue, ...options }))
    this.selected?.set(added.name, added)
    return added
  }

  /** No longer consume from this one. */
  unselect(name: string): void {
    this.selected = new Map([...this.consumeFrom].filter(([known]) => known !== name))
  }

  private selectable(name: string): TaskQueue {
    try {
      return this.get(name)
    } catch (cause) {
      throw new ConfigError(
        `Trying to select queue subset of '${name}', but queue ${name} isn't defined in the \`task_queues\` ` +
          'setting. If you want to automatically declare unknown queues you can enable the ' +
          '`task_create_missing_queues` setting.',
        { cause },
      )
    }
  }

  private missing(name: string): QueueOptions {
    const { taskCreateMissingQueueType: type, taskCreateMissingQueueExchangeType: exchangeType } =
      this.settings
    if (type && type !== 'classic' && type !== 'quorum') {
      throw new ConfigError(
        `Invalid queue type '${type}' in task_create_missing_queue_type. Valid types are 'classic' and 'quorum'.`,
      )
    }
    return {
      exchange: { name, type: exchangeType ?? 'direct' },
      ...(type === 'quorum' ? { queueArguments: { 'x-queue-type': type } } : {}),
    }
  }

  private addDeclared(given: unknown): TaskQueue {
    const { name, ...options } = camelKeys(given, 'an element of taskQueues') as Record<string, unknown>
    if (typeof name !== 'string' || name === '') {
      throw new ConfigError(
        `taskQueues has an element without a name: ${JSON.stringify(given)}. Write { name: 'billing' }.`,
      )
    }
    return this.add(name, options as QueueOptions)
  }

  private addNamed(name: string, given: unknown): TaskQueue {
    const options = camelKeys(given, `taskQueues.${name}`) as QueueOptions & { name?: unknown }
    // a whole Queue in a mapping is taken as it is (amqp.py, Queues.__init__)
    if (options.name !== undefined) return this.addDeclared(options)
    const ignored = listFormOnly.find((key) => options[key] !== undefined)
    if (ignored !== undefined) {
      throw new ConfigError(
        `taskQueues.${name}.${ignored} has no effect in the record form, in Celery neither: ` +
          "use the list form, or queueArguments such as { 'x-max-priority': 10 }.",
      )
    }
    const { durable, autoDelete, exchange, ...rest } = options
    return this.add(name, {
      ...rest,
      exchange:
        typeof exchange === 'string'
          ? exchangeOf(exchange, { durable, autoDelete, ...rest })
          : (exchange ?? null),
      queueDurable: options.queueDurable ?? durable ?? true,
      queueAutoDelete: options.queueAutoDelete ?? autoDelete ?? false,
      routingKey: options.bindingKey ?? options.routingKey ?? name,
    })
  }

  private add(name: string, options: QueueOptions): TaskQueue {
    return this.keep(options.broadcast ? this.broadcast(name, options) : this.made(name, options))
  }

  private broadcast(name: string, options: QueueOptions): TaskQueue {
    const { broadcast: _, ...rest } = options
    const queue = this.made(`bcast.${this.newId()}`, {
      exchange: { name, type: 'fanout' },
      alias: name,
      autoDelete: true,
      ...rest,
    })
    return { ...queue, isBroadcast: true }
  }

  private made(name: string, options: QueueOptions): TaskQueue {
    const bindings = (options.bindings ?? []).map(
      (binding) => camelKeys(binding, `a binding of queue ${name}`) as unknown as QueueBinding,
    )
    const exclusive = options.exclusive ?? false
    const given = bindings.length > 0 ? null : options.exchange
    const exchange = given ? taskExchange(exchangeOf(given, options)) : undefined
    return {
      name,
      alias: options.alias,
      exchange: exchange === undefined || exchange.name === '' ? this.defaultExchange() : exchange,
      routingKey: (options.bindingKey ?? options.routingKey) || this.defaultRoutingKey(),
      declaration: {
        name,
        durable: options.queueDurable ?? options.durable ?? true,
        exclusive,
        autoDelete: exclusive || (options.queueAutoDelete ?? options.autoDelete ?? false),
        arguments: this.queueArguments(options),
      },
      bindingArguments: options.bindingArguments ?? {},
      consumerArguments: options.consumerArguments ?? {},
      bindings: bindings.map((binding) => ({
        exchange: taskExchange(exchangeOf(binding.exchange, {})),
        routingKey: binding.routingKey ?? '',
        arguments: binding.arguments ?? {},
      })),
      noAck: options.noAck ?? false,
      noDeclare: options.noDeclare ?? false,
      isBroadcast: false,
    }
  }

  private keep(queue: TaskQueue): TaskQueue {
    this.byName.set(queue.name, queue)
    this.changes += 1
    if (queue.alias) this.byAlias.set(queue.alias, queue)
    return queue
  }

  /** Kombu's order: what `task_queue_max_priority` fills in, then the options in seconds over the arguments given. */
  private queueArguments(options: QueueOptions): Arguments {
    const most = this.settings.taskQueueMaxPriority
    const base: Record<string, unknown> = { ...options.queueArguments }
    if (most !== null) base['x-max-priority'] ??= most
    const more = {
      'x-expires': milliseconds(options.expires),
      'x-message-ttl': milliseconds(options.messageTtl),
      'x-max-length': options.maxLength,
      'x-max-length-bytes': options.maxLengthBytes,
      'x-max-priority': options.maxPriority,
    }
    return { ...base, ...Object.fromEntries(Object.entries(more).filter(([, value]) => value !== undefined)) }
  }

  private defaultExchange(): TaskExchange {
    return taskExchange({
      name: this.settings.taskDefaultExchange ?? this.settings.taskDefaultQueue,
      type: this.settings.taskDefaultExchangeType,
    })
  }

  private defaultRoutingKey(): string {
    return this.settings.taskDefaultRoutingKey ?? this.settings.taskDefaultQueue
  }
}

/** Everything that must exist for these queues to receive (kombu's `Queue.declare`). */
export function topologyOf(queues: Iterable<TaskQueue>): Topology {
  const exchanges = new Map<string, Exchange>()
  const declared: Queue[] = []
  const bindings: Binding[] = []
  for (const queue of queues) {
    if (queue.noDeclare) continue
    declared.push(queue.declaration)
    const main = { exchange: queue.exchange, routingKey: queue.routingKey, arguments: queue.bindingArguments }
    // kombu: a queue with bindings of its own is bound by those alone (Queue.__init__, again on each bound copy)
    const all = queue.bindings.length > 0 ? queue.bindings : [main]
    for (const { exchange, routingKey, arguments: args } of all) {
      if (exchange.name === '') continue
      const { deliveryMode: _, noDeclare, ...plain } = exchange
      if (!noDeclare && !exchange.name.startsWith('amq.')) exchanges.set(exchange.name, plain)
      bindings.push({ from: exchange.name, to: { queue: queue.name }, routingKey, arguments: args })
    }
  }
  return { exchanges: [...exchanges.values()], queues: declared, bindings }
}

/** The queue of one worker alone, by its node name (`celery/utils/nodenames.py`, `worker_direct`; surface PUB-060). */
export function workerDirectQueue(nodeName: string): TaskQueue {
  return {
    name: `${nodeName}.dq2`,
    alias: undefined,
    exchange: taskExchange({ name: 'C.dq2', type: 'direct' }),
    routingKey: nodeName,
    declaration: {
      name: `${nodeName}.dq2`,
      durable: true,
      exclusive: false,
      autoDelete: false,
      arguments: {},
    },
    bindingArguments: {},
    consumerArguments: {},
    bindings: [],
    noAck: false,
    noDeclare: false,
    isBroadcast: false,
  }
}

/** 1 or 2 for either spelling. */
export function deliveryModeOf(mode: 1 | 2 | 'transient' | 'persistent'): 1 | 2 {
  return mode === 'transient' ? 1 : mode === 'persistent' ? 2 : mode
}

type ExchangeHints = {
  readonly [K in 'durable' | 'autoDelete']?: boolean | undefined
} & Pick<
  QueueOptions,
  'exchangeType' | 'exchangeDurable' | 'exchangeAutoDelete' | 'exchangeArguments' | 'deliveryMode'
>

function exchangeOf(given: string | ExchangeDeclaration, hints: ExchangeHints): ExchangeDeclaration {
  if (typeof given !== 'string') return camelKeys(given, 'exchange') as unknown as ExchangeDeclaration
  return {
    name: given,
    type: hints.exchangeType ?? 'direct',
    durable: hints.exchangeDurable ?? hints.durable ?? true,
    autoDelete: hints.exchangeAutoDelete ?? hints.autoDelete ?? false,
    ...(hints.exchangeArguments ? { arguments: hints.exchangeArguments } : {}),
    ...(hints.deliveryMode ? { deliveryMode: hints.deliveryMode } : {}),
  }
}

function taskExchange(given: ExchangeDeclaration): TaskExchange {
  return {
    name: given.name,
    type: given.type ?? 'direct',
    durable: given.durable ?? true,
    autoDelete: given.autoDelete ?? false,
    ...(given.arguments ? { arguments: given.arguments } : {}),
    deliveryMode: given.deliveryMode === undefined ? undefined : deliveryModeOf(given.deliveryMode),
    noDeclare: given.noDeclare ?? false,
  }
}

/** Kombu's `maybe_s_to_ms`. */
function milliseconds(seconds: number | undefined): number | undefined {
  return seconds === undefined ? undefined : Math.trunc(seconds * 1000)
}

function camelKeys(given: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw new ConfigError(
      `${what} must be an object such as { name: 'billing' }, not ${JSON.stringify(given)}.`,
    )
  }
  const present = Object.entries(given).filter(([, value]) => value !== undefined && value !== null)
  return Object.fromEntries(present.map(([key, value]) => [camelCase(key), value]))
}
