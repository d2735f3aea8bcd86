import { readFileSync } from 'node:fs'
import { describe, expect, expectTypeOf, it } from 'vitest'
import {
  camelCase,
  environmentVariables,
  oldNames,
  type Settings,
  type SettingsInput,
  settingName,
  settingNames,
  settingRow,
  settingsTable,
} from './settings.js'
import { settingsMarkdown } from './settings-markdown.js'

describe('the settings table', () => {
  it('CFG-001 knows 198 settings, four of them from the main branch', () => {
    const names = Object.keys(settingsTable) as (keyof typeof settingsTable)[]
    expect(names).toHaveLength(198)
    const recent = names.filter((name) => settingRow(name).since === 'main')
    expect(recent.sort()).toEqual([
      'broker_pool_acquire_timeout',
      'database_engine_callback',
      'task_acks_on_failure',
      'task_acks_on_timeout',
    ])
  })

  it('CFG-002 goes from each name to camelCase and back without losing any', () => {
    expect(new Set(settingNames.map(camelCase)).size).toBe(settingNames.length)
    for (const name of settingNames) {
      expect(settingName(camelCase(name))).toBe(name)
      expect(settingName(name)).toBe(name)
    }
    expect(camelCase('s3_access_key_id')).toBe('s3AccessKeyId')
    expect(settingName('toString')).toBeUndefined()
  })

  it('CFG-002 gives every declared setting an old spelling', () => {
    expect(oldNames('task_acks_late')).toEqual(['CELERY_ACKS_LATE'])
    expect(oldNames('broker_url')).toEqual(['BROKER_URL'])
    expect(oldNames('worker_concurrency')).toEqual(['CELERYD_CONCURRENCY'])
    expect(oldNames('redis_client_name')).toEqual([])
  })

  it('knows what Celery reads without declaring it: CFG-008 variables and CFG-009 settings', () => {
    expect(settingName('redis_backend_health_check_interval')).toBeDefined()
    expect(settingName('worker_pidfile')).toBeDefined()
    expect(environmentVariables.CELERY_WORKER_REVOKES_MAX.default).toBe(50000)
    expect(environmentVariables.CELERY_WORKER_SUCCESSFUL_EXPIRES.default).toBe(10800)
    expect(environmentVariables.AUTOSCALE_KEEPALIVE.default).toBe(30)
  })

  it('says of each Python-only setting why', () => {
    const pythonOnly = settingNames.filter((name) => settingRow(name).python !== undefined)
    expect(pythonOnly).toContain('worker_autoscaler')
    expect(pythonOnly).not.toContain('task_routes')
  })

  it('types settings by their values', () => {
    expectTypeOf<Settings['taskAcksLate']>().toEqualTypeOf<boolean>()
    expectTypeOf<Settings['resultBackend']>().toEqualTypeOf<string | null>()
    expectTypeOf<Settings['resultExpires']>().toEqualTypeOf<number | null>()
    expectTypeOf<Settings['taskDefaultDeliveryMode']>().toEqualTypeOf<1 | 2>()
    expectTypeOf<Settings['taskDefaultRoutingKey']>().toEqualTypeOf<string>()
    expectTypeOf<{ brokerUrl: string[]; resultExpires: { days: number } }>().toExtend<SettingsInput>()
    expectTypeOf<{ taskAcksLate: string }>().not.toExtend<SettingsInput>()
  })

  it('is what docs/settings.md shows', () => {
    const page = readFileSync(new URL('../../docs/settings.md', import.meta.url), 'utf8')
    expect(page).toBe(settingsMarkdown())
  })
})
