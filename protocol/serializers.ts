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
  /** Throws `DecodeError`. */
  decode(body: Uint8Array, contentEncoding: string): unknown
}

/** Full content types that a reader opens; made from names or types by `Codec.accepting`. */
export type Accept = ReadonlySet<string>

/** Reads and writes bodies: the serializers and compressions of one app, with its own types. */
export interface Codec {
  /** `serializer` is a name or content type; `undefined` picks text or bytes as kombu does. Throws `EncodeError`. */
  encode(value: unknown, serializer: string | undefined): Payload
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
