/** Writes docs/settings.md from the settings table; with `--check` it only says whether the file is up to date. */
import { readFileSync, writeFileSync } from 'node:fs'
import { settingsMarkdown } from '../src/app/settings-markdown.js'

const path = new URL('../docs/settings.md', import.meta.url)
const text = settingsMarkdown()
if (!process.argv.includes('--check')) {
  writeFileSync(path, text)
} else if (readFileSync(path, 'utf8') !== text) {
  console.error('docs/settings.md is not what the table says: run npx tsx scripts/settings-doc.ts')
  process.exitCode = 1
}
