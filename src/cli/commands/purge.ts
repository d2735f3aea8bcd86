import { createInterface } from 'node:readline/promises'
import type { Command } from 'commander'
import { CommandError } from '../command-error.js'
import { appOf, globalOptions, outputOf, type Terminal } from '../global-options.js'
import { commaList } from '../option-values.js'

interface PurgeOptions {
  readonly force?: boolean
  readonly queues?: string[]
  readonly excludeQueues?: string[]
}

/** `celeriac purge`: deletes waiting messages, after asking (surface CLI-019, `celery/bin/purge.py`). */
export function purgeCommand(parent: Command, terminal: Terminal): void {
  parent
    .command('purge')
    .description('delete all waiting messages of the known task queues')
    .option('-f, --force', "don't ask")
    .option('-Q, --queues <names>', 'comma separated queues to purge', commaList)
    .option('-X, --exclude-queues <names>', 'comma separated queues to leave alone', commaList)
    .action(async (options: PurgeOptions, command: Command) => {
      const global = globalOptions(command)
      const output = outputOf(global, terminal)
      await using app = await appOf(global, terminal)
      const excluded = new Set(options.excludeQueues)
      const queues = (options.queues ?? [...app.queues.all.keys()]).filter((queue) => !excluded.has(queue))
      if (queues.length === 0) throw new CommandError('purge: no queue is left to purge')
      const names = [...queues].sort().join(', ')
      const plural = queues.length === 1 ? 'queue' : 'queues'
      if (!options.force) {
        if (!terminal.stdin.isTTY)
          throw new CommandError(`purge: would delete all messages of ${names}; say so with --force`)
        output.line(
          `WARNING: This will remove all tasks from ${plural}: ${names}.\n         There is no undo for this operation!\n\n(to skip this prompt use the -f option)`,
        )
        const prompt = createInterface({ input: terminal.stdin, output: terminal.stdout })
        const answer = await prompt.question('Are you sure you want to delete all tasks (yes/no)? ')
        prompt.close()
        if (!/^y(es)?$/i.test(answer.trim())) return
      }
      const counts: Record<string, number> = {}
      for (const queue of queues) counts[queue] = await app.purge([queue])
      const total = Object.values(counts).reduce((sum, count) => sum + count, 0)
      output.value({ purged: total, queues: counts }, () =>
        total === 0
          ? `No messages purged from ${queues.length} ${plural}.`
          : `Purged ${total} ${total === 1 ? 'message' : 'messages'} from ${queues.length} known task ${plural}.`,
      )
    })
}
