/**
 * `npm run diagrams`: draws the canvases of docs/canvas.md into docs/canvas/*.svg, from the signatures themselves, so
 * that a picture shows what the library makes of the code beside it.
 */
import { mkdirSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import {
  type AnyResult,
  Celery,
  Chain,
  Chord,
  Chunks,
  chain,
  chord,
  Group,
  group,
  Mapped,
  Signature,
} from '../src/index.js'

export const folder = resolve(import.meta.dirname, '..', 'docs', 'canvas')

interface Picture {
  readonly width: number
  readonly height: number
  /** Places where arrows arrive and leave, below the top. */
  readonly inY: readonly number[]
  readonly outY: readonly number[]
  draw(x: number, y: number): string
}

type Part = Signature<readonly unknown[], unknown, AnyResult>

const GAP = 46
const ROW = 14
const PAD = 14
const LINE = 34

const escaped = (text: string): string =>
  text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')

function box(text: string, kind = 'task'): Picture {
  const width = Math.max(48, text.length * 7.4 + 22)
  return {
    width,
    height: LINE,
    inY: [LINE / 2],
    outY: [LINE / 2],
    draw: (x, y) =>
      `<rect class="${kind}" x="${x}" y="${y}" width="${width}" height="${LINE}" rx="7"/>` +
      `<text x="${x + width / 2}" y="${y + LINE / 2 + 4.5}">${escaped(text)}</text>`,
  }
}

function arrow(x1: number, y1: number, x2: number, y2: number, kind = 'arrow'): string {
  const bend = (x2 - x1) / 2
  const path = `M${x1} ${y1} C${x1 + bend} ${y1} ${x2 - bend} ${y2} ${x2 - 2} ${y2}`
  return `<path class="${kind}" d="${path}" marker-end="url(#head)"/>`
}

/** Side by side in time: one under the other, in a frame. */
function stacked(parts: readonly Picture[], label: string): Picture {
  const inner = Math.max(60, ...parts.map((part) => part.width))
  const top = PAD + 12
  const tops: number[] = []
  let height = top
  for (const part of parts) {
    tops.push(height)
    height += part.height + ROW
  }
  height += PAD - ROW
  const left = (part: Picture): number => PAD + (inner - part.width) / 2
  const width = inner + 2 * PAD
  return {
    width,
    height,
    inY: parts.flatMap((part, i) => part.inY.map((y) => y + (tops[i] ?? 0))),
    outY: parts.flatMap((part, i) => part.outY.map((y) => y + (tops[i] ?? 0))),
    draw: (x, y) =>
      `<rect class="frame" x="${x}" y="${y}" width="${width}" height="${height}" rx="10"/>` +
      `<text class="label" x="${x + 10}" y="${y + 16}">${label}</text>` +
      parts.map((part, i) => part.draw(x + left(part), y + (tops[i] ?? 0))).join(''),
  }
}

/** After each other in time: from left to right, with arrows. */
function inLine(parts: readonly Picture[]): Picture {
  const height = Math.max(...parts.map((part) => part.height))
  const width = parts.reduce((sum, part) => sum + part.width, 0) + GAP * (parts.length - 1)
  const top = (part: Picture): number => (height - part.height) / 2
  const at = (part: Picture | undefined, places: readonly number[]): readonly number[] =>
    part === undefined ? [] : places.map((y) => y + top(part))
  return {
    width,
    height,
    inY: at(parts[0], parts[0]?.inY ?? []),
    outY: at(parts.at(-1), parts.at(-1)?.outY ?? []),
    draw: (x, y) => {
      let left = x
      let before: { readonly x: number; readonly outY: readonly number[] } | undefined
      const drawn: string[] = []
      for (const part of parts) {
        const partTop = y + top(part)
        for (const from of before?.outY ?? []) {
          for (const to of part.inY) drawn.push(arrow(before?.x ?? 0, from, left, partTop + to))
        }
        drawn.push(part.draw(left, partTop))
        before = { x: left + part.width, outY: part.outY.map((out) => partTop + out) }
        left += part.width + GAP
      }
      return drawn.join('')
    },
  }
}

/** The picture with its callbacks under it. */
function withLinks(picture: Picture, signature: Part): Picture {
  const links = (['link', 'link_error'] as const).flatMap((name) => {
    const value = signature.options[name]
    const list = value === undefined ? [] : Array.isArray(value) ? value : [value]
    return list.map((one: unknown) => [name, box(one instanceof Signature ? String(one) : '', name)] as const)
  })
  if (links.length === 0) return picture
  const below = picture.height + 30
  return {
    ...picture,
    width: Math.max(picture.width, ...links.map(([, link]) => link.width + 160)),
    height: below + links.length * (LINE + 12) - 12,
    draw: (x, y) =>
      picture.draw(x, y) +
      links
        .map(([name, link], i) => {
          const top = y + below + i * (LINE + 12)
          const text = name === 'link' ? 'when it succeeds' : 'when it fails'
          const path = `M${x + 14} ${y + picture.height} V${top + LINE / 2} H${x + 28}`
          return (
            `<path class="arrow ${name}" d="${path}" marker-end="url(#head)"/>${link.draw(x + 32, top)}` +
            `<text class="label" x="${x + 40 + link.width}" y="${top + LINE / 2 + 4}">${text}</text>`
          )
        })
        .join(''),
  }
}

/** What a signature looks like. */
function pictureOf(signature: Part): Picture {
  if (signature instanceof Chain) return inLine(signature.tasks.map(pictureOf))
  if (signature instanceof Chord) {
    const header = stacked(signature.tasks.map(pictureOf), 'header')
    return inLine([header, pictureOf(signature.body)])
  }
  if (signature instanceof Group) return stacked(signature.tasks.map(pictureOf), 'group')
  if (signature instanceof Chunks) return pictureOf(signature.group())
  if (signature instanceof Mapped) return box(String(signature), 'map')
  return withLinks(box(String(signature)), signature)
}

const style = `
.task{fill:#e8f0fe;stroke:#3b6fb6}.map{fill:#f3ecfb;stroke:#7a4fb0}
.link{fill:#e9f7ec;stroke:#3d8b52}.link_error{fill:#fdecea;stroke:#b4493c}
.frame{fill:#fafbfc;stroke:#9aa4b1;stroke-dasharray:5 4}
.arrow{fill:none;stroke:#5b6573;stroke-width:1.4}path.link,path.link_error{fill:none;stroke-dasharray:4 3}
text{font:13px ui-monospace,SFMono-Regular,Menlo,monospace;fill:#1d2530;text-anchor:middle}
.label{font-size:11px;fill:#68717d;text-anchor:start}`

/** An SVG document of a signature. */
export function svgOf(signature: unknown): string {
  const picture = pictureOf(signature as Part)
  const width = Math.ceil(picture.width + 32)
  const height = Math.ceil(picture.height + 32)
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}" role="img">
<title>${escaped(String(signature))}</title>
<style>${style}</style>
<defs><marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 8 4 0 8z" fill="#5b6573"/></marker></defs>
<rect width="${width}" height="${height}" rx="8" fill="#fff"/>
${picture.draw(16, 16)}
</svg>
`
}

/** The pictures of docs/canvas.md, by file name. */
export function diagrams(): ReadonlyMap<string, string> {
  const app = new Celery('shop', { env: {} })
  const add = app.task('add', (x: number, y: number) => x + y)
  const xsum = app.task('xsum', (values: readonly number[]) => values.length)
  const tell = app.task('tell', (value: unknown) => value)
  const linked = add.s(2, 2)
  linked.link(tell.s())
  linked.linkError(tell.s())
  const header = group(add.s(1, 1), add.s(2, 2), add.s(3, 3))
  const pairs: [number, number][] = [
    [1, 1],
    [2, 2],
    [3, 3],
  ]
  const canvases: Readonly<Record<string, unknown>> = {
    link: linked,
    chain: chain(add.s(2, 2), add.s(4), add.s(8)),
    group: header,
    chord: chord(header, xsum.s()),
    upgrade: chain(add.s(1, 1), group(add.s(2), add.s(3)), xsum.s(), add.s(10)),
    nested: chord([chain(add.s(1, 1), add.s(2)), add.s(3, 3)], group(xsum.s(), tell.s())),
    map: xsum.map([
      [1, 2],
      [3, 4],
    ]),
    chunks: add.chunks(pairs, 2),
  }
  return new Map(Object.entries(canvases).map(([name, canvas]) => [`${name}.svg`, svgOf(canvas)]))
}

if (process.argv[1] === import.meta.filename) {
  mkdirSync(folder, { recursive: true })
  for (const [name, svg] of diagrams()) writeFileSync(join(folder, name), svg)
}
