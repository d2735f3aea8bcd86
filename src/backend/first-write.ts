import type { KeyWriter } from './key-value-store.js'

/** What a `FirstWrite` asks of its backend. */
export interface FirstWrites {
  isSuccess(key: string, taskId: string, stored: Uint8Array): Promise<boolean>
  end(key: string, written: Promise<void>): void
  hint(taskId: string): void
  again(what: string, write: FirstWrite, cause: unknown): Promise<void>
}

/** The first write of a key. A class and not closures: every result of a worker is one of these. */
export class FirstWrite implements KeyWriter {
  readonly key: string
  readonly taskId: string
  readonly value: Uint8Array | string
  readonly written: Promise<void>
  private readonly owner: FirstWrites
  private readonly state: string
  private resolve: () => void = () => {}
  private reject: (error: unknown) => void = () => {}

  constructor(owner: FirstWrites, key: string, taskId: string, state: string, value: Uint8Array | string) {
    this.owner = owner
    this.key = key
    this.taskId = taskId
    this.state = state
    this.value = value
    this.written = new Promise((resolve, reject) => {
      this.resolve = resolve
      this.reject = reject
    })
  }

  isSuccess(stored: Uint8Array): Promise<boolean> {
    return this.owner.isSuccess(this.key, this.taskId, stored)
  }

  onStored(): void {
    this.owner.end(this.key, this.written)
    this.owner.hint(this.taskId)
    this.resolve()
  }

  onFailed(cause: unknown): void {
    const what = `storing ${this.state} of task ${this.taskId}`
    this.owner.again(what, this, cause).then(
      () => this.onStored(),
      (error: unknown) => {
        this.owner.end(this.key, this.written)
        this.reject(error)
      },
    )
  }
}
