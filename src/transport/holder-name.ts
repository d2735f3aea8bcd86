/**
 * Who holds messages, told by the name of a folder: `<pid>-<start of the process>-<machine>-<uuid>`.
 *
 * Rule 1: on the same machine (same boot, same pid namespace) the process itself is looked at: as long as it lives,
 *         stopped or busy, its messages are its own; once it is dead (or a zombie, or its pid belongs to another),
 *         they are nobody's.
 * Rule 2: a process on another machine cannot be looked at; there the folder's time stamp must change now and then.
 */
import { createHash } from 'node:crypto'
import { readFile, readlink } from 'node:fs/promises'
import { hostname } from 'node:os'

const unknownStart = 'x'

/** What a holder's name says. */
export interface Holder {
  readonly pid: number
  readonly start: string
  readonly machine: string
}

/** The name for a new holder in this process. */
export async function newHolderName(newId: () => string): Promise<string> {
  const { start } = await lookAt(process.pid)
  return `${process.pid}-${start}-${await machineId()}-${newId()}`
}

/** `undefined` when the name is not one of ours. */
export function parseHolderName(name: string): Holder | undefined {
  const [, pid, start, machine] = /^(\d+)-(\d+|x)-([0-9a-f]{12})-./.exec(name) ?? []
  if (pid === undefined || start === undefined || machine === undefined) return undefined
  return { pid: Number(pid), start, machine }
}

/** Whether the process still lives; `undefined` when it is not on this machine, so that nobody here can tell. */
export async function isAlive(holder: Holder): Promise<boolean | undefined> {
  if (holder.machine !== (await machineId())) return undefined
  const { state, start } = await lookAt(holder.pid)
  if (state === 'gone') return false
  return holder.start === unknownStart || start === unknownStart || start === holder.start
}

/** State and start time of a process (`/proc/<pid>/stat`, fields 3 and 22); only the state where there is no /proc. */
async function lookAt(pid: number): Promise<{ readonly state: 'alive' | 'gone'; readonly start: string }> {
  const text = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => undefined)
  if (text !== undefined) {
    // The command name, in parentheses, may hold anything; the fields are counted after it.
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ')
    const isGone = fields[0] === 'Z' || fields[0] === 'X'
    return { state: isGone ? 'gone' : 'alive', start: fields[19] ?? unknownStart }
  }
  try {
    process.kill(pid, 0)
    return { state: 'alive', start: unknownStart }
  } catch (error) {
    const isAnothers = (error as NodeJS.ErrnoException).code === 'EPERM'
    return { state: isAnothers ? 'alive' : 'gone', start: unknownStart }
  }
}

/** The same for all processes that can see each other's pids: boot and pid namespace, or the host's name. */
async function machineId(): Promise<string> {
  const [boot, namespace] = await Promise.all([
    readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => hostname()),
    readlink('/proc/self/ns/pid').catch(() => ''),
  ])
  return createHash('sha256').update(`${boot.trim()} ${namespace}`).digest('hex').slice(0, 12)
}
