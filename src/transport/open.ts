import { redactUrl, schemeOf } from '../broker-url.js'
import { UnknownSchemeError } from '../errors.js'
import type { Transport } from './transport.js'

/** Drivers by URL scheme, imported at the first connection. */
const drivers: Readonly<Record<string, () => Promise<Transport>>> = {
  memory: async () => (await import('./memory-transport.js')).processMemoryTransport,
  filesystem: async () => (await import('./filesystem-transport.js')).createFilesystemTransport(),
  redis: openRedisTransport,
  rediss: openRedisTransport,
  'redis+socket': openRedisTransport,
  sentinel: openRedisTransport,
  amqp: openAmqpTransport,
  pyamqp: openAmqpTransport,
  amqps: openAmqpTransport,
}

async function openAmqpTransport(): Promise<Transport> {
  return (await import('./amqp-transport.js')).createAmqpTransport()
}

async function openRedisTransport(): Promise<Transport> {
  return (await import('./redis-transport.js')).createRedisTransport()
}

/** Schemes of kombu 5.6 (`kombu/transport/__init__.py`) that this version does not serve. */
const kombuSchemes: ReadonlySet<string> = new Set(
  (
    'librabbitmq redis sqs sqla sqlalchemy mongodb zookeeper consul etcd pyro slmq ' +
    'azurestoragequeues azureservicebus confluentkafka qpid gcpubsub'
  ).split(' '),
)

/**
 * The transport for a broker URL, by its scheme; no driver is loaded before `connect`. Throws `UnknownSchemeError`,
 * which names the schemes that there are.
 */
export function openTransport(url: string): Transport {
  const scheme = schemeOf(url)
  const base = scheme?.split('+')[0] ?? ''
  const load = scheme === undefined || !Object.hasOwn(drivers, scheme) ? undefined : drivers[scheme]
  if (load !== undefined) {
    return { connect: async (connectUrl, options) => (await load()).connect(connectUrl, options) }
  }
  const known = Object.keys(drivers)
    .map((name) => `${name}://`)
    .join(', ')
  const why =
    scheme === undefined
      ? `the broker URL '${redactUrl(url)}' has no scheme`
      : kombuSchemes.has(base)
        ? `this version of celeriac has no ${scheme}:// transport (broker URL '${redactUrl(url)}')`
        : `no transport is known for the broker URL '${redactUrl(url)}'`
  throw new UnknownSchemeError(`${why}; it serves ${known}`)
}
