import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { kw } from '../canvas/kw.js'
import { App } from './app.js'

let folder: string
let app: App

/** The id, task and positional arguments of every message in the folder. */
async function sent(): Promise<{ id: string; task: string; args: unknown[]; kwargs: object }[]> {
  const names = await readdir(join(folder, 'broker')).catch(() => [])
  const files = names.filter((name) => name.endsWith('.msg'))
  return Promise.all(
    files.map(async (name) => {
      const raw = JSON.parse(await readFile(join(folder, 'broker', name), 'utf8'))
      const [args, kwargs] = JSON.parse(Buffer.from(raw.body, 'base64').toString())
      return { id: raw.headers.id, task: raw.headers.task, args, kwargs }
    }),
  )
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'celeriac-many-'))
  app = new App('shop', {
    brokerUrl: `filesystem://${folder}/broker`,
    resultBackend: `file://${folder}/results`,
    env: {},
  })
})
afterEach(async () => {
  await app.close()
  await rm(folder, { recursive: true, force: true })
})

describe('sending many tasks in one call', () => {
  it('sends each call of delayMany as delay would, with results in the order of the calls', async () => {
    const add = app.task('shop.add', { params: ['x', 'y'] }, (x: number, y: number) => x + y)
    const results = await add.delayMany([
      [1, 2],
      [3, kw({ y: 4 })],
    ])
    const messages = new Map((await sent()).map((message) => [message.id, message]))
    expect(results.map(({ id }) => messages.get(id))).toMatchObject([
      { task: 'shop.add', args: [1, 2], kwargs: {} },
      { task: 'shop.add', args: [3], kwargs: { y: 4 } },
    ])
    expect(messages.size).toBe(2)
  })

  it('sends nothing when one of the calls does not fit, and nothing for no calls', async () => {
    const add = app.task('shop.add', { params: ['x', 'y'] }, (x: number, y: number) => x + y)
    const calls = [[1, 2], [1]] as unknown as [number, number][]
    await expect(add.delayMany(calls)).rejects.toThrow(TypeError)
    await expect(add.delayMany([])).resolves.toEqual([])
    expect(await sent()).toEqual([])
  })

  it('sends tasks by their names, each with its own options', async () => {
    const results = await app.sendTasks([
      { name: 'py.one', args: [1], taskId: 'first' },
      { name: 'py.two', kwargs: { x: 2 }, queue: 'other' },
    ])
    expect(results[0]?.id).toBe('first')
    expect((await sent()).map(({ task }) => task).sort()).toEqual(['py.one', 'py.two'])
  })

  it('sends all through every wrap, changed ones as the wrap left them', async () => {
    app.interceptors.aroundPublish((request, next) => next({ ...request, kwargs: { seen: true } }))
    const [one] = await app.sendTasks([
      { name: 'py.one', args: [1] },
      { name: 'py.one', args: [2] },
    ])
    expect(await sent()).toMatchObject([{ kwargs: { seen: true } }, { kwargs: { seen: true } }])
    expect(one?.id).toMatch(/^[0-9a-f-]{36}$/)
  })

  it('sends nothing when a wrap throws instead of going on', async () => {
    app.interceptors.aroundPublish((request, next) => {
      if (request.args[0] === 2) throw new Error('not this one')
      return next(request)
    })
    const calls = [1, 2, 3].map((x) => ({ name: 'py.one', args: [x] }))
    await expect(app.sendTasks(calls)).rejects.toThrow('not this one')
    expect(await sent()).toEqual([])
  })

  it('runs them here, in order, with taskAlwaysEager', async () => {
    const eager = new App('shop', { taskAlwaysEager: true, env: {} })
    const add = eager.task('shop.add', (x: number) => x + 1)
    const results = await add.delayMany([[1], [2]])
    expect(await Promise.all(results.map((result) => result.get()))).toEqual([2, 3])
    await eager.close()
  })
})
