/**
 * The LZMA decoder behind .xz and .lzma, bounded. Pure, because Node has none.
 *
 * Rule 1: all output stays in one buffer, which is also the dictionary; it never grows past the limit.
 * Rule 2: reading past the input is an error at once, so that a short body cannot make a long loop.
 */
import { DecodeError, SizeLimitError } from './errors.js'

const PROBABILITY = 1024

/** Output that is its own dictionary. */
export class LzmaOutput {
  #buffer = Buffer.allocUnsafe(65_536)
  readonly #maxBytes: number
  length = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Makes room for `count` more bytes. Throws `SizeLimitError`. */
  reserve(count: number): Buffer {
    const needed = this.length + count
    if (needed > this.#maxBytes) throw new SizeLimitError(`An LZMA body grows past ${this.#maxBytes} bytes`)
    if (needed > this.#buffer.length) {
      const larger = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2))
      this.#buffer.copy(larger, 0, 0, this.length)
      this.#buffer = larger
    }
    return this.#buffer
  }

  push(byte: number): void {
    this.reserve(1)[this.length++] = byte
  }

  append(bytes: Uint8Array): void {
    this.reserve(bytes.length).set(bytes, this.length)
    this.length += bytes.length
  }

  /** The byte `distance` back, 1 being the last. */
  back(distance: number): number {
    return this.#buffer[this.length - distance] as number
  }

  bytes(from = 0): Uint8Array {
    return this.#buffer.subarray(from, this.length)
  }
}

/** The range decoder over one piece of input. */
class RangeDecoder {
  readonly #data: Uint8Array
  #at: number
  readonly #end: number
  #range = 0xffffffff
  #code = 0

  constructor(data: Uint8Array, from: number, to: number) {
    this.#data = data
    this.#at = from
    this.#end = to
    if (this.#next() !== 0) throw new DecodeError('Invalid start of LZMA data')
    for (let count = 0; count < 4; count++) this.#code = ((this.#code << 8) | this.#next()) >>> 0
  }

  get position(): number {
    return this.#at
  }

  #next(): number {
    if (this.#at >= this.#end) throw new DecodeError('The LZMA data ends too early')
    return this.#data[this.#at++] as number
  }

  #normalize(): void {
    if (this.#range >= 0x1000000) return
    this.#range = (this.#range << 8) >>> 0
    this.#code = ((this.#code << 8) | this.#next()) >>> 0
  }

  bit(models: Uint16Array, index: number): number {
    this.#normalize()
    const probability = models[index] as number
    const bound = (this.#range >>> 11) * probability
    if (this.#code < bound) {
      this.#range = bound
      models[index] = probability + ((2048 - probability) >> 5)
      return 0
    }
    this.#range -= bound
    this.#code -= bound
    models[index] = probability - (probability >> 5)
    return 1
  }

  direct(count: number): number {
    let value = 0
    for (let left = count; left > 0; left--) {
      this.#normalize()
      this.#range >>>= 1
      const bit = this.#code >= this.#range ? 1 : 0
      if (bit === 1) this.#code -= this.#range
      value = value * 2 + bit
    }
    return value
  }

  tree(models: Uint16Array, base: number, bits: number): number {
    let symbol = 1
    for (let left = bits; left > 0; left--) symbol = (symbol << 1) | this.bit(models, base + symbol)
    return symbol - (1 << bits)
  }

  reverse(models: Uint16Array, base: number, bits: number): number {
    let symbol = 1
    let value = 0
    for (let place = 0; place < bits; place++) {
      const bit = this.bit(models, base + symbol)
      symbol = (symbol << 1) | bit
      value |= bit << place
    }
    return value
  }
}

function models(count: number): Uint16Array {
  return new Uint16Array(count).fill(PROBABILITY)
}

/** Lengths of matches: 2 to 273. */
class LengthDecoder {
  readonly #choice = models(2)
  readonly #low = models(16 * 8)
  readonly #middle = models(16 * 8)
  readonly #high = models(256)

  read(range: RangeDecoder, positionState: number): number {
    if (range.bit(this.#choice, 0) === 0) return 2 + range.tree(this.#low, positionState * 8, 3)
    if (range.bit(this.#choice, 1) === 0) return 10 + range.tree(this.#middle, positionState * 8, 3)
    return 18 + range.tree(this.#high, 0, 8)
  }
}

/** Decodes LZMA symbols; its state lives on between the chunks of LZMA2. */
export class LzmaDecoder {
  readonly #output: LzmaOutput
  #lc = 3
  #lp = 0
  #pb = 2
  #state = 0
  #reps: [number, number, number, number] = [0, 0, 0, 0]
  #literals = models(0)
  #isMatch = models(0)
  #isRep = models(0)
  #isRep0Long = models(0)
  #slots = models(0)
  #special = models(0)
  #align = models(0)
  #matchLength = new LengthDecoder()
  #repLength = new LengthDecoder()
  /** Where the dictionary starts: nothing before can be referred to. */
  dictionaryStart = 0

  constructor(output: LzmaOutput) {
    this.#output = output
  }

  /** Sets the properties byte and forgets the state. Throws `DecodeError`. */
  setProperties(byte: number, isLzma2: boolean): void {
    if (byte >= 225) throw new DecodeError('Invalid LZMA properties')
    this.#lc = byte % 9
    this.#lp = Math.floor(byte / 9) % 5
    this.#pb = Math.floor(byte / 45)
    if (isLzma2 && this.#lc + this.#lp > 4) throw new DecodeError('Invalid LZMA2 properties')
    this.resetState()
  }

  resetState(): void {
    this.#state = 0
    this.#reps = [0, 0, 0, 0]
    this.#literals = models(0x300 << (this.#lc + this.#lp))
    this.#isMatch = models(12 * 16)
    this.#isRep = models(12 * 4)
    this.#isRep0Long = models(12 * 16)
    this.#slots = models(4 * 64)
    this.#special = models(128)
    this.#align = models(16)
    this.#matchLength = new LengthDecoder()
    this.#repLength = new LengthDecoder()
  }

  /**
   * Decodes until `count` bytes are out (`undefined`: until the end marker) from `data`; returns where it stopped.
   * Throws `DecodeError` and `SizeLimitError`.
   */
  decode(data: Uint8Array, from: number, to: number, count: number | undefined): number {
    const range = new RangeDecoder(data, from, to)
    const output = this.#output
    const end = count === undefined ? undefined : output.length + count
    while (end === undefined || output.length < end) {
      const positionState = (output.length - this.dictionaryStart) & ((1 << this.#pb) - 1)
      if (range.bit(this.#isMatch, this.#state * 16 + positionState) === 0) {
        this.#literal(range)
        continue
      }
      const length = this.#match(range, positionState)
      if (length === 0) {
        if (end !== undefined) throw new DecodeError('An LZMA end marker inside the data')
        return range.position
      }
      if (end !== undefined && output.length + length > end)
        throw new DecodeError('An LZMA match is too long')
      this.#copy(length)
    }
    return range.position
  }

  #literal(range: RangeDecoder): void {
    const output = this.#output
    const position = output.length - this.dictionaryStart
    const before = position > 0 ? output.back(1) : 0
    const context = ((position & ((1 << this.#lp) - 1)) << this.#lc) + (before >> (8 - this.#lc))
    const base = context * 0x300
    let symbol = 1
    if (this.#state >= 7) {
      let matched = this.#matchedByte()
      let offset = 0x100
      while (symbol < 0x100) {
        matched <<= 1
        const expected = matched & offset
        const bit = range.bit(this.#literals, base + offset + expected + symbol)
        symbol = (symbol << 1) | bit
        offset &= bit === 1 ? matched : ~matched
      }
    } else while (symbol < 0x100) symbol = (symbol << 1) | range.bit(this.#literals, base + symbol)
    output.push(symbol & 0xff)
    this.#state = this.#state < 4 ? 0 : this.#state < 10 ? this.#state - 3 : this.#state - 6
  }

  #matchedByte(): number {
    this.#check()
    return this.#output.back(this.#reps[0] + 1)
  }

  #check(): void {
    if (this.#reps[0] >= this.#output.length - this.dictionaryStart) {
      throw new DecodeError('An LZMA match reaches before the start')
    }
  }

  /** Reads a match; returns its length, 0 for the end marker. */
  #match(range: RangeDecoder, positionState: number): number {
    const state = this.#state
    const [rep0, rep1, rep2, rep3] = this.#reps
    if (range.bit(this.#isRep, state) === 0) {
      const length = this.#matchLength.read(range, positionState)
      this.#state = state < 7 ? 7 : 10
      const distance = this.#distance(range, length)
      this.#reps = [distance, rep0, rep1, rep2]
      return distance === 0xffffffff ? 0 : length
    }
    if (range.bit(this.#isRep, 12 + state) === 0) {
      if (range.bit(this.#isRep0Long, state * 16 + positionState) === 0) {
        this.#state = state < 7 ? 9 : 11
        return 1
      }
    } else if (range.bit(this.#isRep, 24 + state) === 0) this.#reps = [rep1, rep0, rep2, rep3]
    else if (range.bit(this.#isRep, 36 + state) === 0) this.#reps = [rep2, rep0, rep1, rep3]
    else this.#reps = [rep3, rep0, rep1, rep2]
    this.#state = state < 7 ? 8 : 11
    return this.#repLength.read(range, positionState)
  }

  #distance(range: RangeDecoder, length: number): number {
    const slot = range.tree(this.#slots, Math.min(length - 2, 3) * 64, 6)
    if (slot < 4) return slot
    const bits = (slot >> 1) - 1
    const base = (2 | (slot & 1)) * 2 ** bits
    if (slot < 14) return base + range.reverse(this.#special, base - slot, bits)
    return base + range.direct(bits - 4) * 16 + range.reverse(this.#align, 0, 4)
  }

  #copy(length: number): void {
    this.#check()
    const buffer = this.#output.reserve(length)
    const start = this.#output.length
    const from = start - this.#reps[0] - 1
    for (let index = 0; index < length; index++) buffer[start + index] = buffer[from + index] as number
    this.#output.length += length
  }
}
