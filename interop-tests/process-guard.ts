import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'

/**
 * Ends what a test started when the test process is gone, however that came about: a small shell that reads from a
 * pipe what to kill, and at the end of the pipe kills it and removes the folder.
 */
export class ProcessGuard {
  readonly #shell: ChildProcess

  constructor(folder: string) {
    const script =
      'while read -r line; do targets=$line; done; [ -n "$targets" ] && kill -9 $targets; rm -rf "$folder"'
    this.#shell = spawn('sh', ['-c', `trap '' INT TERM HUP; ${script}`], {
      stdio: ['pipe', 'ignore', 'ignore'],
      env: { ...process.env, folder },
      detached: true,
    })
    this.#shell.stdin?.on('error', () => {})
    this.#shell.unref()
  }

  /** What to kill from now on: process ids, or negative ones for whole groups. */
  watch(targets: readonly number[]): void {
    this.#shell.stdin?.write(`${targets.join(' ')}\n`)
  }

  /** Kills what is still watched, removes the folder, and resolves when that is done. */
  async close(): Promise<void> {
    if (this.#shell.exitCode !== null || this.#shell.signalCode !== null) return
    // It was not to keep a test process alive; now its end is waited for.
    this.#shell.ref()
    const ended = once(this.#shell, 'exit')
    this.#shell.stdin?.end()
    await ended
  }
}
