/** The settings table as a page of documentation. */
import type { Setting } from './setting.js'
import {
  camelCase,
  environmentVariables,
  oldNames,
  type SettingName,
  settingsTable,
  undeclaredTable,
} from './settings.js'

const preface = `# Settings

Made from the table in \`src/app/settings.ts\` by \`scripts/settings-doc.ts\`; change the table, not this page.

Write settings in camelCase in TypeScript (\`new Celery('shop', { taskAcksLate: true })\`), by Celery's names in JSON or
YAML files and in dumps of a Python app (\`task_acks_late\`), and in the environment with a prefix
(\`CELERY_TASK_ACKS_LATE=1\`; JSON for lists and objects). Celery 3 spellings are read too, but not mixed with the new
ones. Times are seconds unless the name or the text says otherwise. The command line wins over the environment, that over
the constructor, that over a file.
`

/** All of `docs/settings.md`. */
export function settingsMarkdown(): string {
  const all = Object.entries({ ...settingsTable, ...undeclaredTable }) as [
    SettingName,
    Setting<unknown, unknown>,
  ][]
  const sections = [
    preface,
    '## All settings\n',
    '| Setting | In TypeScript | Type | Default | Meaning | Celery 3 |',
    '|---|---|---|---|---|---|',
    ...all.map(([name, row]) =>
      cells([
        `\`${name}\``,
        `\`${camelCase(name)}\``,
        row.type,
        `\`${shown(row.default)}\``,
        meaning(row),
        oldNames(name)
          .map((old) => `\`${old}\``)
          .join(' '),
      ]),
    ),
    '\n## Variables of the environment that are no settings\n',
    '| Variable | Default | Meaning |',
    '|---|---|---|',
    ...Object.entries(environmentVariables).map(([name, variable]) =>
      cells([`\`${name}\``, shown(variable.default), meaning(variable)]),
    ),
  ]
  return `${sections.join('\n')}\n`
}

function meaning(row: { readonly help: string; readonly python?: string; readonly since?: string }): string {
  const python = row.python === undefined ? '' : ` Python only: it ${row.python}.`
  return `${row.help}${python}${row.since === undefined ? '' : ' Not in a released Celery yet.'}`
}

function shown(value: unknown): string {
  return value === Number.POSITIVE_INFINITY ? 'Infinity' : JSON.stringify(value)
}

function cells(texts: readonly string[]): string {
  return `| ${texts.map((text) => text.replaceAll('|', '\\|')).join(' | ')} |`
}
