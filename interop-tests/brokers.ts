/** The brokers that the interop suites run over: what each is called, how it is started, what it can. */
import { randomUUID } from 'node:crypto'
import { noRabbit, noRelease, RabbitServer, type RabbitServerOptions } from './rabbitmq-server.js'
import { noRedis, RedisSentinels, RedisServer, type RedisServerOptions } from './redis-server.js'

/** Where one shop has its messages and results, for both languages. */
export interface Place {
  readonly brokerUrl: string
  readonly resultBackend: string
  /** `broker_transport_options` of both sides. */
  readonly brokerOptions: Readonly<Record<string, unknown>>
  /** `result_backend_transport_options` of both sides. */
  readonly resultOptions?: Readonly<Record<string, unknown>>
}

/** A broker that is running. */
export interface Broker {
  /** `filesystem`, `redis`: stands in the names of tests. */
  readonly name: string
  /** Whether messages of a higher priority overtake. */
  readonly ordersPriorities: boolean
  /** The place of a shop with this temporary folder; shops of one broker may share messages. */
  place(folder: string): Place
  close(): Promise<void>
}

/** What a suite is run over: started once for each `describe`. */
export interface BrokerKind {
  readonly name: string
  /** Why it cannot be started here, for `describe.skipIf`. */
  readonly missing: string | undefined
  /** Whether any process can read the results, or only the one that asked for them (`rpc`). */
  readonly sharesResults: boolean
  start(): Promise<Broker>
}

/** Kombu's folder broker and file results, inside the folder of the shop. */
export const filesystemKind: BrokerKind = {
  name: 'filesystem',
  missing: undefined,
  sharesResults: true,
  start: async () => new FilesystemBroker(),
}

/** A Redis of its own, for messages and results. */
export const redisKind: BrokerKind = {
  name: 'redis',
  missing: noRedis,
  sharesResults: true,
  start: () => RedisBroker.start(),
}

/** See `filesystemKind`. */
export class FilesystemBroker implements Broker {
  readonly name = 'filesystem'
  readonly ordersPriorities = false

  place(folder: string): Place {
    const broker = `${folder}/broker`
    return {
      brokerUrl: `filesystem://${broker}`,
      resultBackend: `file://${folder}/results`,
      brokerOptions: {
        data_folder_in: broker,
        data_folder_out: broker,
        control_folder: `${broker}/control`,
        processed_folder: `${broker}/processed`,
      },
    }
  }

  async close(): Promise<void> {}
}

/** See `redisKind`. `options` are the transport options of both sides. */
export class RedisBroker implements Broker {
  readonly name = 'redis'
  readonly ordersPriorities = true
  readonly server: RedisServer
  private readonly options: RedisBrokerOptions

  constructor(server: RedisServer, options: RedisBrokerOptions = {}) {
    this.server = server
    this.options = options
  }

  static async start(
    options: RedisBrokerOptions = {},
    server: RedisServerOptions = {},
  ): Promise<RedisBroker> {
    return new RedisBroker(await RedisServer.start(server), options)
  }

  place(): Place {
    const { url, socketUrl, certificates } = this.server
    const { broker = {}, results = {} } = this.options
    const query = certificates
      ? `?ssl_cert_reqs=required&ssl_ca_certs=${encodeURIComponent(certificates.ca)}`
      : ''
    return {
      brokerUrl: socketUrl ?? url + query,
      resultBackend: socketUrl ?? url + query,
      brokerOptions: { visibility_timeout: 3600, ...broker },
      resultOptions: results,
    }
  }

  close(): Promise<void> {
    return this.server.close()
  }
}

/**
 * RabbitMQ for messages, and for results a Redis or (`rpc`) RabbitMQ again. One server for all that is started of a
 * kind, since a start takes seconds; each broker is a virtual host of its own. Whoever makes a kind stops it.
 */
export class RabbitKind implements BrokerKind {
  readonly name: string
  readonly missing: string | undefined
  readonly sharesResults: boolean
  private readonly options: RabbitKindOptions
  private started: Promise<readonly [RabbitServer, RedisServer | undefined]> | undefined

  constructor(options: RabbitKindOptions = {}) {
    this.options = options
    this.sharesResults = options.results !== 'rpc'
    this.name = this.sharesResults ? 'rabbitmq' : 'rabbitmq with rpc results'
    const release = options.server?.release
    this.missing =
      (release === undefined ? noRabbit : noRelease(release)) ?? (this.sharesResults ? noRedis : undefined)
  }

  async start(): Promise<RabbitBroker> {
    this.started ??= Promise.all([
      RabbitServer.start(this.options.server),
      this.sharesResults ? RedisServer.start() : undefined,
    ])
    const [server, redis] = await this.started
    const vhost = randomUUID()
    const brokerUrl = await server.addVhost(vhost)
    const resultBackend = redis?.url ?? 'rpc://'
    return new RabbitBroker(server, vhost, {
      brokerUrl,
      resultBackend,
      brokerOptions: this.options.broker ?? {},
    })
  }

  async stop(): Promise<void> {
    const [server, redis] = (await this.started) ?? []
    await Promise.all([server?.close(), redis?.close()])
  }
}

/** Transport options by kombu's names, where the results are (default a Redis), and how the server is started. */
export interface RabbitKindOptions {
  readonly broker?: Readonly<Record<string, unknown>>
  readonly results?: 'redis' | 'rpc'
  readonly server?: RabbitServerOptions
}

/** One virtual host of a `RabbitKind`. */
export class RabbitBroker implements Broker {
  readonly name = 'rabbitmq'
  readonly ordersPriorities = true
  readonly server: RabbitServer
  readonly vhost: string
  private readonly at: Place

  constructor(server: RabbitServer, vhost: string, at: Place) {
    this.server = server
    this.vhost = vhost
    this.at = at
  }

  /** The names of the queues that there are. */
  async queues(): Promise<readonly string[]> {
    const lines = await this.server.ctl('list_queues', '-p', this.vhost, '--no-table-headers', 'name')
    return lines.split('\n').filter((name) => name !== '')
  }

  place(): Place {
    return this.at
  }

  async close(): Promise<void> {}
}

/** A master with a replica and three sentinels, for messages and results. */
export class SentinelBroker implements Broker {
  readonly name = 'sentinel'
  readonly ordersPriorities = true
  readonly set: RedisSentinels

  constructor(set: RedisSentinels) {
    this.set = set
  }

  static async start(): Promise<SentinelBroker> {
    return new SentinelBroker(await RedisSentinels.start())
  }

  place(): Place {
    const options = { master_name: this.set.masterName }
    return {
      brokerUrl: this.set.url,
      resultBackend: this.set.url,
      brokerOptions: options,
      resultOptions: options,
    }
  }

  close(): Promise<void> {
    return this.set.close()
  }
}

/** Transport options by kombu's and Celery's names. */
export interface RedisBrokerOptions {
  readonly broker?: Readonly<Record<string, unknown>>
  readonly results?: Readonly<Record<string, unknown>>
}
