/** What commands print: text for people, one JSON value with `--json`. */
import { styleText } from 'node:util'

/** Where output goes, and how it looks. */
export interface Output {
  readonly json: boolean
  readonly color: boolean
  readonly quiet: boolean
  /** A line on standard output. */
  line(text: string): void
  /** A line on standard error, red on a terminal. */
  error(text: string): void
  /** One value: JSON with `--json`, otherwise what `text` makes of it. */
  value<T>(value: T, text: (value: T) => string): void
}

/** Colours only on a terminal, and never with `--no-color` or NO_COLOR. */
export function createOutput(options: {
  readonly json: boolean
  readonly color: boolean
  readonly quiet: boolean
  readonly stdout: NodeJS.WritableStream
  readonly stderr: NodeJS.WritableStream
}): Output {
  const { json, color, quiet, stdout, stderr } = options
  const line = (text: string): void => void stdout.write(`${text}\n`)
  return {
    json,
    color,
    quiet,
    line,
    error: (text) =>
      void stderr.write(`${color ? styleText('red', text, { validateStream: false }) : text}\n`),
    value: (value, text) => line(json ? toJson(value) : text(value)),
  }
}

/** JSON of values that may hold bigints, Maps and celeriac's own classes. */
export function toJson(value: unknown): string {
  return (
    JSON.stringify(value, (_, v: unknown) =>
      typeof v === 'bigint' ? v.toString() : v instanceof Uint8Array ? Buffer.from(v).toString('base64') : v,
    ) ?? 'null'
  )
}

/** Rows in columns as wide as their widest cell, with a header line. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((title, i) => Math.max(title.length, ...rows.map((row) => (row[i] ?? '').length)))
  const lines = [header, widths.map((width) => '-'.repeat(width)), ...rows]
  return lines
    .map((cells) =>
      cells
        .map((cell, i) => cell.padEnd(widths[i] ?? 0))
        .join('  ')
        .trimEnd(),
    )
    .join('\n')
}
