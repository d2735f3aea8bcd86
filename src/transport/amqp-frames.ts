/**
 * Mends what the server sends before amqplib reads it: py-amqp writes whole numbers beyond 32 bits with the type octet
 * `L` (RabbitMQ and every other client read it), which amqplib 2.3 does not know: it would end the connection, and
 * again at every redelivery. The same eight bytes under `l` mean the same.
 *
 * Rule: only content headers are looked into; bytes are changed in place and passed on as they come, but for a header
 * that is cut in two, which waits for its rest.
 */
const frameHeader = 7
const contentHeader = 2
/** Class, weight, body size. */
const beforeFlags = 12
const [hasType, hasEncoding, hasHeaders] = [0x8000, 0x4000, 0x2000]

const octet = (letter: string): number => letter.charCodeAt(0)
const newLong = octet('L')
const oldLong = octet('l')
/** Bytes of a value after its type octet. */
const fixed: ReadonlyMap<number, number> = new Map([
  ...[...'tbB'].map((letter) => [octet(letter), 1] as const),
  ...[...'sUu'].map((letter) => [octet(letter), 2] as const),
  ...[...'Iif'].map((letter) => [octet(letter), 4] as const),
  ...[...'LldT'].map((letter) => [octet(letter), 8] as const),
  [octet('D'), 5],
  [octet('V'), 0],
])
const counted = new Set([...'Sx'].map(octet))
const table = octet('F')
const array = octet('A')

/** Passes on the bytes of one connection, from a frame's first byte on. */
export class FrameMender {
  #rest: Buffer | undefined
  /** Bytes still to come of a frame that is not looked into. */
  #skip = 0

  /** The bytes that may be read now; null when none. */
  push(chunk: Buffer): Buffer | null {
    const bytes = this.#rest === undefined ? chunk : Buffer.concat([this.#rest, chunk])
    this.#rest = undefined
    let offset = this.#skip
    while (offset < bytes.length) {
      const left = bytes.length - offset
      if (left < frameHeader) return this.#cut(bytes, offset)
      const end = offset + frameHeader + bytes.readUInt32BE(offset + 3) + 1
      if (bytes[offset] === contentHeader) {
        if (end > bytes.length) return this.#cut(bytes, offset)
        mendHeader(bytes, offset + frameHeader, end - 1)
      }
      offset = end
    }
    this.#skip = offset - bytes.length
    return bytes
  }

  #cut(bytes: Buffer, offset: number): Buffer | null {
    this.#skip = 0
    this.#rest = bytes.subarray(offset)
    return offset === 0 ? null : bytes.subarray(0, offset)
  }
}

/** Looks into the properties between `start` and `end`; gives up on what it does not understand. */
function mendHeader(bytes: Buffer, start: number, end: number): void {
  let offset = start + beforeFlags
  const flags = bytes.readUInt16BE(offset)
  if ((flags & hasHeaders) === 0) return
  const found = bytes.indexOf(newLong, offset)
  if (found < 0 || found >= end) return
  offset += 2
  for (const flag of [hasType, hasEncoding]) if (flags & flag) offset += 1 + (bytes[offset] ?? 0)
  const length = bytes.readUInt32BE(offset)
  mendFields(bytes, offset + 4, Math.min(end, offset + 4 + length), true)
}

function mendFields(bytes: Buffer, start: number, end: number, isNamed: boolean): void {
  let offset = start
  while (offset < end) {
    if (isNamed) offset += 1 + (bytes[offset] ?? 0)
    if (offset >= end) return
    const type = bytes[offset] ?? 0
    if (type === newLong) bytes[offset] = oldLong
    offset += 1
    const size = fixed.get(type)
    if (size !== undefined) {
      offset += size
      continue
    }
    if (offset + 4 > end) return
    const length = bytes.readUInt32BE(offset)
    offset += 4
    if (type === table || type === array)
      mendFields(bytes, offset, Math.min(end, offset + length), type === table)
    else if (!counted.has(type)) return
    offset += length
  }
}
