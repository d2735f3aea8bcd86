/**
 * Compressed bodies (kombu/compression.py, wire-format 4).
 *
 * Rule 1: decompression never yields more than it was allowed to: a bomb ends in a `SizeLimitError` early.
 * Rule 2: what is written is what Python's `zlib`, `bz2`, `lzma`, `brotli` and `zstandard` read in one call.
 */
import { brotliCompressSync, brotliDecompressSync, deflateSync, inflateSync } from 'node:zlib'
import { bzip2Decompress } from './bzip2-decoder.js'
import { bzip2Compress } from './bzip2-encoder.js'
import { DecodeError, EncodeError, ProtocolError, SizeLimitError } from './errors.js'
import { xzCompress, xzDecompress } from './xz.js'
import { zstdCompress, zstdDecompress } from './zstd.js'

/** A compressed body and the value of its `compression` header. */
export interface Compression {
  readonly body: Uint8Array
  readonly mime: string
}

interface Algorithm {
  readonly mime: string
  readonly aliases: readonly string[]
  compress(body: Uint8Array): Uint8Array
  decompress(body: Uint8Array, maxBytes: number): Uint8Array
}

const ALGORITHMS: readonly Algorithm[] = [
  {
    // A zlib stream whatever the name says: Python's zlib.decompress refuses gzip members.
    mime: 'application/x-gzip',
    aliases: ['gzip', 'zlib'],
    compress: (body) => deflateSync(body),
    decompress: (body, maxBytes) => inflateSync(body, { maxOutputLength: atLeastOne(maxBytes) }),
  },
  {
    mime: 'application/x-bz2',
    aliases: ['bzip2', 'bzip'],
    compress: bzip2Compress,
    decompress: bzip2Decompress,
  },
  {
    mime: 'application/x-lzma',
    aliases: ['lzma', 'xz'],
    compress: xzCompress,
    decompress: xzDecompress,
  },
  {
    mime: 'application/zstd',
    aliases: ['zstd', 'zstandard'],
    compress: zstdCompress,
    decompress: zstdDecompress,
  },
  {
    mime: 'application/x-brotli',
    aliases: ['brotli'],
    compress: (body) => brotliCompressSync(body),
    decompress: (body, maxBytes) => brotliDecompressSync(body, { maxOutputLength: atLeastOne(maxBytes) }),
  },
]

/** Node takes no limit of 0; the one byte too many is found out afterwards. */
function atLeastOne(maxBytes: number): number {
  return Math.min(Math.max(maxBytes, 1), 2 ** 32)
}

function find(name: string): Algorithm | undefined {
  return ALGORITHMS.find((algorithm) => algorithm.mime === name || algorithm.aliases.includes(name))
}

function known(): string {
  return ALGORITHMS.flatMap((algorithm) => algorithm.aliases).join(', ')
}

/** The mime type for the `compression` header of an alias (or of the mime type itself); `undefined` for neither. */
export function compressionMime(name: string): string | undefined {
  return find(name)?.mime
}

/** Compresses by alias or mime type. Throws `EncodeError` for an unknown name. */
export function compress(body: Uint8Array, name: string): Compression {
  const algorithm = find(name)
  if (algorithm === undefined) {
    throw new EncodeError(`Unknown compression ${JSON.stringify(name)}; known are ${known()}`)
  }
  return { body: algorithm.compress(body), mime: algorithm.mime }
}

/** Throws `DecodeError` for an unknown name or broken data, `SizeLimitError` past `maxBytes`. */
export function decompress(body: Uint8Array, name: string, maxBytes: number): Uint8Array {
  const algorithm = find(name)
  if (algorithm === undefined) {
    throw new DecodeError(`Unknown compression ${JSON.stringify(name)}; known are ${known()}`)
  }
  try {
    const plain = algorithm.decompress(body, maxBytes)
    if (plain.length <= maxBytes) return plain
  } catch (cause) {
    if (cause instanceof ProtocolError) throw cause
    if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_BUFFER_TOO_LARGE') {
      throw new SizeLimitError(`A body grows past ${maxBytes} bytes when decompressed (${algorithm.mime})`, {
        cause,
      })
    }
    const reason = cause instanceof Error ? cause.message : String(cause)
    throw new DecodeError(`Cannot decompress ${algorithm.mime}: ${reason}`, { cause })
  }
  throw new SizeLimitError(`A body grows past ${maxBytes} bytes when decompressed (${algorithm.mime})`)
}
