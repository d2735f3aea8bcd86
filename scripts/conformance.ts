/**
 * `npm run conformance`: for every row of docs/celery-surface.md, which test shows it, why it does not apply, or that
 * it is open. Writes docs/conformance.md; with `--check` it only says whether that file is up to date.
 *
 * A test shows a row by naming its id in its title: it('PUB-007 sends timelimit as [hard, soft]', ...). A title that
 * begins with "knows" proves only that a setting is there with Celery's type and default: the row is then *known*.
 */
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join, relative, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '..')
const surfaceFile = join(root, 'docs', 'celery-surface.md')
const notApplicableFile = join(root, 'docs', 'not-applicable.json')
const reportFile = join(root, 'docs', 'conformance.md')

interface Row {
  readonly id: string
  readonly section: string
  readonly text: string
}
interface Shown {
  readonly file: string
  readonly title: string
}

/** The rows of the checklist, in its order. */
export function surfaceRows(markdown: string): Row[] {
  let section = ''
  const rows: Row[] = []
  for (const line of markdown.split('\n')) {
    if (line.startsWith('## Appendix')) break
    if (line.startsWith('## ')) section = line.slice(3).trim()
    const match = /^\| ([A-Z]{3}-\d{3}) \| (.*?) \|/.exec(line)
    if (match?.[1] !== undefined)
      rows.push({ id: match[1], section, text: (match[2] ?? '').replaceAll('**', '') })
  }
  return rows
}

/** The ids in a title; `CFG-014..017` means all four. */
export function idsIn(title: string): string[] {
  const ids: string[] = []
  for (const [, prefix, first, last] of title.matchAll(/\b([A-Z]{3})-(\d{3})(?:\.\.(\d{3}))?\b/g)) {
    for (let n = Number(first); n <= Number(last ?? first); n++)
      ids.push(`${prefix}-${String(n).padStart(3, '0')}`)
  }
  return ids
}

/** Titles of the tests in a file; skipped ones show nothing. */
export function testTitles(source: string): string[] {
  const titles: string[] = []
  for (const call of source.matchAll(/\b(?:it|test|describe)((?:\.\w+)*)(?:<[^()`'"]*>)?(?=[(`])/g)) {
    const [text, modifiers = ''] = call
    if (/\.(skip|todo)\b/.test(modifiers)) continue
    let at = call.index + text.length
    // What stands between `it.each` and the title: a table in parentheses, or a template.
    if (/\.(each|for|skipIf|runIf)$/.test(modifiers)) at = endOfPart(source, at)
    const title = /^\(\s*(?<quote>['"`])(?<title>(?:\\.|(?!\k<quote>)[\s\S])*)\k<quote>/.exec(
      source.slice(at),
    )
    if (title?.groups?.['title'] !== undefined) titles.push(title.groups['title'])
  }
  return titles
}

/** Where the parentheses or the template that begin at `start` end, whatever is nested in them. */
function endOfPart(source: string, start: number): number {
  const tokens =
    /\/\/.*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"|`(?:\\[\s\S]|[^`\\])*`|[()]/g
  tokens.lastIndex = start
  let depth = 0
  for (let token = tokens.exec(source); token !== null; token = tokens.exec(source)) {
    if (token[0] === '(') depth++
    else if (token[0] === ')') depth--
    if (depth === 0 && !token[0].startsWith('/')) return tokens.lastIndex
  }
  return source.length
}

function testFiles(): string[] {
  return ['protocol', 'src', 'interop-tests'].flatMap((folder) =>
    readdirSync(join(root, folder), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile() && /\.(test|conformance)\.ts$/.test(entry.name))
      .map((entry) => join(entry.parentPath, entry.name)),
  )
}

function report(): {
  text: string
  open: number
  shown: number
  known: number
  notApplicable: number
  unknown: string[]
} {
  const rows = surfaceRows(readFileSync(surfaceFile, 'utf8'))
  const reasons = JSON.parse(readFileSync(notApplicableFile, 'utf8')) as Record<string, string>
  const notApplicable = new Map(
    Object.entries(reasons).flatMap(([ids, reason]) => idsIn(ids).map((id) => [id, reason] as const)),
  )
  const tests = new Map<string, Shown[]>()
  for (const file of testFiles().sort()) {
    for (const title of testTitles(readFileSync(file, 'utf8'))) {
      for (const id of idsIn(title))
        tests.set(id, [...(tests.get(id) ?? []), { file: relative(root, file), title }])
    }
  }
  const known = new Set(rows.map((row) => row.id))
  const unknown = [...new Set([...tests.keys(), ...notApplicable.keys()])].filter((id) => !known.has(id))
  const state = (row: Row): 'shown' | 'known' | 'n/a' | 'open' => {
    const titles = tests.get(row.id) ?? []
    if (titles.some((test) => !test.title.startsWith('knows '))) return 'shown'
    if (notApplicable.has(row.id)) return 'n/a'
    return titles.length > 0 ? 'known' : 'open'
  }

  const sections = [...new Set(rows.map((row) => row.section))]
  const count = (list: readonly Row[], what: string): number =>
    list.filter((row) => state(row) === what).length
  const out = [
    '# Conformance',
    '',
    'Written by `npm run conformance`; do not edit. Each row of [celery-surface.md](celery-surface.md) is *shown* by a',
    'test that names it, does *not apply* to TypeScript (with the reason), or is *open*. A setting is *known* when it is',
    "accepted with Celery's type and default (compared with the real Celery) but no test shows its effect.",
    '',
    '| section | rows | shown | known | does not apply | open |',
    '|---|---:|---:|---:|---:|---:|',
    ...sections.map((section) => {
      const list = rows.filter((row) => row.section === section)
      return `| ${section} | ${list.length} | ${count(list, 'shown')} | ${count(list, 'known')} | ${count(list, 'n/a')} | ${count(list, 'open')} |`
    }),
    `| **all** | ${rows.length} | ${count(rows, 'shown')} | ${count(rows, 'known')} | ${count(rows, 'n/a')} | ${count(rows, 'open')} |`,
  ]
  for (const section of sections) {
    out.push('', `## ${section}`, '', '| row | what | state | shown by |', '|---|---|---|---|')
    for (const row of rows.filter((r) => r.section === section)) {
      const by = [...new Set((tests.get(row.id) ?? []).map((t) => `\`${t.file}\``))].slice(0, 3).join(', ')
      const what = row.text.length > 110 ? `${row.text.slice(0, 107)}...` : row.text
      out.push(`| ${row.id} | ${what} | ${state(row)} | ${by || (notApplicable.get(row.id) ?? '')} |`)
    }
  }
  return {
    text: `${out.join('\n')}\n`,
    open: count(rows, 'open'),
    shown: count(rows, 'shown'),
    known: count(rows, 'known'),
    notApplicable: count(rows, 'n/a'),
    unknown,
  }
}

if (process.argv[1] !== undefined && resolve(process.argv[1]) === import.meta.filename) {
  const { text, open, shown, known, notApplicable, unknown } = report()
  for (const id of unknown)
    console.error(`conformance: ${id} is cited but is not a row of docs/celery-surface.md`)
  if (process.argv.includes('--check')) {
    if (readFileSync(reportFile, 'utf8') !== text) {
      console.error('conformance: docs/conformance.md is out of date; run npm run conformance')
      process.exitCode = 1
    }
  } else {
    writeFileSync(reportFile, text)
    const isJson = process.argv.includes('--json')
    if (isJson) console.log(JSON.stringify({ shown, known, notApplicable, open }))
    else {
      console.log(text.split('\n## ')[0])
      console.log(
        `${shown} shown, ${known} known, ${notApplicable} do not apply, ${open} open; docs/conformance.md written`,
      )
    }
  }
  if (unknown.length > 0) process.exitCode = 1
}
