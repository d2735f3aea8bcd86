import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { describe, expect, it } from 'vitest'
import { oldNames, type SettingName, settingRow, settingsTable } from '../src/app/settings.js'

const python = fileURLToPath(new URL('../.venv/bin/python', import.meta.url))

const dump = `
import json
from datetime import timedelta
from celery.app import defaults
def plain(value):
    if isinstance(value, timedelta): return value.total_seconds()
    if value == float('inf'): return 'Infinity'
    return value
print(json.dumps({name: {
    'type': opt.type if isinstance(opt.type, str) else opt.type.__name__,
    'default': plain(opt.default),
    'old': defaults._TO_OLD_KEY[name],
} for name, opt in defaults.flatten(defaults.NAMESPACES)}))
`

interface Declared {
  readonly type: string
  readonly default: unknown
  readonly old: string
}

/** Where ours says more than Celery's word, or the word is wrong (a priority is no text). */
const typeWords: Readonly<Record<string, readonly string[]>> = {
  string: ['string', 'str'],
  list: ['list', 'tuple'],
  urls: ['string'],
  'bool or dict': ['bool'],
  duration: ['float'],
  'delivery mode': ['string'],
  'exchange type': ['string'],
  'rate limit': ['string'],
  'list or dict': ['dict'],
}

describe('the settings table beside the running Celery', () => {
  const declared = JSON.parse(execFileSync(python, ['-c', dump], { encoding: 'utf8' })) as Record<
    string,
    Declared
  >
  const ours = (Object.keys(settingsTable) as SettingName[]).filter(
    (name) => settingRow(name).since === undefined,
  )

  it('CFG-001 has exactly its names', () => {
    expect([...ours].sort()).toEqual(Object.keys(declared).sort())
    expect(ours).toHaveLength(194)
  })

  it('knows CFG-014..211 with the defaults of Celery', () => {
    const defaults = ours.map((name) => {
      const value = settingRow(name).default
      return [name, value === Number.POSITIVE_INFINITY ? 'Infinity' : value]
    })
    expect(Object.fromEntries(defaults)).toEqual(
      Object.fromEntries(Object.entries(declared).map(([name, option]) => [name, option.default])),
    )
  })

  it('CFG-002 has its old spellings', () => {
    expect(Object.fromEntries(ours.map((name) => [name, oldNames(name)]))).toEqual(
      Object.fromEntries(Object.entries(declared).map(([name, option]) => [name, [option.old]])),
    )
  })

  it('has its types', () => {
    const wrong = ours.filter((name) => {
      const { type } = settingRow(name)
      return !(typeWords[type] ?? [type]).includes(declared[name]?.type ?? '')
    })
    expect(wrong).toEqual(['task_default_priority'])
  })
})
