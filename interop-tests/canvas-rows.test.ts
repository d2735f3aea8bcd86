/**
 * The whole canvases of surface 9.10 with tasks of both languages by turns, sent from Python and from TypeScript: each
 * ends as it does where only Celery runs, asked in the same run.
 */
import { appendFileSync, readFileSync } from 'node:fs'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { idsIn, testTitles } from '../scripts/conformance.js'
import { openRedis } from '../src/transport/redis-client.js'
import { canvasRows, numbered } from '../src/worker/canvas-row-table.conformance.js'
import { rowTasks } from '../src/worker/canvas-row-tasks.conformance.js'
import {
  answerOf,
  expectRow,
  inLanguages,
  leastNotes,
  type Node,
  type Row,
  type RowAnswer,
  type RowNote,
} from '../src/worker/canvas-rows.conformance.js'
import { type Broker, type BrokerKind, RabbitKind, redisKind } from './brokers.js'
import { CanvasRig, type RigKind } from './canvas/rig.js'
import { eventually } from './node-app.js'
import { skipNote } from './redis-server.js'

/** A canvas on its way. */
interface Sending {
  readonly canvas: Node
  readonly call?: Row['call']
  readonly flag?: true
}

type Tree = readonly [readonly [string, Tree | null], unknown]

/** Who ran a canvas, and who sent it. */
type Who = 'only Celery' | 'from Python' | 'from TypeScript'

const kind: RigKind = {
  module: 'rows_app',
  tasks: (app, log, lang) =>
    rowTasks(app, lang, (tag, id) => appendFileSync(log, `${JSON.stringify({ what: 'run', tag, id })}\n`)),
  send: (app, { canvas, call }: Sending, seconds) => answerOf(app, canvas, call, seconds),
}
/** All canvases are sent at once, so each is given the time that all of them take. */
const seconds = 50

const rabbit = new RabbitKind()
afterAll(() => rabbit.stop())

describe.each([redisKind, rabbit] as readonly BrokerKind[])('canvases over $name', (brokerKind) => {
  describe.skipIf(brokerKind.missing)(`with Celery on the other side${skipNote(brokerKind.missing)}`, () => {
    const rows = canvasRows.filter((row) => brokerKind === redisKind || row.notOverRabbit === undefined)
    const rowsOf: Readonly<Record<Who, readonly Row[]>> = {
      'only Celery': rows.filter((row) => row.notAsked === undefined),
      'from Python': rows.filter((row) => row.notFromPython === undefined),
      'from TypeScript': rows,
    }
    const brokers: Broker[] = []
    const answers = new Map<string, RowAnswer>()
    let pure: CanvasRig
    let mixed: CanvasRig

    const sendings = (who: Who): Sending[] =>
      rowsOf[who].map((row) => ({
        ...row,
        canvas: inLanguages(row.canvas, ['py', 'node'], `${who} ${row.name}: `),
      }))
    const keep = (who: Who, all: readonly RowAnswer[]): void => {
      for (const [at, answer] of all.entries()) answers.set(`${who} ${rowsOf[who][at]?.name}`, answer)
    }

    beforeAll(async () => {
      brokers.push(await brokerKind.start(), await brokerKind.start())
      const [first, second] = brokers as [Broker, Broker]
      ;[pure, mixed] = await Promise.all([
        CanvasRig.start(first, { kind, pool: 'prefork', pythonRuns: ['py', 'node'], nodeRuns: [] }),
        CanvasRig.start(second, { kind, pool: 'prefork' }),
      ])
      const flagged = mixed.newApp({ taskAllowErrorCbOnChordHeader: true })
      await Promise.all([
        pure.run<RowAnswer>(sendings('only Celery'), seconds).then((all) => keep('only Celery', all)),
        mixed.run<RowAnswer>(sendings('from Python'), seconds).then((all) => keep('from Python', all)),
        Promise.all(
          sendings('from TypeScript').map(({ canvas, call, flag }) =>
            answerOf(flag ? flagged : mixed.app, canvas, call, seconds),
          ),
        ).then((all) => keep('from TypeScript', all)),
      ])
      const all = leastNotes([...rowsOf['from Python'], ...rowsOf['from TypeScript']])
      await eventually('all is noted', () => mixed.notes().length >= all)
    })
    afterAll(async () => {
      await Promise.all([pure?.close(), mixed?.close()])
      await Promise.all(brokers.map((broker) => broker.close()))
    })

    const ended = (row: Row, who: Who): RowAnswer | undefined => {
      const name = `${who} ${row.name}`
      const rig = who === 'only Celery' ? pure : mixed
      const notes: readonly RowNote[] = rig.notes().filter(({ tag }) => tag.startsWith(`${name}: `))
      const answer = answers.get(name)
      expectRow({ ...row, name }, answer, notes)
      return answer
    }
    /**
     * Ids by their order; where a row has a check of its own, values may differ from run to run. Under load the last
     * task may fail too late to be seen.
     */
    const compared = (
      { gives, check }: Row,
      { value, children, error, stored }: RowAnswer,
      isSeen: boolean,
    ): unknown => ({
      value: gives === undefined && check ? undefined : value,
      children: numbered(children),
      failed: error !== undefined,
      ...(check || !isSeen ? {} : { stored: numbered(stored) }),
    })

    it.each(rows.map((row) => [row.name, row] as const))(
      'CNV-042 CNV-045 CNV-059 CNV-063 CNV-072 CNV-083 CNV-086 CNV-093 CNV-099..101 CNV-107 CNV-113 CNV-116 CNV-117 CNV-135 CNV-143 CNV-147..175 CNV-179..194 CNV-196..207 CNV-209 CNV-212 %s',
      (_name, row) => {
        const celery = row.notAsked === undefined ? ended(row, 'only Celery') : undefined
        for (const who of ['from Python', 'from TypeScript'] as const) {
          if (!rowsOf[who].includes(row)) continue
          const answer = ended(row, who)
          if (celery === undefined || answer === undefined) continue
          const isSeen = celery.stored !== undefined && answer.stored !== undefined
          expect(compared(row, answer, isSeen), who).toEqual(compared(row, celery, isSeen))
        }
      },
    )

    it('CNV-106 CNV-194 the results of a failed header stay where both languages read them', async () => {
      const row = rows.find(({ name }) => name.startsWith('CNV-194'))
      const answer = answers.get(`from TypeScript ${row?.name}`) as RowAnswer
      const [, header] = (answer.tree as Tree)[0]
      const redis = await openRedis(mixed.place.resultBackend)
      try {
        const parts = await redis.run('ZRANGE', `celery-taskset-meta-${header?.[0][0]}.j`, '0', '-1')
        const read = (parts as unknown[]).map((part) => JSON.parse(String(part)) as unknown[])
        expect(read.map(([, , state]) => state)).toEqual(['SUCCESS', 'SUCCESS', 'FAILURE'])
        expect(read.map(([, , , value]) => value)).toMatchObject([3, 7, { exc_type: 'ValueError' }])
      } finally {
        redis.close()
      }
    })
  })
})

it('names in the titles above the rows that have a canvas, and no others', () => {
  const titles = testTitles(readFileSync(import.meta.filename, 'utf8'))
  const shown = new Set(canvasRows.flatMap(({ name }) => idsIn(name)))
  expect([...new Set(titles.flatMap(idsIn))].sort()).toEqual([...shown, 'CNV-106'].sort())
})
