import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { loadApp } from './load-app.js'

/** An app as another copy of the package would make it: told by what it can do. */
const app = (name: string): string => `{ main: '${name}', conf: {}, worker() {}, sendTask() {} }`

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'celeriac-load-'))
  const files: Record<string, string> = {
    'app.mjs': `export const app = ${app('by-app')}\nexport const other = ${app('other')}\nexport const five = 5`,
    'celery.mjs': `export const celery = ${app('by-celery')}`,
    'main.mjs': `export default ${app('by-default')}`,
    'only.mjs': `export const shop = ${app('the-only-one')}`,
    'two.mjs': `export const a = ${app('a')}\nexport const b = ${app('b')}`,
    'none.mjs': 'export const five = 5',
    'empty.mjs': '',
    'broken.mjs': "throw new RangeError('out of cheese')",
    'package/celery.mjs': `export const celery = ${app('in-folder')}`,
    'deep/inside/tasks.mjs': `export const app = ${app('dotted')}`,
  }
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

describe('CLI-002 -A', () => {
  it.each([
    ['app.mjs', 'by-app'],
    ['./app', 'by-app'],
    ['app', 'by-app'],
    ['app:other', 'other'],
    ['app.mjs:other', 'other'],
    ['celery.mjs', 'by-celery'],
    ['main.mjs', 'by-default'],
    ['only.mjs', 'the-only-one'],
    ['package', 'in-folder'],
    ['.', 'by-app'],
    ['deep.inside.tasks', 'dotted'],
    ['deep/inside/tasks:app', 'dotted'],
  ])('finds the app of %s', async (spec, main) => {
    expect(await loadApp(spec, folder)).toMatchObject({ main })
  })

  it('takes an absolute path', async () => {
    expect(await loadApp(join(folder, 'app.mjs'), '/')).toMatchObject({ main: 'by-app' })
  })

  it.each([
    ['./nowhere', 'no file'],
    ['nowhere.ts', 'no file'],
    ['no-such-package', 'there is no file or package "no-such-package"'],
    ['none.mjs', 'exports no Celery app (its exports: five)'],
    ['empty.mjs', 'exports no Celery app (its exports: none)'],
    ['two.mjs', 'exports 2 apps: name one as two.mjs:NAME (its exports: a, b)'],
    ['app.mjs:five', 'five of app.mjs is not a Celery app'],
    ['app.mjs:nothing', 'nothing of app.mjs is not exported'],
    ['broken.mjs', 'out of cheese'],
  ])('CLI-004 says what is wrong with %s, and that it is usage', async (spec, text) => {
    await expect(loadApp(spec, folder)).rejects.toMatchObject({
      exitCode: 2,
      message: expect.stringContaining(text),
    })
  })
})
