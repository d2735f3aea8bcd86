/** Whole canvases on TypeScript alone: tasks, worker and client, over a broker in memory. */
import { readFileSync } from 'node:fs'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { idsIn, testTitles } from '../../scripts/conformance.js'
import { MemoryResults } from '../backend/memory.js'
import { canvasRows } from './canvas-row-table.conformance.js'
import { rowTasks } from './canvas-row-tasks.conformance.js'
import {
  answerOf,
  expectRow,
  inLanguages,
  leastNotes,
  type RowAnswer,
  type RowNote,
} from './canvas-rows.conformance.js'
import { Celery } from './celery.js'
import { Trial, until } from './trial.test.setup.js'

const answers = new Map<string, RowAnswer>()
const notes: RowNote[] = []
const memoryResults = new MemoryResults()
let trial: Trial
let flagged: Celery

beforeAll(async () => {
  trial = new Trial({ memoryResults })
  flagged = new Celery('flagged', {
    brokerUrl: trial.url,
    resultBackend: 'cache+memory://',
    memoryResults,
    taskAllowErrorCbOnChordHeader: true,
  })
  for (const lang of ['py', 'node'] as const) rowTasks(trial.app, lang, (tag, id) => notes.push({ tag, id }))
  await trial.started({ concurrency: 20 })
  await Promise.all(
    canvasRows.map(async ({ name, canvas, call, flag }) => {
      const sent = inLanguages(canvas, ['py', 'node'], `${name}: `)
      answers.set(name, await answerOf(flag ? flagged : trial.app, sent, call, 15))
    }),
  )
  const expected = leastNotes(canvasRows)
  await until('all has been noted', () => notes.length >= expected)
  await until('nothing is left to do', async () => (await trial.waiting()) === 0)
})
afterAll(async () => {
  await trial[Symbol.asyncDispose]()
  await flagged.close()
})

it.each(canvasRows.map((row) => [row.name, row] as const))(
  'CNV-042 CNV-045 CNV-059 CNV-063 CNV-072 CNV-083 CNV-086 CNV-093 CNV-099..101 CNV-107 CNV-113 CNV-116 CNV-117 CNV-135 CNV-143 CNV-147..175 CNV-179..194 CNV-196..207 CNV-209 CNV-212 %s',
  (name, row) =>
    expectRow(
      row,
      answers.get(name),
      notes.filter(({ tag }) => tag.startsWith(`${name}: `)),
    ),
)

it('names in the title above the rows that have a canvas, and no others', () => {
  const [title] = testTitles(readFileSync(import.meta.filename, 'utf8'))
  const shown = new Set(canvasRows.flatMap(({ name }) => idsIn(name)))
  expect([...new Set(idsIn(title ?? ''))].sort()).toEqual([...shown].sort())
})
