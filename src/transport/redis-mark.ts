import { markLength, ownerMarkLength } from './redis-scripts.js'

const blanks = [' ', '\t', '\n', '\r'] as const

/**
 * Makes the marks of one connection (redis-scripts.ts, rule 3): white space that names the connection, then the claim.
 * `id` is a random UUID.
 */
export class MarkMaker {
  /** The part that all marks of this connection share. */
  readonly owner: string
  #claims = 0

  constructor(id: string) {
    this.owner = blankText(id.replaceAll('-', ''), ownerMarkLength)
  }

  /** The mark of the next claim; no two claims of a connection share one. */
  next(): string {
    this.#claims = (this.#claims + 1) % 2 ** 32
    const rest = markLength - ownerMarkLength
    return this.owner + blankText(this.#claims.toString(16).padStart(rest / 2, '0'), rest)
  }
}

/** What stands in a parked mark where others name their connection: it is nobody's. */
export const parkedOwner = blankText('f'.repeat(ownerMarkLength / 2), ownerMarkLength)

/**
 * The mark of a parked message (redis-scripts.ts, rule 6). In place of a claim it tells how many bytes the envelope
 * has, so that a script finds it again without reading JSON.
 */
export function parkedMark(size: number): string {
  const rest = markLength - ownerMarkLength
  return parkedOwner + blankText(size.toString(16).padStart(rest / 2, '0'), rest)
}

/** Two blanks for each hexadecimal digit. */
function blankText(hex: string, length: number): string {
  let text = ''
  for (const digit of hex.slice(0, length / 2)) {
    const value = Number.parseInt(digit, 16)
    text += `${blanks[value >> 2]}${blanks[value & 3]}`
  }
  return text
}
