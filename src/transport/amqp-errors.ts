/**
 * What a RabbitMQ server's refusals mean to us: who must act, and what to do next. The server gives a number and a text;
 * the number decides, but where AMQP has one number for several things.
 */
import {
  BrokerRefusedError,
  BrokerUnavailableError,
  CeleriacError,
  ConnectionLostError,
  type ConnectivityError,
} from '../errors.js'

/** AMQP reply codes. */
const accessRefused = 403
const notFound = 404
const resourceLocked = 405
const preconditionFailed = 406
const notAllowed = 530
/** The code for a deprecated feature that the server's configuration or version no longer permits. */
const internalError = 541
/** The code of what a server does not do, such as a common prefetch limit with quorum queues. */
export const notImplemented = 540

/** A difference between what is declared and what the broker has. */
export interface Inequivalent {
  readonly argument: string
  readonly kind: 'queue' | 'exchange'
  readonly name: string
  readonly received: string
  readonly current: string
}

/** The reply code of a refusal; undefined for an error that no server sent. */
export function replyCode(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  const { code } = error as { code?: unknown }
  if (typeof code === 'number') return code
  // amqplib gives the refusals of a handshake as text alone
  const found = /(?:Handshake terminated by server: |replyCode: ?)(\d{3})/.exec(error.message)
  return found === null ? undefined : Number(found[1])
}

/** True when there is no such queue or exchange. */
export function isNotFound(error: unknown): boolean {
  return replyCode(error) === notFound
}

/** True when the server no longer permits what was asked. */
export function isDenied(error: unknown): boolean {
  return replyCode(error) === internalError
}

/** True when a queue was not deleted because it has consumers. */
export function isInUse(error: unknown): boolean {
  return error instanceof Error && replyCode(error) === preconditionFailed && /in use/.test(error.message)
}

/** What RabbitMQ says of a declaration that differs from what there is; undefined for any other error. */
export function inequivalentOf(error: unknown): Inequivalent | undefined {
  if (!(error instanceof Error) || replyCode(error) !== preconditionFailed) return undefined
  const found =
    /inequivalent arg '([^']*)' for (queue|exchange) '(.*)' in vhost '.*?': received (.*) but current is (.*?)"?$/.exec(
      error.message,
    )
  if (found === null) return undefined
  const [, argument = '', kind = '', name = '', received = '', current = ''] = found
  return { argument, kind: kind === 'exchange' ? 'exchange' : 'queue', name, received, current }
}

/** The error that callers see for a refusal of `what` ("declare the queue x"): typed, with the server's words. */
export function typedAmqpError(error: unknown, what: string, shownUrl: string): CeleriacError {
  if (error instanceof CeleriacError) return error
  const words = wordsOf(error)
  const says = `the broker ${shownUrl} refused to ${what}: ${words}`
  const differs = inequivalentOf(error)
  if (differs !== undefined) {
    const { argument, kind, name, received, current } = differs
    return new BrokerRefusedError(
      `the ${kind} '${name}' exists at ${shownUrl} with other properties: ${argument} is ${current} there, and ` +
        `${received} is declared here. Declare it alike in every app, or delete it first.`,
      { cause: error },
    )
  }
  switch (replyCode(error)) {
    case accessRefused:
      return new BrokerRefusedError(`${says}. Give the user of the URL the rights that it needs.`, {
        cause: error,
      })
    case notFound:
    case preconditionFailed:
    case notAllowed:
      return new BrokerRefusedError(says, { cause: error })
    case notImplemented:
      return new BrokerRefusedError(
        `${says}. Quorum queues have no common prefetch limit: name them as such (queueArguments ` +
          "{ 'x-queue-type': 'quorum' }, or taskDefaultQueueType: 'quorum').",
        { cause: error },
      )
    case resourceLocked:
      return new BrokerUnavailableError(
        `${says}. It belongs to another connection, perhaps one that the broker has not yet missed.`,
        { cause: error },
      )
    default:
      return new ConnectionLostError(`cannot ${what} at ${shownUrl}: ${words}`, { cause: error })
  }
}

/** Bytes; a server that wants more than it was offered closes without a word. */
const leastFrameOf41 = 8192
/** How amqplib and OpenSSL put that the other side is no AMQP server, or that one of the two expects TLS. */
const speaksOtherwise =
  /^Frame size \d+ exceeds|^Invalid frame|wrong version number|ECONNRESET|opening handshake/

/** The error of an attempt to connect: `BrokerUnavailableError` with the server's words. */
export function connectError(error: unknown, shownUrl: string, frameMax = 0): CeleriacError {
  if (error instanceof CeleriacError) return error
  // amqplib does not tell why the server closes instead of opening the virtual host
  const code = /got <ConnectionClose/.test(wordsOf(error)) ? notAllowed : replyCode(error)
  const hint =
    code === accessRefused
      ? ' Check the user and the password of the URL.'
      : code === notAllowed
        ? ' Check that the virtual host of the URL exists and that the user has rights on it.'
        : speaksOtherwise.test(wordsOf(error))
          ? frameMax > 0 && frameMax < leastFrameOf41
            ? ` RabbitMQ 4.1 and later want a frame_max of at least ${leastFrameOf41}.`
            : ' What answers there does not speak as the URL says: check its port, and amqp:// or amqps://.'
          : ''
  return new BrokerUnavailableError(
    `the broker ${shownUrl} cannot be reached: ${wordsOf(error).trim()}${hint === '' ? '' : `.${hint}`}`,
    { cause: error },
  )
}

/** Why a connection ended, for those whose work it cut short. */
export function lostError(cause: unknown, shownUrl: string): ConnectivityError {
  if (cause instanceof ConnectionLostError) return cause
  const isSlowAck = replyCode(cause) === preconditionFailed && /timed? ?out/i.test(wordsOf(cause))
  const hint = isSlowAck
    ? ' A message was held longer than the consumer_timeout of the broker: raise it there, or shorten the tasks.'
    : ''
  return new ConnectionLostError(`the broker ${shownUrl} was lost: ${wordsOf(cause)}${hint}`, { cause })
}

function wordsOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  // an AggregateError of several addresses has no text of its own
  const inner = (error as { errors?: readonly unknown[] }).errors?.[0]
  return error.message === '' && inner !== undefined ? wordsOf(inner) : error.message
}
