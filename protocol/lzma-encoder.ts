/**
 * A small greedy LZMA encoder for the chunks of LZMA2: literals and plain matches, enough to shrink a message.
 */

/** lc 3, lp 0, pb 2: the usual properties. */
export const LZMA_PROPERTIES = 93
const HASH_BITS = 16
const LONGEST_MATCH = 273
const SHORTEST_MATCH = 4

/** Range encoder (LZMA SDK, `rc_*`). */
class RangeEncoder {
  readonly #bytes: number[] = []
  #low = 0
  #range = 0xffffffff
  #cache = 0
  #pending = 1

  #shift(): void {
    if (this.#low < 0xff000000 || this.#low >= 0x100000000) {
      const carry = this.#low >= 0x100000000 ? 1 : 0
      let byte = this.#cache
      do {
        this.#bytes.push((byte + carry) & 0xff)
        byte = 0xff
      } while (--this.#pending > 0)
      this.#cache = Math.floor(this.#low / 0x1000000) & 0xff
    }
    this.#pending++
    this.#low = (this.#low % 0x1000000) * 256
  }

  bit(models: Uint16Array, index: number, bit: number): void {
    const probability = models[index] as number
    const bound = (this.#range >>> 11) * probability
    if (bit === 0) {
      this.#range = bound
      models[index] = probability + ((2048 - probability) >> 5)
    } else {
      this.#low += bound
      this.#range -= bound
      models[index] = probability - (probability >> 5)
    }
    while (this.#range < 0x1000000) {
      this.#range = (this.#range << 8) >>> 0
      this.#shift()
    }
  }

  direct(value: number, count: number): void {
    for (let place = count - 1; place >= 0; place--) {
      this.#range >>>= 1
      if ((value >>> place) & 1) this.#low += this.#range
      while (this.#range < 0x1000000) {
        this.#range = (this.#range << 8) >>> 0
        this.#shift()
      }
    }
  }

  tree(models: Uint16Array, base: number, bits: number, value: number): void {
    let symbol = 1
    for (let place = bits - 1; place >= 0; place--) {
      const bit = (value >> place) & 1
      this.bit(models, base + symbol, bit)
      symbol = (symbol << 1) | bit
    }
  }

  reverse(models: Uint16Array, base: number, bits: number, value: number): void {
    let symbol = 1
    for (let place = 0; place < bits; place++) {
      const bit = (value >> place) & 1
      this.bit(models, base + symbol, bit)
      symbol = (symbol << 1) | bit
    }
  }

  finished(): Uint8Array {
    for (let count = 0; count < 5; count++) this.#shift()
    return Buffer.from(this.#bytes)
  }
}

function models(count: number): Uint16Array {
  return new Uint16Array(count).fill(1024)
}

/** Encodes pieces of one body; matches reach back over all of it, everything else starts anew in each piece. */
export class LzmaEncoder {
  readonly #data: Uint8Array
  readonly #heads = new Int32Array(1 << HASH_BITS).fill(-1)

  constructor(data: Uint8Array) {
    this.#data = data
  }

  /** The LZMA symbols of `data[from..to)`, with fresh state. Pieces must come in order. */
  encode(from: number, to: number): Uint8Array {
    const range = new RangeEncoder()
    const data = this.#data
    const literals = models(0x300 << 3)
    const isMatch = models(12 * 16)
    const isRep = models(12)
    const slots = models(4 * 64)
    const special = models(128)
    const align = models(16)
    const lengthModels = { choice: models(2), low: models(16 * 8), middle: models(16 * 8), high: models(256) }
    let state = 0
    let rep0 = 0
    for (let at = from; at < to; ) {
      const positionState = at & 3
      const { length, distance } = this.#longest(at, to)
      if (length < SHORTEST_MATCH) {
        range.bit(isMatch, state * 16 + positionState, 0)
        const base = ((at > 0 ? (data[at - 1] as number) : 0) >> 5) * 0x300
        let symbol = (data[at] as number) | 0x100
        if (state >= 7) {
          let matched = data[at - rep0 - 1] as number
          let offset = 0x100
          do {
            matched <<= 1
            range.bit(literals, base + offset + (matched & offset) + (symbol >> 8), (symbol >> 7) & 1)
            symbol <<= 1
            offset &= ~(matched ^ symbol)
          } while (symbol < 0x10000)
        } else range.tree(literals, base, 8, data[at] as number)
        state = state < 4 ? 0 : state < 10 ? state - 3 : state - 6
        this.#remember(at)
        at++
        continue
      }
      range.bit(isMatch, state * 16 + positionState, 1)
      range.bit(isRep, state, 0)
      encodeLength(range, lengthModels, length, positionState)
      encodeDistance(range, { slots, special, align }, length, distance)
      rep0 = distance
      state = state < 7 ? 7 : 10
      for (const end = at + length; at < end; at++) this.#remember(at)
    }
    return range.finished()
  }

  #hash(at: number): number {
    const data = this.#data
    const word =
      (data[at] as number) |
      ((data[at + 1] as number) << 8) |
      ((data[at + 2] as number) << 16) |
      ((data[at + 3] as number) << 24)
    return Math.imul(word, 0x9e3779b1) >>> (32 - HASH_BITS)
  }

  #remember(at: number): void {
    if (at + SHORTEST_MATCH <= this.#data.length) this.#heads[this.#hash(at)] = at
  }

  #longest(at: number, to: number): { length: number; distance: number } {
    if (at + SHORTEST_MATCH > to) return { length: 0, distance: 0 }
    const before = this.#heads[this.#hash(at)] as number
    if (before < 0) return { length: 0, distance: 0 }
    const limit = Math.min(LONGEST_MATCH, to - at)
    let length = 0
    while (length < limit && this.#data[before + length] === this.#data[at + length]) length++
    return { length, distance: at - before - 1 }
  }
}

interface LengthModels {
  readonly choice: Uint16Array
  readonly low: Uint16Array
  readonly middle: Uint16Array
  readonly high: Uint16Array
}

function encodeLength(
  range: RangeEncoder,
  lengths: LengthModels,
  length: number,
  positionState: number,
): void {
  const value = length - 2
  range.bit(lengths.choice, 0, value < 8 ? 0 : 1)
  if (value < 8) {
    range.tree(lengths.low, positionState * 8, 3, value)
    return
  }
  range.bit(lengths.choice, 1, value < 16 ? 0 : 1)
  if (value < 16) range.tree(lengths.middle, positionState * 8, 3, value - 8)
  else range.tree(lengths.high, 0, 8, value - 16)
}

interface DistanceModels {
  readonly slots: Uint16Array
  readonly special: Uint16Array
  readonly align: Uint16Array
}

function encodeDistance(range: RangeEncoder, to: DistanceModels, length: number, distance: number): void {
  const top = 31 - Math.clz32(distance)
  const slot = distance < 4 ? distance : top * 2 + ((distance >>> (top - 1)) & 1)
  range.tree(to.slots, Math.min(length - 2, 3) * 64, 6, slot)
  if (slot < 4) return
  const bits = (slot >> 1) - 1
  const base = (2 | (slot & 1)) << bits
  if (slot < 14) range.reverse(to.special, base - slot, bits, distance - base)
  else {
    range.direct((distance - base) >>> 4, bits - 4)
    range.reverse(to.align, 0, 4, (distance - base) & 15)
  }
}
