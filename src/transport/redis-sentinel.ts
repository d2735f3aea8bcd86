/** Finding the present master through sentinels (kombu `transport/redis.py` `SentinelChannel`, wire-format 6.9). */
import { ConfigError } from '../errors.js'
import type { UnavailableError } from './redis-errors.js'
import type { RedisTarget } from './redis-url.js'

/** A connection to a sentinel, as far as it is needed. */
interface Sentinel {
  run(name: string, ...args: string[]): Promise<unknown>
  close(): void
}

/**
 * Asks one sentinel after the other for the master that the option `master_name` names. `sentinel_kwargs` may hold
 * `username`, `password`; `min_other_sentinels` wants so many others to be known. Throws `ConfigError` without a name,
 * and the `Unavailable` error when no sentinel knows it.
 */
export async function askSentinels(
  target: RedisTarget,
  options: Readonly<Record<string, unknown>>,
  Unavailable: UnavailableError,
  signal: AbortSignal,
  connect: (sentinel: RedisTarget) => Promise<Sentinel>,
): Promise<{ readonly host: string; readonly port: number }> {
  const name = options['master_name']
  if (typeof name !== 'string' || name === '') {
    throw new ConfigError(
      `'${target.shownUrl}' needs the transport option master_name: the name that the sentinels know the master by`,
    )
  }
  const given: unknown = options['sentinel_kwargs']
  const login = (typeof given === 'object' && given !== null ? given : {}) as Record<string, unknown>
  const own = (key: string): string | undefined => (typeof login[key] === 'string' ? login[key] : undefined)
  const wanted = Number(options['min_other_sentinels'] ?? 0)
  const failures: string[] = []
  for (const { host, port } of target.sentinels) {
    signal.throwIfAborted()
    try {
      const found = await ask(host, port)
      if (found !== undefined) return found
    } catch (error) {
      failures.push(`${host}:${port}: ${error instanceof Error ? error.message : String(error)}`)
    }
  }
  signal.throwIfAborted()
  throw new Unavailable(
    `no sentinel of ${target.shownUrl} knows a master '${name}'${failures.map((each) => `; ${each}`).join('')}`,
  )

  async function ask(host: string, port: number): Promise<{ host: string; port: number } | undefined> {
    const sentinel = await connect({
      ...target,
      host,
      port,
      db: 0,
      username: own('username'),
      password: own('password'),
      tls: login['ssl'] === true ? (target.tls ?? {}) : target.tls,
    })
    try {
      if (wanted > 0) {
        const others = await sentinel.run('SENTINEL', 'sentinels', name as string)
        if (!Array.isArray(others) || others.length < wanted) return undefined
      }
      const address = await sentinel.run('SENTINEL', 'get-master-addr-by-name', name as string)
      if (!Array.isArray(address) || typeof address[0] !== 'string') return undefined
      return { host: address[0], port: Number(address[1]) }
    } finally {
      sentinel.close()
    }
  }
}
