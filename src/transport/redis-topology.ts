import type { StoredBinding } from './queue-store.js'
import type { RedisClient, RedisCommand } from './redis-client.js'
import { bindingKey, type RedisOptions, stepKeys } from './redis-options.js'

/** The queues and bindings of a Redis database: kombu's sets, and the lists of all priority steps. */
export class RedisTopology {
  readonly #client: RedisClient
  readonly #options: RedisOptions
  /** The members that this connection added to binding sets, by queue. */
  readonly #bound = new Map<string, Map<string, string>>()

  constructor(client: RedisClient, options: RedisOptions) {
    this.#client = client
    this.#options = options
  }

  /** Adds a row to the table of an exchange; `first` happens between remembering it here and writing it there. */
  async bind(exchange: string, binding: StoredBinding, first?: () => Promise<void>): Promise<void> {
    const { queue, routingKey, pattern } = binding
    const member = [routingKey, pattern, queue].join(this.#options.separator)
    const known = this.#bound.get(queue) ?? new Map<string, string>()
    this.#bound.set(queue, known.set(`${exchange}\0${member}`, exchange))
    await first?.()
    await this.#client.run('SADD', bindingKey(this.#options, exchange), member)
  }

  /** The rows of the table of an exchange. */
  async bindings(exchange: string): Promise<readonly StoredBinding[]> {
    const members = await this.#client.run('SMEMBERS', bindingKey(this.#options, exchange))
    const rows: StoredBinding[] = []
    for (const member of Array.isArray(members) ? members : []) {
      const [routingKey = '', pattern = '', queue] = String(member).split(this.#options.separator)
      if (queue !== undefined && queue !== '') rows.push({ routingKey, pattern, queue })
    }
    return rows
  }

  /** Takes away the rows that this connection wrote for a queue. */
  async unbind(queue: string): Promise<void> {
    const known = this.#bound.get(queue)
    this.#bound.delete(queue)
    const commands = [...(known ?? [])].map(([key, exchange]): RedisCommand => {
      return ['SREM', bindingKey(this.#options, exchange), key.slice(exchange.length + 1)]
    })
    await this.#client.batch(commands)
  }

  /** How many messages wait in a queue. */
  async length(queue: string): Promise<number> {
    return sum(await this.#client.batch(stepKeys(this.#options, queue).map((key) => ['LLEN', key])))
  }

  /** Removes what waits in a queue; how many that was. */
  async empty(queue: string): Promise<number> {
    const keys = stepKeys(this.#options, queue)
    const replies = await this.#client.batch([
      ['MULTI'],
      ...keys.flatMap((key): RedisCommand[] => [
        ['LLEN', key],
        ['DEL', key],
      ]),
      ['EXEC'],
    ])
    const sizes = replies.at(-1)
    return Array.isArray(sizes) ? sum(sizes.filter((_, at) => at % 2 === 0)) : 0
  }
}

function sum(sizes: readonly unknown[]): number {
  return sizes.reduce<number>((total, size) => total + Number(size), 0)
}
