/**
 * How far a long group is, for people who wait at a terminal.
 *
 * Rule 1: a task is counted once, as it ends; nested groups count with all of their tasks.
 * Rule 2: on a terminal one line is written over and over; elsewhere (a log file) a line for every tenth.
 */
import { EXCEPTION_STATES } from '../../protocol/task-state.js'
import type { AnyResult, WaitOptions } from './any-result.js'
import type { ResultContext } from './result-context.js'
import { ResultSet } from './result-set.js'

/** How many tasks of a group have ended. */
export interface GroupProgress {
  readonly done: number
  /** Of those done, the ones that failed or were revoked. */
  readonly failed: number
  readonly total: number
}

/** What progress is written to: `process.stderr`, or anything like it. */
export interface ProgressStream {
  write(text: string): unknown
  readonly isTTY?: boolean | undefined
  /** Default 80. */
  readonly columns?: number | undefined
}

/**
 * Yields at once, and again as each task ends; ends with the last one. Never throws a task's error. Throws
 * `ResultTimeoutError` or the signal's reason.
 */
export async function* groupProgress(
  group: ResultSet,
  context: ResultContext,
  options: WaitOptions = {},
): AsyncGenerator<GroupProgress, void, undefined> {
  const tasks = tasksIn(group.results)
  const total = tasks.length
  let done = 0
  let failed = 0
  yield { done, failed, total }
  for await (const [, meta] of new ResultSet(tasks, context).iterNative(options)) {
    done += 1
    if ('state' in meta && EXCEPTION_STATES.has(meta.state)) failed += 1
    yield { done, failed, total }
  }
}

/** Writes the progress of a group to `stream` until its last task has ended. Throws as `groupProgress` does. */
export async function showProgress(
  group: ResultSet,
  context: ResultContext,
  stream: ProgressStream = process.stderr,
  options: WaitOptions = {},
): Promise<void> {
  let shownTenth = -1
  for await (const progress of groupProgress(group, context, options)) {
    if (stream.isTTY) {
      stream.write(`\r${progressLine(progress, stream.columns ?? 80)}`)
      continue
    }
    const tenth = progress.total === 0 ? 10 : Math.floor((progress.done * 10) / progress.total)
    if (tenth > shownTenth) stream.write(`${countText(progress)}\n`)
    shownTenth = Math.max(shownTenth, tenth)
  }
  if (stream.isTTY) stream.write('\n')
}

/** One line with a bar, at most `columns` wide: `[########------------] 40% 4/10, 1 failed`. */
export function progressLine(progress: GroupProgress, columns: number): string {
  const { done, total } = progress
  const share = total === 0 ? 1 : done / total
  const text = ` ${String(Math.floor(share * 100)).padStart(3)}% ${countText(progress)}`
  const width = Math.min(40, columns - text.length - 3)
  if (width < 4) return text.trimStart().slice(0, Math.max(0, columns - 1))
  const filled = Math.floor(share * width)
  return `[${'#'.repeat(filled)}${'-'.repeat(width - filled)}]${text}`
}

function countText({ done, failed, total }: GroupProgress): string {
  return `${done}/${total}${failed === 0 ? '' : `, ${failed} failed`}`
}

function tasksIn(results: readonly AnyResult[]): readonly AnyResult[] {
  return results.flatMap((result) => (result.results === undefined ? [result] : tasksIn(result.results)))
}
