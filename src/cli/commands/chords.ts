import type { Command } from 'commander'
import type { PendingChord } from '../../backend/pending-chord.js'
import { CommandError } from '../command-error.js'
import { appOf, globalOptions, outputOf, type Terminal } from '../global-options.js'
import { seconds, wholeNumber } from '../option-values.js'
import { table } from '../output.js'

interface ChordsOptions {
  readonly limit: number
  readonly quietFor?: number
  readonly timeout: number
}

/** `celeriac chords`: the chords that wait for parts, from the counters in Redis. Celery has no such command. */
export function chordsCommand(parent: Command, terminal: Terminal): void {
  parent
    .command('chords')
    .description('list chords whose body was not sent yet, and the parts that are missing (results in Redis)')
    .option('--limit <number>', 'at most so many', wholeNumber(1), 100)
    .option('--quiet-for <seconds>', 'only those in which nothing has ended for so long', seconds)
    .option('--timeout <seconds>', 'give up after so many seconds', seconds, 60)
    .action(async (options: ChordsOptions, command: Command) => {
      const global = globalOptions(command)
      await using app = await appOf(global, terminal)
      const { limit, quietFor = 0, timeout } = options
      const found: PendingChord[] = []
      const late = new CommandError(`chords: the search was not over after ${timeout} s; see --timeout`)
      const ending = new AbortController()
      const stop = app.clock.after(timeout * 1000, () => ending.abort(late))
      const { signal } = ending
      for await (const chord of app.chords.pending({ signal })) {
        if ((chord.quietFor ?? Number.POSITIVE_INFINITY) < quietFor) continue
        found.push(chord)
        if (found.length >= limit) break
      }
      stop()
      outputOf(global, terminal).value(found, (all) =>
        all.length === 0
          ? 'No chord is waiting.'
          : table(
              ['Chord', 'Ended', 'Failed', 'Quiet for', 'Missing parts'],
              all.map((chord) => [
                chord.groupId,
                `${chord.counted}/${chord.size === undefined ? '?' : chord.size + chord.added}`,
                String(chord.failed),
                chord.quietFor === undefined ? '?' : `${Math.round(chord.quietFor)} s`,
                missingParts(chord),
              ]),
            ),
      )
    })
}

/** `0-2, 7, ... 90 more`: a line for people, however many parts there are. */
function missingParts({ missing, waitingFor, size }: PendingChord): string {
  if (waitingFor === undefined) return 'unknown: its size was never told, or a part ran again after the end'
  if (waitingFor === 0) return `none: all ${size} are there, the body is not sent`
  const runs: [first: number, last: number][] = []
  for (const place of missing) {
    const run = runs.at(-1)
    if (run !== undefined && run[1] === place - 1) run[1] = place
    else runs.push([place, place])
  }
  const shown = runs.slice(0, 5)
  const named = shown.reduce((sum, [first, last]) => sum + last - first + 1, 0)
  const texts = shown.map(([first, last]) => (first === last ? `${first}` : `${first}-${last}`))
  const rest = waitingFor - named
  if (rest > 0) texts.push(named === 0 ? `${rest} without an index` : `and ${rest} more`)
  return texts.join(', ')
}
