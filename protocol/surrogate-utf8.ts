/** UTF-8 as Python's `surrogatepass` has it, where a lone surrogate has three bytes: pickle writes all text so. */
import { isUtf8 } from 'node:buffer'
import { DecodeError } from './errors.js'

/** Text to bytes; lone surrogates survive. */
export function encodeSurrogateUtf8(text: string): Buffer {
  if (!/\p{Surrogate}/u.test(text)) return Buffer.from(text, 'utf8')
  const parts: Buffer[] = []
  for (const piece of text.split(/(\p{Surrogate})/u)) {
    const unit = piece.length === 1 ? piece.charCodeAt(0) : 0
    if (unit >= 0xd800 && unit <= 0xdfff) {
      parts.push(Buffer.from([0xe0 | (unit >> 12), 0x80 | ((unit >> 6) & 0x3f), 0x80 | (unit & 0x3f)]))
    } else parts.push(Buffer.from(piece, 'utf8'))
  }
  return Buffer.concat(parts)
}

/** Bytes to text. Throws `DecodeError` for bytes that are not UTF-8 even so. */
export function decodeSurrogateUtf8(bytes: Buffer): string {
  if (isUtf8(bytes)) return bytes.toString('utf8')
  let text = ''
  let start = 0
  for (let at = 0; at + 2 < bytes.length; at++) {
    if (bytes[at] !== 0xed || ((bytes[at + 1] as number) & 0xe0) !== 0xa0) continue
    const [second, third] = [bytes[at + 1] as number, bytes[at + 2] as number]
    if ((third & 0xc0) !== 0x80) break
    text += strict(bytes.subarray(start, at))
    text += String.fromCharCode(0xd000 | ((second & 0x3f) << 6) | (third & 0x3f))
    at += 2
    start = at + 1
  }
  return text + strict(bytes.subarray(start))
}

function strict(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw new DecodeError('Pickled text is not valid UTF-8')
  return bytes.toString('utf8')
}
