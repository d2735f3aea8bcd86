/**
 * bzip2 decompression, bounded. Pure, because Node has no bzip2.
 *
 * Rule 1: output is checked against the limit before it is kept; a block is at most 900 kB before its last step.
 * Rule 2: members one after another are read as one, as Python's `bz2.decompress` does.
 */
import { DecodeError, SizeLimitError } from './errors.js'

const BLOCK_MAGIC = 0x314159265359
const END_MAGIC = 0x177245385090
const GROUP = 50

const CRC_TABLE: Uint32Array = Uint32Array.from({ length: 256 }, (_, byte) => {
  let crc = byte << 24
  for (let bit = 0; bit < 8; bit++) crc = crc & 0x80000000 ? (crc << 1) ^ 0x04c11db7 : crc << 1
  return crc >>> 0
})

/** One step of bzip2's CRC (most significant bit first). */
export function bzip2Crc(crc: number, byte: number): number {
  return ((crc << 8) ^ (CRC_TABLE[((crc >>> 24) ^ byte) & 0xff] as number)) >>> 0
}

class BitReader {
  readonly #data: Uint8Array
  #at = 0
  #bit = 0

  constructor(data: Uint8Array) {
    this.#data = data
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#data.length
  }

  bit(): number {
    if (this.#at >= this.#data.length) throw new DecodeError('The bzip2 data ends too early')
    const bit = ((this.#data[this.#at] as number) >> (7 - this.#bit)) & 1
    this.#bit = (this.#bit + 1) & 7
    if (this.#bit === 0) this.#at++
    return bit
  }

  bits(count: number): number {
    let value = 0
    for (let left = count; left > 0; left--) value = value * 2 + this.bit()
    return value
  }

  align(): void {
    if (this.#bit === 0) return
    this.#bit = 0
    this.#at++
  }
}

/** Bytes that grow, up to a limit. */
class Output {
  #buffer = Buffer.allocUnsafe(4096)
  #length = 0
  readonly #maxBytes: number

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  push(byte: number): void {
    if (this.#length >= this.#maxBytes) {
      throw new SizeLimitError(`A bzip2 body grows past ${this.#maxBytes} bytes`)
    }
    if (this.#length === this.#buffer.length) {
      const larger = Buffer.allocUnsafe(this.#length * 2)
      this.#buffer.copy(larger)
      this.#buffer = larger
    }
    this.#buffer[this.#length++] = byte
  }

  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#length)
  }
}

/** Decompresses one or more members. Throws `DecodeError`, and `SizeLimitError` past `maxBytes`. */
export function bzip2Decompress(data: Uint8Array, maxBytes: number): Uint8Array {
  const reader = new BitReader(data)
  const output = new Output(maxBytes)
  let members = 0
  while (!reader.isAtEnd) {
    if (reader.bits(24) !== 0x425a68) {
      // Python takes what follows the last member for padding.
      if (members > 0) break
      throw new DecodeError('Not bzip2 data')
    }
    readMember(reader, output)
    members++
  }
  if (members === 0) throw new DecodeError('Empty bzip2 data')
  return output.bytes()
}

function readMember(reader: BitReader, output: Output): void {
  const level = reader.bits(8) - 0x30
  if (level < 1 || level > 9) throw new DecodeError('Invalid bzip2 block size')
  let combined = 0
  for (;;) {
    const magic = reader.bits(48)
    const crc = reader.bits(32)
    if (magic === END_MAGIC) {
      if (crc !== combined) throw new DecodeError('The bzip2 data has a wrong checksum')
      reader.align()
      return
    }
    if (magic !== BLOCK_MAGIC) throw new DecodeError('Invalid bzip2 block')
    const found = readBlock(reader, output, level * 100_000)
    if (found !== crc) throw new DecodeError('A bzip2 block has a wrong checksum')
    combined = (((combined << 1) | (combined >>> 31)) ^ crc) >>> 0
  }
}

interface Table {
  /** Symbols ordered by code. */
  readonly symbols: Uint16Array
  /** For each length: the first code, and the place of its symbol. */
  readonly first: Int32Array
  readonly start: Int32Array
  readonly count: Int32Array
}

function table(lengths: Uint8Array): Table {
  const count = new Int32Array(22)
  for (const length of lengths) count[length] = (count[length] as number) + 1
  const first = new Int32Array(22)
  const start = new Int32Array(22)
  let code = 0
  let place = 0
  for (let length = 1; length <= 20; length++) {
    first[length] = code
    start[length] = place
    code = (code + (count[length] as number)) << 1
    place += count[length] as number
  }
  const symbols = new Uint16Array(lengths.length)
  const next = start.slice()
  lengths.forEach((length, symbol) => {
    symbols[next[length] as number] = symbol
    next[length] = (next[length] as number) + 1
  })
  return { symbols, first, start, count }
}

function readSymbol(reader: BitReader, { symbols, first, start, count }: Table): number {
  let code = 0
  for (let length = 1; length <= 20; length++) {
    code = (code << 1) | reader.bit()
    const offset = code - (first[length] as number)
    if (offset >= 0 && offset < (count[length] as number))
      return symbols[(start[length] as number) + offset] as number
  }
  throw new DecodeError('Invalid bzip2 code')
}

function readUsed(reader: BitReader): number[] {
  const groups = reader.bits(16)
  const used: number[] = []
  for (let group = 0; group < 16; group++) {
    if (!(groups & (0x8000 >> group))) continue
    const members = reader.bits(16)
    for (let member = 0; member < 16; member++)
      if (members & (0x8000 >> member)) used.push(group * 16 + member)
  }
  return used
}

function readSelectors(reader: BitReader, tables: number): Uint8Array {
  const selectors = new Uint8Array(reader.bits(15))
  if (selectors.length === 0) throw new DecodeError('A bzip2 block without selectors')
  const order = Array.from({ length: tables }, (_, index) => index)
  for (let index = 0; index < selectors.length; index++) {
    let place = 0
    while (reader.bit()) if (++place >= tables) throw new DecodeError('Invalid bzip2 selector')
    const [selected = 0] = order.splice(place, 1)
    order.unshift(selected)
    selectors[index] = selected
  }
  return selectors
}

function readLengths(reader: BitReader, symbols: number): Uint8Array {
  const lengths = new Uint8Array(symbols)
  let length = reader.bits(5)
  for (let symbol = 0; symbol < symbols; symbol++) {
    for (;;) {
      if (length < 1 || length > 20) throw new DecodeError('Invalid bzip2 code length')
      if (reader.bit() === 0) break
      length += reader.bit() === 0 ? 1 : -1
    }
    lengths[symbol] = length
  }
  return lengths
}

/** Reads one block; returns its checksum. */
function readBlock(reader: BitReader, output: Output, blockSize: number): number {
  if (reader.bit() === 1) throw new DecodeError('Randomised bzip2 blocks are not read')
  const origin = reader.bits(24)
  const used = readUsed(reader)
  if (used.length === 0) throw new DecodeError('A bzip2 block without symbols')
  const tableCount = reader.bits(3)
  if (tableCount < 2 || tableCount > 6) throw new DecodeError('Invalid number of bzip2 tables')
  const selectors = readSelectors(reader, tableCount)
  const tables = Array.from({ length: tableCount }, () => table(readLengths(reader, used.length + 2)))
  const block = readMoveToFront(reader, { used, selectors, tables, blockSize })
  if (origin >= block.length) throw new DecodeError('Invalid start of a bzip2 block')
  return writeBlock(block, origin, output)
}

interface Coding {
  readonly used: number[]
  readonly selectors: Uint8Array
  readonly tables: readonly Table[]
  readonly blockSize: number
}

function readMoveToFront(reader: BitReader, { used, selectors, tables, blockSize }: Coding): Uint32Array {
  const block = new Uint32Array(blockSize)
  const order = used.slice()
  const end = used.length + 1
  let length = 0
  let run = 0
  let weight = 1
  for (let count = 0; ; count++) {
    const selector = selectors[Math.floor(count / GROUP)]
    if (selector === undefined) throw new DecodeError('A bzip2 block is longer than its selectors')
    const symbol = readSymbol(reader, tables[selector] as Table)
    if (symbol <= 1) {
      run += weight << symbol
      weight *= 2
      if (run > blockSize) throw new DecodeError('A bzip2 block is too long')
      continue
    }
    if (length + run + 1 > blockSize && !(symbol === end && length + run <= blockSize)) {
      throw new DecodeError('A bzip2 block is too long')
    }
    block.fill(order[0] as number, length, length + run)
    length += run
    run = 0
    weight = 1
    if (symbol === end) return block.subarray(0, length)
    const [byte = 0] = order.splice(symbol - 1, 1)
    order.unshift(byte)
    block[length++] = byte
  }
}

/** Undoes the Burrows-Wheeler transform and the first run-length coding. */
function writeBlock(block: Uint32Array, origin: number, output: Output): number {
  const next = new Uint32Array(257)
  for (const byte of block) next[byte + 1] = (next[byte + 1] as number) + 1
  for (let byte = 1; byte < 257; byte++) next[byte] = (next[byte] as number) + (next[byte - 1] as number)
  // The upper 24 bits of each entry become the link to the next one.
  for (let index = 0; index < block.length; index++) {
    const byte = (block[index] as number) & 0xff
    const place = next[byte] as number
    next[byte] = place + 1
    block[place] = ((block[place] as number) | (index << 8)) >>> 0
  }
  let crc = 0xffffffff
  let repeat = 0
  let last = -1
  let place = (block[origin] as number) >>> 8
  for (let left = block.length; left > 0; left--) {
    const entry = block[place] as number
    const byte = entry & 0xff
    place = entry >>> 8
    if (repeat === 4) {
      for (let times = byte; times > 0; times--) {
        output.push(last)
        crc = bzip2Crc(crc, last)
      }
      repeat = 0
      last = -1
      continue
    }
    repeat = byte === last ? repeat + 1 : 1
    last = byte
    output.push(byte)
    crc = bzip2Crc(crc, byte)
  }
  return ~crc >>> 0
}
