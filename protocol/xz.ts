/**
 * The .xz container both ways and the old .lzma one to read: what Python's `lzma.compress` and `lzma.decompress`
 * (format auto) speak.
 *
 * Rule 1: checksums are checked (CRC32, CRC64); SHA-256 is passed over, as nothing else in it needs a hash.
 * Rule 2: only the LZMA2 filter: Python writes no other unless told to.
 */
import { DecodeError } from './errors.js'
import { LzmaDecoder, LzmaOutput } from './lzma-decoder.js'
import { LZMA_PROPERTIES, LzmaEncoder } from './lzma-encoder.js'

const MAGIC = Buffer.from([0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00])
const CHECK_SIZES = [0, 4, 4, 4, 8, 8, 8, 16, 16, 16, 32, 32, 32, 64, 64, 64]
/** A chunk must not compress to more than 64 KiB; text this long cannot. */
const CHUNK = 60_000
/** Dictionary of 64 MiB, as a byte of the LZMA2 filter: readers allocate as needed. */
const DICTIONARY_BYTE = 28

const CRC32_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1
  return crc >>> 0
})

function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) crc = (crc >>> 8) ^ (CRC32_TABLE[(crc ^ byte) & 0xff] as number)
  return ~crc >>> 0
}

/** Low and high halves of the reflected ECMA-182 table. */
const CRC64_TABLE: Uint32Array = (() => {
  const halves = new Uint32Array(512)
  for (let byte = 0; byte < 256; byte++) {
    let low = byte
    let high = 0
    for (let bit = 0; bit < 8; bit++) {
      const isOdd = low & 1
      low = ((low >>> 1) | (high << 31)) >>> 0
      high >>>= 1
      if (isOdd) {
        low = (low ^ 0xd7870f42) >>> 0
        high = (high ^ 0xc96c5795) >>> 0
      }
    }
    halves[byte * 2] = low
    halves[byte * 2 + 1] = high
  }
  return halves
})()

function crc64(bytes: Uint8Array): Buffer {
  let low = 0xffffffff
  let high = 0xffffffff
  for (const byte of bytes) {
    const entry = ((low ^ byte) & 0xff) * 2
    low = (((low >>> 8) | (high << 24)) ^ (CRC64_TABLE[entry] as number)) >>> 0
    high = ((high >>> 8) ^ (CRC64_TABLE[entry + 1] as number)) >>> 0
  }
  const sum = Buffer.alloc(8)
  sum.writeUInt32LE(~low >>> 0, 0)
  sum.writeUInt32LE(~high >>> 0, 4)
  return sum
}

function littleEndian(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32LE(value)
  return bytes
}

/** Variable length integer. */
function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = value
  for (; left >= 0x80; left = Math.floor(left / 128)) bytes.push((left % 128) | 0x80)
  bytes.push(left)
  return Buffer.from(bytes)
}

function padded(bytes: Buffer): Buffer {
  return Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)])
}

/** Compresses to one .xz stream with a CRC32 check. */
export function xzCompress(data: Uint8Array): Uint8Array {
  const flags = Buffer.from([0, 1])
  const parts: Buffer[] = [MAGIC, flags, littleEndian(crc32(flags))]
  const records: Buffer[] = [varint(data.length === 0 ? 0 : 1)]
  if (data.length > 0) {
    const head = Buffer.from([2, 0, 0x21, 1, DICTIONARY_BYTE, 0, 0, 0])
    const packed = lzma2Chunks(data)
    parts.push(head, littleEndian(crc32(head)), padded(packed), littleEndian(crc32(data)))
    records.push(varint(head.length + 4 + packed.length + 4), varint(data.length))
  }
  const index = padded(Buffer.concat([Buffer.from([0]), ...records]))
  const tail = Buffer.concat([littleEndian((index.length + 4) / 4 - 1), flags])
  parts.push(index, littleEndian(crc32(index)), littleEndian(crc32(tail)), tail, Buffer.from('YZ'))
  return Buffer.concat(parts)
}

function lzma2Chunks(data: Uint8Array): Buffer {
  const encoder = new LzmaEncoder(data)
  const parts: Uint8Array[] = []
  for (let from = 0; from < data.length; from += CHUNK) {
    const to = Math.min(data.length, from + CHUNK)
    const packed = encoder.encode(from, to)
    const size = to - from - 1
    if (packed.length < to - from) {
      const head = Buffer.from([from === 0 ? 0xe0 : 0xc0, 0, 0, 0, 0, LZMA_PROPERTIES])
      head.writeUInt16BE(size, 1)
      head.writeUInt16BE(packed.length - 1, 3)
      parts.push(head, packed)
    } else {
      const head = Buffer.from([from === 0 ? 1 : 2, 0, 0])
      head.writeUInt16BE(size, 1)
      parts.push(head, data.subarray(from, to))
    }
  }
  return Buffer.concat([...parts, Buffer.from([0])])
}

/** Decompresses .xz streams or one .lzma file. Throws `DecodeError`, and `SizeLimitError` past `maxBytes`. */
export function xzDecompress(data: Uint8Array, maxBytes: number): Uint8Array {
  const buffer = Buffer.from(data.buffer, data.byteOffset, data.byteLength)
  const output = new LzmaOutput(maxBytes)
  if (!buffer.subarray(0, 6).equals(MAGIC)) {
    readLzmaAlone(buffer, output)
    return output.bytes()
  }
  for (let at = 0; at < buffer.length; ) {
    if (!buffer.subarray(at, at + 6).equals(MAGIC))
      throw new DecodeError('Data after the end of the xz stream')
    at = new XzStream(buffer, at, output).read()
    while (at + 4 <= buffer.length && buffer.readUInt32LE(at) === 0) at += 4
  }
  return output.bytes()
}

/** 13 bytes of properties, dictionary size and length (or -1), then LZMA symbols. */
function readLzmaAlone(data: Buffer, output: LzmaOutput): void {
  if (data.length < 18) throw new DecodeError('Neither xz nor lzma data')
  const decoder = new LzmaDecoder(output)
  decoder.setProperties(data[0] as number, false)
  const size = data.readBigUInt64LE(5)
  const isOpen = size === 0xffffffffffffffffn
  // A false length is caught by the limit, or by the end of the data.
  decoder.decode(data, 13, data.length, isOpen ? undefined : Number(size))
}

class XzStream {
  readonly #data: Buffer
  readonly #output: LzmaOutput
  #at: number
  #check = 0

  constructor(data: Buffer, at: number, output: LzmaOutput) {
    this.#data = data
    this.#at = at
    this.#output = output
  }

  #take(count: number): Buffer {
    const end = this.#at + count
    if (end > this.#data.length) throw new DecodeError('The xz data ends too early')
    const bytes = this.#data.subarray(this.#at, end)
    this.#at = end
    return bytes
  }

  #sumOf(bytes: Uint8Array): void {
    if (this.#take(4).readUInt32LE() !== crc32(bytes))
      throw new DecodeError('The xz data has a wrong checksum')
  }

  #varint(): number {
    let value = 0
    for (let shift = 0; shift < 9; shift++) {
      const byte = this.#take(1)[0] as number
      value += (byte & 0x7f) * 2 ** (7 * shift)
      if (byte < 0x80) return value
    }
    throw new DecodeError('Invalid number in the xz data')
  }

  /** Reads the stream; returns where it ends. */
  read(): number {
    this.#take(6)
    const flags = this.#take(2)
    this.#sumOf(flags)
    if (flags[0] !== 0 || (flags[1] as number) > 15) throw new DecodeError('Unknown xz stream flags')
    this.#check = flags[1] as number
    const sizes: [number, number][] = []
    while (this.#data[this.#at] !== 0) sizes.push(this.#block())
    this.#index(sizes)
    const sum = this.#take(4).readUInt32LE()
    const tail = this.#take(6)
    if (sum !== crc32(tail) || !this.#take(2).equals(Buffer.from('YZ'))) {
      throw new DecodeError('Invalid end of the xz stream')
    }
    return this.#at
  }

  #index(sizes: readonly [number, number][]): void {
    const start = this.#at
    this.#take(1)
    if (this.#varint() !== sizes.length) throw new DecodeError('The xz index does not match its blocks')
    for (const [packed, plain] of sizes) {
      if (this.#varint() !== packed || this.#varint() !== plain) {
        throw new DecodeError('The xz index does not match its blocks')
      }
    }
    this.#take((4 - ((this.#at - start) % 4)) % 4)
    this.#sumOf(this.#data.subarray(start, this.#at))
  }

  #block(): [number, number] {
    const start = this.#at
    const size = ((this.#take(1)[0] as number) + 1) * 4
    const flags = this.#take(1)[0] as number
    if (flags & 0x3f) throw new DecodeError('The xz data uses filters other than LZMA2')
    if (flags & 0x40) this.#varint()
    if (flags & 0x80) this.#varint()
    if (this.#varint() !== 0x21 || this.#varint() !== 1) {
      throw new DecodeError('The xz data uses filters other than LZMA2')
    }
    this.#take(1)
    const end = start + size - 4
    if (this.#at > end) throw new DecodeError('Invalid xz block header')
    this.#take(end - this.#at)
    this.#sumOf(this.#data.subarray(start, end))
    const before = this.#output.length
    this.#lzma2()
    const length = this.#at - start
    this.#take((4 - (length % 4)) % 4)
    const checkSize = CHECK_SIZES[this.#check] as number
    this.#verify(this.#take(checkSize), this.#output.bytes(before))
    return [length + checkSize, this.#output.length - before]
  }

  #verify(sum: Buffer, bytes: Uint8Array): void {
    const expected = this.#check === 1 ? littleEndian(crc32(bytes)) : this.#check === 4 ? crc64(bytes) : sum
    if (!sum.equals(expected)) throw new DecodeError('The xz data has a wrong checksum')
  }

  #lzma2(): void {
    const decoder = new LzmaDecoder(this.#output)
    let needsDictionary = true
    let needsProperties = true
    for (;;) {
      const control = this.#take(1)[0] as number
      if (control === 0) return
      if (control >= 0xe0 || control === 1) {
        decoder.dictionaryStart = this.#output.length
        needsDictionary = false
      } else if (needsDictionary) throw new DecodeError('LZMA2 data without a dictionary')
      if (control < 0x80) {
        if (control > 2) throw new DecodeError('Invalid LZMA2 chunk')
        this.#output.append(this.#take(this.#take(2).readUInt16BE() + 1))
        continue
      }
      const plain = ((control & 0x1f) << 16) + this.#take(2).readUInt16BE() + 1
      const packed = this.#take(2).readUInt16BE() + 1
      if (control >= 0xc0) {
        decoder.setProperties(this.#take(1)[0] as number, true)
        needsProperties = false
      } else if (needsProperties) throw new DecodeError('LZMA2 data without properties')
      else if (control >= 0xa0) decoder.resetState()
      const from = this.#at
      this.#take(packed)
      if (decoder.decode(this.#data, from, this.#at, plain) > this.#at)
        throw new DecodeError('Invalid LZMA2 chunk')
    }
  }
}
