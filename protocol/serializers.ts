/**
 * Which bytes a value becomes and which bytes are opened (kombu/serialization.py, wire-format 3.1).
 *
 * Rule 1: nothing is opened that the reader did not accept by content type; `application/data` and
 * `application/text` are only ever bytes and text, and always accepted.
 * Rule 2: an empty body is handed over as it is, and a missing content type means `application/data`.
 */
import { type Compression, compress, decompress } from './compression.js'
import { ContentRefusedError, EncodeError, SizeLimitError } from './errors.js'
import { DEFAULT_MAX_BYTES, decodeJson, encodeJson } from './json.js'
import type { CustomType } from './json-types.js'
import { decodeMsgpack, encodeMsgpack } from './msgpack.js'
import { decodePickle, encodePickle } from './pickle.js'
import { decodeText } from './text-encoding.js'
import { decodeYaml, encodeYaml } from './yaml.js'

/** A serialized value and how to read it. */
export interface Payload {
  readonly body: Uint8Array
  readonly contentType: string
  readonly contentEncoding: string
}

/** One way to write values as bytes (wire-format 3.1). */
export interface Serializer {
  /** `json`, `msgpack`, `yaml`, `pickle`, `raw`. */
  readonly name: string
  readonly contentType: string
  readonly contentEncoding: string
  /** Throws `EncodeError`. */
  encode(value: unknown): Uint8Array
  /** True for JSON without types of one's own: see `Codec.isPlainJson`. */
  readonly isPlainJson?: boolean
  /** What `encode` gives, before it is made UTF-8. Optional. */
  encodeText?(value: unknown): string
  /** Throws `DecodeError`. */
  decode(body: Uint8Array, contentEncoding: string): unknown
}

/** Full content types that a reader opens; made from names or types by `Codec.accepting`. */
export type Accept = ReadonlySet<string>

/** Reads and writes bodies: the serializers and compressions of one app, with its own types. */
export interface Codec {
  /** `serializer` is a name or content type; `undefined` picks text or bytes as kombu does. Throws `EncodeError`. */
  encode(value: unknown, serializer: string | undefined): Payload
  /** Whether plain data is written as `JSON.stringify` writes it, so that a list is the texts of its items. */
  isPlainJson(serializer: string): boolean
  /** The body of `encode` as text, where the serializer makes it of text; bytes cost more on the way into a socket. */
  encodeText?(value: unknown, serializer: string): string | undefined
  /** Throws `ContentRefusedError`, `DecodeError`, `SizeLimitError`. */
  decode(payload: Payload, accept: Accept): unknown
  /** Names or content types to a set of content types. Throws `EncodeError` for an unknown name. */
  accepting(names: readonly string[]): Accept
  /** `alias` is any of wire-format section 4; `mime` is what goes into the `compression` header. */
  compress(body: Uint8Array, alias: string): { readonly body: Uint8Array; readonly mime: string }
  /** Throws `DecodeError`, and `SizeLimitError` past `maxBytes`. */
  decompress(body: Uint8Array, mimeOrAlias: string): Uint8Array
  /** Most bytes a body may have after decompression. Default 256 MiB. */
  readonly maxBytes: number
}

/** What one app adds to the wire. */
export interface CodecOptions {
  /** The user's own types in JSON. Default none. */
  readonly types?: readonly CustomType[]
  /** Further serializers (`auth`, a user's own); one with a known name or content type takes its place. */
  readonly serializers?: readonly Serializer[]
  /** Most bytes of a body, also after decompression. Default 256 MiB. */
  readonly maxBytes?: number
  /** Whole floats are read as `Float`, so that nothing is lost on the way back. Default false. */
  readonly exact?: boolean
}

/** The accept list of a reader that was told nothing: JSON alone, as in Celery. */
export const defaultAccept: Accept = new Set(['application/json'])

const TRUSTED: Accept = new Set(['application/data', 'application/text'])
const NOT_TEXT: ReadonlySet<string> = new Set(['binary', 'ascii-8bit'])

/** The codec of one app, with every serializer and compression that kombu has. */
export function createCodec(options: CodecOptions = {}): Codec {
  return new KombuCodec(options)
}

class KombuCodec implements Codec {
  readonly maxBytes: number
  readonly #byName = new Map<string, Serializer>()
  readonly #byType = new Map<string, Serializer>()

  constructor({ types = [], serializers = [], maxBytes = DEFAULT_MAX_BYTES, exact = false }: CodecOptions) {
    this.maxBytes = maxBytes
    for (const serializer of [...builtIn({ types, maxBytes, exact }), ...serializers]) {
      this.#byName.set(serializer.name, serializer)
      this.#byType.set(serializer.contentType, serializer)
    }
  }

  encode(value: unknown, serializer: string | undefined): Payload {
    if (serializer === 'raw' || (serializer === undefined && value instanceof Uint8Array))
      return rawPayload(value)
    if (serializer === undefined && typeof value === 'string') {
      return { body: textBytes(value), contentType: 'text/plain', contentEncoding: 'utf-8' }
    }
    const chosen = this.#find(serializer ?? 'json')
    if (chosen === undefined) {
      if (serializer === 'application/data') return rawPayload(value)
      throw new EncodeError(`No encoder installed for ${serializer}; known are ${this.#known()}`)
    }
    return {
      body: chosen.encode(value),
      contentType: chosen.contentType,
      contentEncoding: chosen.contentEncoding,
    }
  }

  isPlainJson(serializer: string): boolean {
    return this.#find(serializer)?.isPlainJson === true
  }

  encodeText(value: unknown, serializer: string): string | undefined {
    return this.#find(serializer)?.encodeText?.(value)
  }

  decode(payload: Payload, accept: Accept): unknown {
    const contentType = payload.contentType || 'application/data'
    if (!TRUSTED.has(contentType) && !accept.has(contentType)) {
      const name = this.#byType.get(contentType)?.name ?? contentType
      throw new ContentRefusedError(
        contentType,
        `Refusing to deserialize untrusted content of type ${name} (${contentType})`,
      )
    }
    const { body } = payload
    if (body.length === 0) return body
    if (body.length > this.maxBytes) {
      throw new SizeLimitError(`A body of ${body.length} bytes is over the limit of ${this.maxBytes}`)
    }
    const encoding = (payload.contentEncoding || 'utf-8').toLowerCase()
    const serializer = this.#byType.get(contentType)
    if (serializer !== undefined) return serializer.decode(body, encoding)
    return NOT_TEXT.has(encoding) ? body : decodeText(body, encoding)
  }

  accepting(names: readonly string[]): Accept {
    const types = names.map((name) => {
      const type = name.includes('/') ? name : this.#byName.get(name)?.contentType
      if (type === undefined) {
        throw new EncodeError(`No encoder/decoder installed for ${name}; known are ${this.#known()}`)
      }
      return type
    })
    return new Set(types)
  }

  compress(body: Uint8Array, alias: string): Compression {
    return compress(body, alias)
  }

  decompress(body: Uint8Array, mimeOrAlias: string): Uint8Array {
    return decompress(body, mimeOrAlias, this.maxBytes)
  }

  #find(nameOrType: string): Serializer | undefined {
    return this.#byName.get(nameOrType) ?? this.#byType.get(nameOrType)
  }

  #known(): string {
    return [...this.#byName.keys(), 'raw'].join(', ')
  }
}

function builtIn(options: { types: readonly CustomType[]; maxBytes: number; exact: boolean }): Serializer[] {
  const { types, maxBytes, exact } = options
  return [
    {
      name: 'json',
      contentType: 'application/json',
      contentEncoding: 'utf-8',
      isPlainJson: types.length === 0,
      encode: (value) => Buffer.from(encodeJson(value, { types })),
      encodeText: (value) => encodeJson(value, { types }),
      decode: (body) => decodeJson(body, { types, exact, maxBytes }),
    },
    {
      name: 'yaml',
      contentType: 'application/x-yaml',
      contentEncoding: 'utf-8',
      encode: (value) => Buffer.from(encodeYaml(value)),
      decode: (body) => decodeYaml(body, { exact }),
    },
    {
      name: 'msgpack',
      contentType: 'application/x-msgpack',
      contentEncoding: 'binary',
      encode: encodeMsgpack,
      decode: (body) => decodeMsgpack(body, { exact }),
    },
    {
      name: 'pickle',
      contentType: 'application/x-python-serialize',
      contentEncoding: 'binary',
      encode: encodePickle,
      decode: (body) => decodePickle(body, { exact }),
    },
  ]
}

/** `kombu.serialization.raw_encode`; what is neither text nor bytes has no raw form. */
function rawPayload(value: unknown): Payload {
  const contentType = 'application/data'
  if (value instanceof Uint8Array) return { body: value, contentType, contentEncoding: 'binary' }
  if (typeof value === 'string') return { body: textBytes(value), contentType, contentEncoding: 'utf-8' }
  throw new EncodeError(
    `The raw serializer sends text or bytes, not ${value === null ? 'null' : typeof value}`,
  )
}

function textBytes(text: string): Uint8Array {
  if (/\p{Surrogate}/u.test(text)) throw new EncodeError('Text with a lone surrogate has no UTF-8 form')
  return Buffer.from(text, 'utf8')
}
