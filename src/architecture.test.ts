import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { describe, expect, it } from 'vitest'

/** The floors of the house (src/README.md): a file imports from a lower floor or from its own folder. */
const floors: Readonly<Record<string, number>> = {
  protocol: 0,
  'src/.': 1,
  'src/transport': 2,
  'src/backend': 3,
  'src/events': 3,
  'src/canvas': 4,
  'src/execution': 5,
  'src/app': 6,
  'src/pool': 6,
  'src/worker': 7,
  'src/beat': 7,
  'src/cli': 8,
  'src/testing': 8,
  'src/observability': 8,
}
/** The public doors only re-export. */
const doors = new Set(['src/index.ts'])
/** Pure packages that the wire may use; each is a codec. */
const protocolPackages = /^(node:(buffer|zlib|module)|msgpackr|yaml|.*(zstd|bzip2|lzma|xz|fzstd).*)$/

const root = resolve(import.meta.dirname, '..')

interface SourceFile {
  readonly path: string
  readonly text: string
  readonly lines: number
  readonly imports: readonly string[]
}

function sourceFiles(folder: string): SourceFile[] {
  return readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => relative(root, join(entry.parentPath, entry.name)))
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8')
      const imports = [
        ...text.matchAll(
          /^(?:import|export)\b[^'"]*?from '([^']+)'|\bimport\('([^']+)'\)|^import '([^']+)'/gm,
        ),
      ]
      return {
        path,
        text,
        lines: text.split('\n').length,
        imports: imports.map((m) => m[1] ?? m[2] ?? m[3] ?? ''),
      }
    })
}

const isTest = (path: string): boolean => /\.(test|conformance|test-d)\.ts$/.test(path)
const files = [...sourceFiles('protocol'), ...sourceFiles('src')]
const code = files.filter((file) => !isTest(file.path))

/** The path of a relative import, as the file that is compiled; undefined for packages. */
function target(file: SourceFile, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined
  return relative(root, resolve(root, dirname(file.path), specifier)).replace(/\.js$/, '.ts')
}

function room(path: string): string {
  if (path.startsWith('protocol/')) return 'protocol'
  const [, folder, rest] = path.split('/')
  return rest === undefined ? 'src/.' : `src/${folder}`
}

describe('the house', () => {
  it('finds its own source', () => {
    expect(code.length).toBeGreaterThan(40)
    expect(code.flatMap((file) => file.imports).length).toBeGreaterThan(100)
  })

  it('imports downward only, types included', () => {
    const upward: string[] = []
    for (const file of code) {
      if (doors.has(file.path)) continue
      for (const specifier of file.imports) {
        const to = target(file, specifier)
        if (to === undefined || room(to) === room(file.path)) continue
        const from = floors[room(file.path)]
        const floor = floors[room(to)]
        if (from === undefined || floor === undefined || floor >= from) upward.push(`${file.path} -> ${to}`)
      }
    }
    expect(upward).toEqual([])
  })

  it('has no import cycle, types included', () => {
    const edges = new Map(code.map((file) => [file.path, file.imports.flatMap((s) => target(file, s) ?? [])]))
    const state = new Map<string, 'open' | 'done'>()
    const cycles: string[] = []
    const visit = (path: string, trail: readonly string[]): void => {
      if (state.get(path) === 'done') return
      if (state.get(path) === 'open') {
        cycles.push([...trail.slice(trail.indexOf(path)), path].join(' -> '))
        return
      }
      state.set(path, 'open')
      for (const next of edges.get(path) ?? []) visit(next, [...trail, path])
      state.set(path, 'done')
    }
    for (const path of edges.keys()) visit(path, [])
    expect(cycles).toEqual([])
  })

  it('keeps the wire pure: protocol/ imports itself and named codecs only, and reads no clock and no randomness', () => {
    const impure: string[] = []
    for (const file of code.filter((f) => f.path.startsWith('protocol/'))) {
      for (const specifier of file.imports) {
        if (!specifier.startsWith('.') && !protocolPackages.test(specifier))
          impure.push(`${file.path} imports ${specifier}`)
        if (target(file, specifier)?.startsWith('src/')) impure.push(`${file.path} imports ${specifier}`)
      }
      for (const [word] of file.text.matchAll(
        /\b(Date\.now|Math\.random|randomUUID|performance\.now|new Date\(\)|process\.\w+)/g,
      )) {
        impure.push(`${file.path} uses ${word}`)
      }
    }
    expect(impure).toEqual([])
  })

  it('keeps files short enough to read', () => {
    const tables = new Set(['src/app/settings.ts'])
    const long = code.filter((file) => file.lines > 501 && !tables.has(file.path))
    expect(long.map((file) => `${file.path}: ${file.lines}`)).toEqual([])
  })

  it('touches the process only in the command line and the pool child', () => {
    const found: string[] = []
    for (const file of code) {
      if (file.path.startsWith('src/cli/') || file.path === 'src/pool/child.ts') continue
      for (const [word] of file.text.matchAll(/\bprocess\.(exit|exitCode|on|once|argv)\b/g))
        found.push(`${file.path}: ${word}`)
    }
    expect(found).toEqual([])
  })

  it('reads the time in one place', () => {
    const found = code
      .filter((file) => file.path.startsWith('src/') && file.path !== 'src/clock.ts')
      .flatMap((file) =>
        [...file.text.matchAll(/\b(Date\.now\(|new Date\(\)|performance\.now\()/g)].map(
          ([w]) => `${file.path}: ${w}`,
        ),
      )
    expect(found).toEqual([])
  })

  it('has no drawer for things without a name', () => {
    const drawers = /(^|\/)(utils?|common|core|helpers?|types|misc|interfaces|models)(\.ts$|\/)/
    expect(code.map((file) => file.path).filter((path) => drawers.test(path))).toEqual([])
  })

  it('has no holes in its types', () => {
    const found = code.flatMap((file) =>
      [...file.text.matchAll(/: any\b|<any>|\bas any\b|@ts-ignore|@ts-expect-error/g)].map(
        ([w]) => `${file.path}: ${w}`,
      ),
    )
    expect(found).toEqual([])
  })

  it('documents every exported name', () => {
    const bare: string[] = []
    for (const file of code) {
      if (file.path.endsWith('index.ts')) continue
      const lines = file.text.split('\n')
      lines.forEach((line, i) => {
        const match =
          /^export (?:declare )?(?:abstract |async )*(?:class|function\*?|const|interface|type) (\w+)/.exec(
            line,
          )
        if (match === null) return
        const above = (lines[i - 1] ?? '').trim()
        // Overloads of one function share the docstring of the first.
        const isOverload =
          new RegExp(`^export (async )?function ${match[1]}\\b`).test(above) || above.startsWith(')')
        if (!above.endsWith('*/') && !isOverload) bare.push(`${file.path}: ${match[1]}`)
      })
    }
    expect(bare).toEqual([])
  })
})
