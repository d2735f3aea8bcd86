/** What a Redis server's refusals mean to us: who must act, and whether the connection is of further use. */
import { BrokerUnavailableError, CeleriacError, ConfigError } from '../errors.js'

/** Makes the error of a server that cannot serve now: `BrokerUnavailableError` for brokers, another for result stores. */
export type UnavailableError = new (message: string, options?: { readonly cause?: unknown }) => CeleriacError

/** Refusals that a later attempt, perhaps with another server, may not meet; by the first word of Redis's reply. */
const passing: Readonly<Record<string, string>> = {
  LOADING: 'is loading its data after a start; it will answer soon',
  READONLY: 'is a replica and takes no writes: a failover happened, or the URL names the wrong server',
  MASTERDOWN: 'is a replica that lost its master',
  CLUSTERDOWN: 'is a cluster that is down',
  OOM: 'is out of memory (maxmemory); make room, or raise the limit',
  MISCONF: 'cannot write to its disk and takes no writes; look at its log',
  BUSY: 'is busy with a long script',
  NOREPLICAS: 'has too few replicas to take writes (min-replicas-to-write)',
  TRYAGAIN: 'is moving its data',
  NOAUTH: 'wants a password; write it into the URL, like redis://:password@host/0',
  WRONGPASS: 'refused the user name or password of the URL',
  UNBLOCKED: 'ended a blocking command because its role changed',
  ERR_MAX: 'has too many clients (maxclients)',
}

/** Refusals after which the connection is of no use: this server will not become good by waiting on the same socket. */
const ending = new Set(['READONLY', 'MASTERDOWN', 'UNBLOCKED', 'NOAUTH', 'WRONGPASS'])

/** The first word of a server's refusal; `undefined` for an error that no server sent. */
export function refusalWord(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== 'ReplyError') return undefined
  if (/max number of clients/i.test(error.message)) return 'ERR_MAX'
  if (/invalid password|invalid username-password/i.test(error.message)) return 'WRONGPASS'
  // A script passes on the refusal of a command within it: `... -OOM command not allowed`, or `READONLY You can't ...`.
  const inner =
    /(?:^|[\s:-])(LOADING|READONLY|MASTERDOWN|CLUSTERDOWN|OOM|MISCONF|NOREPLICAS|NOAUTH|WRONGPASS)\b/.exec(
      error.message,
    )
  return inner?.[1] ?? /^[A-Z]+/.exec(error.message)?.[0] ?? 'ERR'
}

/** Whether the connection must end after this refusal. */
export function endsConnection(error: unknown): boolean {
  return ending.has(refusalWord(error) ?? '')
}

/** The error that callers see: typed, with the server's words, and what to do next. */
export function typedRedisError(
  error: unknown,
  shownUrl: string,
  Unavailable: UnavailableError,
): CeleriacError {
  if (error instanceof CeleriacError) return error
  const words = error instanceof Error ? error.message : String(error)
  const word = refusalWord(error)
  if (word === undefined)
    return new Unavailable(`the Redis server ${shownUrl} was lost: ${words}`, { cause: error })
  const meaning = passing[word]
  if (meaning !== undefined)
    return new Unavailable(`the Redis server ${shownUrl} ${meaning} (${words})`, { cause: error })
  return new ConfigError(`the Redis server ${shownUrl} refused a command: ${words}`, { cause: error })
}

/** The default: the server is a broker. */
export const brokerUnavailable: UnavailableError = BrokerUnavailableError
