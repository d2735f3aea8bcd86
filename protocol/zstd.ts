/**
 * zstd frames as kombu's `zstandard` wants them: with the content size in the header (wire-format 4).
 *
 * Rule 1: Node has zstd from 22.15 on; before, what we write is a valid frame of stored blocks (nothing gets smaller).
 * Rule 2: sizes in a header are checked before the decoder sees them; what it yields is checked as it comes.
 */
import * as zlib from 'node:zlib'
import { DecodeError, SizeLimitError } from './errors.js'
import { onDemand } from './on-demand.js'

const MAGIC = 0xfd2fb528
/** Largest block of a frame. */
const BLOCK = 128 * 1024
/** Largest window that a reader must be ready for (RFC 8878, 3.1.1.1.2 recommends 8 MiB; zstd itself takes 128 MiB). */
const MAX_WINDOW = 128 * 1024 * 1024

/** Compresses to one frame with its content size. */
export function zstdCompress(data: Uint8Array): Uint8Array {
  const native = 'zstdCompressSync' in zlib ? zlib.zstdCompressSync : undefined
  if (typeof native === 'function') {
    const frame: unknown = native(data)
    if (frame instanceof Uint8Array && hasContentSize(frame)) return frame
  }
  return storedFrame(data)
}

function hasContentSize(frame: Uint8Array): boolean {
  const descriptor = frame[4] ?? 0
  return descriptor >> 6 !== 0 || (descriptor & 0x20) !== 0
}

function storedFrame(data: Uint8Array): Uint8Array {
  const head = Buffer.alloc(9)
  head.writeUInt32LE(MAGIC)
  // One segment, and the content size in 4 bytes.
  head[4] = 0xa0
  head.writeUInt32LE(data.length, 5)
  const parts: Uint8Array[] = [head]
  let at = 0
  do {
    const end = Math.min(data.length, at + BLOCK)
    const blockHead = Buffer.alloc(3)
    blockHead.writeUIntLE(((end - at) << 3) | (end === data.length ? 1 : 0), 0, 3)
    parts.push(blockHead, data.subarray(at, end))
    at = end
  } while (at < data.length)
  return Buffer.concat(parts)
}

/** Throws `DecodeError` for a frame whose header claims more than allowed, or needs a dictionary. */
function checkHeader(data: Buffer, maxBytes: number): void {
  if (data.length < 6 || data.readUInt32LE(0) !== MAGIC) throw new DecodeError('Not zstd data')
  const descriptor = data[4] as number
  const isSingle = (descriptor & 0x20) !== 0
  const dictionaryBytes = [0, 1, 2, 4][descriptor & 3] as number
  const sizeBytes = [isSingle ? 1 : 0, 2, 4, 8][descriptor >> 6] as number
  const start = 5 + (isSingle ? 0 : 1)
  if (data.length < start + dictionaryBytes + sizeBytes) throw new DecodeError('The zstd data ends too early')
  if (data.subarray(start, start + dictionaryBytes).some((byte) => byte !== 0)) {
    throw new DecodeError('The zstd data needs a dictionary')
  }
  if (!isSingle) {
    const byte = data[5] as number
    const base = 2 ** (10 + (byte >> 3))
    if (base + (base / 8) * (byte & 7) > MAX_WINDOW)
      throw new DecodeError('The zstd data needs too large a window')
  }
  const at = start + dictionaryBytes
  const size =
    sizeBytes === 8 ? Number(data.readBigUInt64LE(at)) : sizeBytes > 0 ? data.readUIntLE(at, sizeBytes) : 0
  if (size > maxBytes) throw new SizeLimitError(`A zstd body claims ${size} bytes; the limit is ${maxBytes}`)
}

interface Fzstd {
  readonly Decompress: new (
    onData: (chunk: Uint8Array) => void,
  ) => { push(data: Uint8Array, isLast: boolean): void }
}
const fzstd = onDemand<Fzstd>('fzstd')

/** Decompresses one frame, with or without content size. Throws `DecodeError`, and `SizeLimitError` past `maxBytes`. */
export function zstdDecompress(data: Uint8Array, maxBytes: number): Uint8Array {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  checkHeader(buffer, maxBytes)
  const { Decompress } = fzstd()
  const chunks: Uint8Array[] = []
  let length = 0
  const stream = new Decompress((chunk) => {
    length += chunk.length
    if (length > maxBytes) throw new SizeLimitError(`A zstd body grows past ${maxBytes} bytes`)
    chunks.push(Uint8Array.from(chunk))
  })
  stream.push(buffer, true)
  return Buffer.concat(chunks, length)
}
