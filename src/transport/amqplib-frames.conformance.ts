/** How amqplib itself reads and writes AMQP, to compare with; not part of what it exports. */
import { createRequire } from 'node:module'

/** A frame as amqplib reads it: of a method its fields, of a content header the properties and `size`, of a body `content`. */
export interface LibFrame {
  readonly channel: number
  readonly id?: number
  readonly size?: number
  readonly fields?: Record<string, unknown>
  readonly content?: Buffer
}

/** A frame that was told from the bytes behind it. */
export interface LibParsed {
  readonly type: number
  readonly size: number
  readonly rest: Buffer
}

const lib = createRequire(createRequire(import.meta.url).resolve('amqplib'))

/** amqplib's own reader. */
export const { parseFrame, decodeFrame } = lib('./lib/frame.js') as {
  parseFrame(bytes: Buffer, max: number): LibParsed | false
  decodeFrame(frame: LibParsed): LibFrame
}

/** amqplib's own writer: numbers name methods, and the properties of a message. */
export const { encodeMethod, encodeProperties, BasicDeliver, BasicProperties } = lib('./lib/defs.js') as {
  encodeMethod(method: number, channel: number, fields: Record<string, unknown>): Buffer
  encodeProperties(kind: number, channel: number, size: number, fields: Record<string, unknown>): Buffer
  readonly BasicDeliver: number
  readonly BasicProperties: number
}

/** Bytes as frames, the last of which must be whole. */
export function framesOf(bytes: Buffer): readonly { readonly parsed: LibParsed; readonly frame: LibFrame }[] {
  const frames = []
  for (let rest = bytes; rest.length > 0; ) {
    const parsed = parseFrame(rest, 0)
    if (parsed === false) throw new Error('half a frame')
    rest = parsed.rest
    frames.push({ parsed, frame: decodeFrame(parsed) })
  }
  return frames
}
