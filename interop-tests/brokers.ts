/** The brokers that the interop suites run over: what each is called, how it is started, what it can. */
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
  start(): Promise<Broker>
}

/** Kombu's folder broker and file results, inside the folder of the shop. */
export const filesystemKind: BrokerKind = {
  name: 'filesystem',
  missing: undefined,
  start: async () => new FilesystemBroker(),
}

/** A Redis of its own, for messages and results. */
export const redisKind: BrokerKind = {
  name: 'redis',
  missing: noRedis,
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
