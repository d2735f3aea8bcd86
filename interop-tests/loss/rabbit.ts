/** RabbitMQ in the loss trials: a virtual host for each, watched and disturbed from outside. */
import { type ChannelModel, connect } from 'amqplib'
import type { Broker, Place } from '../brokers.js'
import { RabbitServer } from '../rabbitmq-server.js'

/** One trial's virtual host. */
export class LossRabbit implements Broker {
  readonly name = 'rabbitmq'
  readonly ordersPriorities = true
  readonly server: RabbitServer
  /** Whether the queue of the tasks is a quorum queue. */
  readonly isQuorum: boolean
  private readonly url: string
  private readonly vhost: string
  private readonly isOwner: boolean

  private constructor(server: RabbitServer, url: string, isQuorum: boolean, isOwner: boolean) {
    this.server = server
    this.url = url
    this.vhost = decodeURIComponent(new URL(url).pathname.slice(1))
    this.isQuorum = isQuorum
    this.isOwner = isOwner
  }

  /** What the trials start servers with: one that notices within `seconds` that a client is gone. */
  static serve(seconds: number): Promise<RabbitServer> {
    return RabbitServer.start({ extra: { heartbeat: Math.max(1, Math.floor(seconds / 2)) } })
  }

  /** On `server`, which stays the caller's, or on one of its own. */
  static async start(isQuorum: boolean, seconds: number, server?: RabbitServer): Promise<LossRabbit> {
    const own = server ?? (await LossRabbit.serve(seconds))
    return new LossRabbit(own, await own.addVhost(), isQuorum, server === undefined)
  }

  place(): Place {
    return { brokerUrl: this.url, resultBackend: 'disabled://', brokerOptions: {} }
  }

  /** How many messages wait in a queue; 0 when there is none. */
  async waiting(queue: string): Promise<number> {
    return (
      (await this.admin(async (connection) => {
        const channel = await connection.createChannel()
        channel.on('error', () => {})
        return (await channel.checkQueue(queue)).messageCount
      })) ?? 0
    )
  }

  async deleteQueue(queue: string): Promise<void> {
    await this.admin(async (connection) => {
      await (await connection.createChannel()).deleteQueue(queue)
    })
  }

  /** How many messages there are in all queues, those that workers hold included. */
  async held(): Promise<number> {
    const lines = await this.server.ctl(
      'list_queues',
      '-p',
      this.vhost,
      '--no-table-headers',
      'name',
      'messages',
    )
    const counts = lines.split('\n').filter((line) => !/celery\.pidbox|^celeryev/.test(line))
    return counts.reduce((sum, line) => sum + Number(line.split('\t')[1] ?? 0), 0)
  }

  /** The headers of the messages that wait in all queues, as text. */
  async left(): Promise<readonly string[]> {
    const names = await this.server.ctl('list_queues', '-p', this.vhost, '--no-table-headers', 'name')
    const found: string[] = []
    await this.admin(async (connection) => {
      const channel = await connection.createChannel()
      for (const name of names.split('\n').filter((each) => each !== '' && !/celery\.pidbox/.test(each))) {
        for (;;) {
          const message = await channel.get(name.trim())
          if (message === false) break
          found.push(JSON.stringify(message.properties.headers))
        }
      }
      // Closing the connection gives all of them back.
    })
    return found
  }

  async close(): Promise<void> {
    if (this.isOwner) await this.server.close()
  }

  private async admin<T>(work: (connection: ChannelModel) => Promise<T>): Promise<T | undefined> {
    let connection: ChannelModel | undefined
    try {
      connection = await connect(`${this.url}?heartbeat=0`)
      connection.on('error', () => {})
      return await work(connection)
    } catch {
      // The broker is away, or there is no such queue.
      return undefined
    } finally {
      await connection?.close().catch(() => {})
    }
  }
}
