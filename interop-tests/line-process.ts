/** Processes that a test talks to by the lines they print: what kombu or a worker of ours takes from a transport. */
import { type ChildProcess, spawn } from 'node:child_process'
import { createInterface } from 'node:readline'

/** One of them, with the lines that it has printed. */
export class LineProcess {
  readonly lines: string[] = []
  /** Its exit code. */
  readonly ended: Promise<number | null>
  readonly process: ChildProcess
  readonly #checks = new Set<() => void>()

  constructor(command: string, args: readonly string[], env: NodeJS.ProcessEnv = process.env) {
    this.process = spawn(command, args, { stdio: ['pipe', 'pipe', 'inherit'], env })
    this.ended = new Promise((resolve) => this.process.once('close', resolve))
    createInterface({ input: this.process.stdout! }).on('line', (line) => {
      this.lines.push(line)
      for (const check of [...this.#checks]) check()
    })
  }

  /** Resolves when `isDone`, looking at each new line; rejects with what came after `ms`. */
  until(isDone: () => boolean, ms = 60_000): Promise<void> {
    return new Promise((resolve, reject) => {
      const bound = setTimeout(() => reject(new Error(`only these lines came: ${this.lines}`)), ms)
      const check = (): void => {
        if (!isDone()) return
        clearTimeout(bound)
        this.#checks.delete(check)
        resolve()
      }
      this.#checks.add(check)
      check()
    })
  }

  /** Ends it, if it has not ended. */
  async kill(): Promise<void> {
    if (this.process.exitCode === null) this.process.kill('SIGKILL')
    await this.ended
  }
}

/** `name-0`, `name-1`, ... */
export function numbered(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index}`)
}

/** Kombu's JSON bodies are quoted, ours in these tests are not. */
export function plain(text: string): string {
  return text.replace(/^"|"$/g, '')
}
