import type { ResultMeta } from '../../protocol/result-meta.js'
import type { HeaderPart, PartWatcher } from './backend.js'
import type { FirstWrites } from './first-write.js'
import type { CompletedParts, PartWriter } from './key-value-store.js'

/** What a `PartWrite` asks of who counts. */
export interface PartWrites {
  read(groupId: string, done: CompletedParts): Promise<readonly HeaderPart[]>
  /** Stores and counts it step by step. */
  stepwise(write: PartWrite): Promise<readonly HeaderPart[] | undefined>
  /** The same after it failed in one, where that may help; else rejects. */
  again(write: PartWrite, cause: unknown): Promise<readonly HeaderPart[] | undefined>
}

/** A part that is stored and counted in one step. A class and not closures: every part of a worker is one of these. */
export class PartWrite implements PartWriter {
  readonly groupId: string
  readonly index: number
  readonly meta: ResultMeta
  private readonly owner: PartWrites
  private readonly watcher: PartWatcher

  constructor(owner: PartWrites, groupId: string, index: number, meta: ResultMeta, watcher: PartWatcher) {
    this.owner = owner
    this.groupId = groupId
    this.index = index
    this.meta = meta
    this.watcher = watcher
  }

  onCounted(done: CompletedParts | undefined): void {
    const { owner, groupId, watcher } = this
    if (done === undefined) watcher.onCounted()
    else watcher.onCounted(() => owner.read(groupId, done))
  }

  onUndone(): void {
    this.follow(this.owner.stepwise(this))
  }

  onFailed(cause: unknown): void {
    this.follow(this.owner.again(this, cause))
  }

  private follow(counting: Promise<readonly HeaderPart[] | undefined>): void {
    const { watcher } = this
    counting.then(
      (parts) => (parts === undefined ? watcher.onCounted() : watcher.onCounted(async () => parts)),
      (error: unknown) => watcher.onUncounted(error),
    )
  }
}

/** One of them while the store has it: until it has answered, later writes of that task's result wait. */
export class PartUnderWay implements PartWriter {
  readonly written: Promise<void>
  private readonly owner: Pick<FirstWrites, 'end' | 'hint'>
  private readonly key: string
  private readonly taskId: string
  private readonly writer: PartWriter
  private resolve: () => void = () => {}

  constructor(owner: Pick<FirstWrites, 'end' | 'hint'>, key: string, taskId: string, writer: PartWriter) {
    this.owner = owner
    this.key = key
    this.taskId = taskId
    this.writer = writer
    this.written = new Promise((resolve) => {
      this.resolve = resolve
    })
  }

  onCounted(done: CompletedParts | undefined): void {
    this.end()
    this.owner.hint(this.taskId)
    this.writer.onCounted(done)
  }

  onUndone(): void {
    this.end()
    this.writer.onUndone()
  }

  onFailed(error: unknown): void {
    this.end()
    this.writer.onFailed(error)
  }

  private end(): void {
    this.owner.end(this.key, this.written)
    this.resolve()
  }
}
