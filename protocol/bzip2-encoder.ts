/**
 * bzip2 compression in the simplest form every reader takes: one Huffman table (twice, as the format wants two).
 */
import { bzip2Crc } from './bzip2-decoder.js'

/** Blocks of 100 kB ("BZh1"): sorting larger ones in JavaScript costs more than they save. */
const BLOCK = 100_000 - 20
const LONGEST_CODE = 17
const GROUP = 50

class BitWriter {
  readonly #bytes: number[] = []
  #current = 0
  #used = 0

  write(value: number, count: number): void {
    for (let bit = count - 1; bit >= 0; bit--) {
      this.#current = (this.#current << 1) | (Math.floor(value / 2 ** bit) & 1)
      if (++this.#used === 8) {
        this.#bytes.push(this.#current)
        this.#current = 0
        this.#used = 0
      }
    }
  }

  finished(): Uint8Array {
    while (this.#used !== 0) this.write(0, 1)
    return Buffer.from(this.#bytes)
  }
}

/** Compresses to one member. */
export function bzip2Compress(data: Uint8Array): Uint8Array {
  const writer = new BitWriter()
  writer.write(0x425a6831, 32)
  let combined = 0
  for (let at = 0; at < data.length; ) {
    const { block, crc, next } = runLengths(data, at)
    combined = (((combined << 1) | (combined >>> 31)) ^ crc) >>> 0
    writeBlock(writer, block, crc)
    at = next
  }
  writer.write(0x177245385090, 48)
  writer.write(combined, 32)
  return writer.finished()
}

/** The first step: four equal bytes are followed by how many more there are. */
function runLengths(data: Uint8Array, start: number): { block: Uint8Array; crc: number; next: number } {
  const block: number[] = []
  let crc = 0xffffffff
  let at = start
  while (at < data.length && block.length < BLOCK) {
    const byte = data[at] as number
    let run = 1
    while (run < 259 && at + run < data.length && data[at + run] === byte) run++
    for (let count = 0; count < run; count++) crc = bzip2Crc(crc, byte)
    for (let count = Math.min(run, 4); count > 0; count--) block.push(byte)
    if (run >= 4) block.push(run - 4)
    at += run
  }
  return { block: Uint8Array.from(block), crc: ~crc >>> 0, next: at }
}

/** Sorts the rotations of a block by doubling the length compared; returns the order of their starts. */
function sortedRotations(block: Uint8Array): Uint32Array {
  const size = block.length
  let order = new Uint32Array(size)
  let rank = new Uint32Array(size)
  let spare = new Uint32Array(size)
  const counts = new Uint32Array(Math.max(257, size + 1))
  for (const byte of block) counts[byte + 1] = (counts[byte + 1] as number) + 1
  for (let byte = 1; byte < 257; byte++)
    counts[byte] = (counts[byte] as number) + (counts[byte - 1] as number)
  for (let at = 0; at < size; at++) rank[at] = counts[block[at] as number] as number
  const place = counts.slice(0, 257)
  for (let at = 0; at < size; at++) {
    const byte = block[at] as number
    order[place[byte] as number] = at
    place[byte] = (place[byte] as number) + 1
  }
  for (let length = 1; length < size; length *= 2) {
    // A rank is the place of the first rotation of its class, so that it is also where its bucket starts.
    for (let index = 0; index < size; index++) counts[index] = index
    const next = spare
    for (let index = 0; index < size; index++) {
      const start = ((order[index] as number) + size - length) % size
      const bucket = rank[start] as number
      next[counts[bucket] as number] = start
      counts[bucket] = (counts[bucket] as number) + 1
    }
    const ranks = new Uint32Array(size)
    let classes = 0
    for (let index = 0; index < size; index++) {
      const start = next[index] as number
      const before = index === 0 ? start : (next[index - 1] as number)
      const isSame =
        index > 0 &&
        rank[start] === rank[before] &&
        rank[(start + length) % size] === rank[(before + length) % size]
      ranks[start] = isSame ? (ranks[before] as number) : index
      if (!isSame) classes++
    }
    spare = order
    order = next
    rank = ranks
    if (classes === size) break
  }
  return order
}

function writeBlock(writer: BitWriter, block: Uint8Array, crc: number): void {
  const order = sortedRotations(block)
  const isUsed = new Uint8Array(256)
  for (const byte of block) isUsed[byte] = 1
  writer.write(0x314159265359, 48)
  writer.write(crc, 32)
  writer.write(0, 1)
  writer.write(order.indexOf(0), 24)
  writeUsed(writer, isUsed)
  const last = order.map((start) => block[(start + block.length - 1) % block.length] as number)
  const used = [...isUsed.keys()].filter((byte) => isUsed[byte] === 1)
  const symbols = moveToFront(last, used)
  const lengths = codeLengths(symbols, used.length + 2)
  writer.write(2, 3)
  const selectors = Math.ceil(symbols.length / GROUP)
  writer.write(selectors, 15)
  for (let index = 0; index < selectors; index++) writer.write(0, 1)
  writeLengths(writer, lengths)
  writeLengths(writer, lengths)
  const codes = canonicalCodes(lengths)
  for (const symbol of symbols) writer.write(codes[symbol] as number, lengths[symbol] as number)
}

function writeUsed(writer: BitWriter, isUsed: Uint8Array): void {
  const groups = Array.from({ length: 16 }, (_, group) => isUsed.subarray(group * 16, group * 16 + 16))
  for (const group of groups) writer.write(group.includes(1) ? 1 : 0, 1)
  for (const group of groups) {
    if (group.includes(1)) for (const bit of group) writer.write(bit, 1)
  }
}

/** Move to front, with runs of zeros as the digits RUNA and RUNB, and the end symbol. */
function moveToFront(bytes: Uint32Array, used: readonly number[]): number[] {
  const order = used.slice()
  const symbols: number[] = []
  let zeros = 0
  const flush = () => {
    for (; zeros > 0; zeros = Math.floor((zeros - 1) / 2)) symbols.push((zeros - 1) & 1)
  }
  for (const byte of bytes) {
    const place = order.indexOf(byte)
    if (place === 0) {
      zeros++
      continue
    }
    flush()
    order.splice(place, 1)
    order.unshift(byte)
    symbols.push(place + 1)
  }
  flush()
  symbols.push(used.length + 1)
  return symbols
}

/** Huffman code lengths; flattened until none is longer than allowed. */
function codeLengths(symbols: readonly number[], size: number): Uint8Array {
  let weights = new Float64Array(size).fill(1)
  for (const symbol of symbols) weights[symbol] = (weights[symbol] as number) + 1
  for (;;) {
    const lengths = huffmanLengths(weights)
    if (lengths.every((length) => length <= LONGEST_CODE)) return lengths
    weights = weights.map((weight) => Math.ceil(weight / 2))
  }
}

function huffmanLengths(weights: Float64Array): Uint8Array {
  const lengths = new Uint8Array(weights.length)
  let nodes = Array.from(weights, (weight, symbol) => ({ weight, members: [symbol] }))
  while (nodes.length > 1) {
    nodes.sort((a, b) => b.weight - a.weight)
    const [a, b] = nodes.splice(-2)
    if (a === undefined || b === undefined) break
    const members = [...a.members, ...b.members]
    for (const symbol of members) lengths[symbol] = (lengths[symbol] as number) + 1
    nodes = [...nodes, { weight: a.weight + b.weight, members }]
  }
  return lengths
}

function canonicalCodes(lengths: Uint8Array): Uint32Array {
  const codes = new Uint32Array(lengths.length)
  let code = 0
  for (let length = 1; length <= 20; length++) {
    lengths.forEach((own, symbol) => {
      if (own === length) codes[symbol] = code++
    })
    code <<= 1
  }
  return codes
}

function writeLengths(writer: BitWriter, lengths: Uint8Array): void {
  let current = lengths[0] as number
  writer.write(current, 5)
  for (const length of lengths) {
    for (; current < length; current++) writer.write(0b10, 2)
    for (; current > length; current--) writer.write(0b11, 2)
    writer.write(0, 1)
  }
}
