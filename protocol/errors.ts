/**
 * What can be wrong with a message, whoever wrote it.
 *
 * Rule 1: a decoder throws a `ProtocolError` and nothing else, whatever bytes it is given.
 * Rule 2: an encoder throws an `EncodeError` for a value the wire has no form for.
 */

/** Base of every error of the wire; `code` is constant for each class. */
export abstract class ProtocolError extends Error {
  abstract readonly code: string
  /** Trying again with the same bytes gives the same error. */
  readonly retriable: boolean = false

  constructor(message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.name = new.target.name
  }
}

/** Bytes that are not what their content type, encoding or compression says (kombu's `DecodeError`). */
export class DecodeError extends ProtocolError {
  readonly code = 'DECODE_ERROR'
}

/** A value that the chosen serializer cannot write (kombu's `EncodeError`). */
export class EncodeError extends ProtocolError {
  readonly code = 'ENCODE_ERROR'
}

/** Readable bytes that are not a valid task message (Celery's `InvalidTaskError`). */
export class InvalidTaskError extends ProtocolError {
  readonly code = 'INVALID_TASK'
}

/** A message that is neither protocol 2 nor protocol 1 (Celery's "unknown message", surface WRK-029). */
export class UnknownMessageError extends ProtocolError {
  readonly code = 'UNKNOWN_MESSAGE'
}

/** A content type that the reader does not accept (kombu's `ContentDisallowed`). */
export class ContentRefusedError extends ProtocolError {
  readonly code = 'CONTENT_REFUSED'
  readonly contentType: string

  constructor(contentType: string, message: string, options?: { readonly cause?: unknown }) {
    super(message, options)
    this.contentType = contentType
  }
}

/** A payload that would grow past the allowed size when decompressed or decoded. */
export class SizeLimitError extends ProtocolError {
  readonly code = 'SIZE_LIMIT'
}
