import { beforeEach, describe, expect, it } from 'vitest'
import type { AsyncResult } from '../backend/async-result.js'
import type { ResultBackend } from '../backend/backend.js'
import { EagerResult } from '../backend/eager-result.js'
import { systemClock } from '../clock.js'
import { algebra, signatureFromData } from './algebra.js'
import { kw } from './kw.js'
import { Signature } from './signature.js'
import type { Call, SignatureApp } from './signature-app.js'
import { optionsFromWire, optionsToWire } from './wire-options.js'

/** Keeps what it is asked to send. */
class RecordingApp implements SignatureApp {
  readonly calls: Call[] = []
  readonly oid = 'oid-1'
  readonly canvas = { alwaysEager: false, errbacksOnChordHeader: false, linksChains: false }
  readonly algebra = algebra
  readonly clock = systemClock()
  private ids = 0

  get backend(): ResultBackend {
    throw new Error('a single task needs no backend to be sent')
  }
  insideTask(): boolean {
    return false
  }
  addTrail(): void {}
  underWay<T>(sending: Promise<T>): Promise<T> {
    return sending
  }
  placeOf(): undefined {}
  async dispatchMany(calls: readonly Call[]): Promise<readonly AsyncResult<unknown>[]> {
    return Promise.all(calls.map((call) => this.dispatch(call)))
  }

  async dispatch(call: Call): Promise<AsyncResult<unknown>> {
    this.calls.push(call)
    return this.asyncResult('sent')
  }
  async dispatchEagerly(call: Call): Promise<EagerResult<unknown>> {
    this.calls.push(call)
    return new EagerResult('eager', undefined, 'SUCCESS')
  }
  callTask(name: string, args: readonly unknown[], kwargs: Readonly<Record<string, unknown>>): unknown {
    return { name, args, kwargs }
  }
  asyncResult<T>(taskId: string): AsyncResult<T> {
    return { id: taskId } as AsyncResult<T>
  }
  async send(): Promise<AsyncResult<unknown>> {
    return this.asyncResult('sent')
  }
  newId(): string {
    this.ids += 1
    return `id-${this.ids}`
  }
}

describe('Signature', () => {
  let app: RecordingApp
  beforeEach(() => {
    app = new RecordingApp()
  })
  const make = (init: Partial<ConstructorParameters<typeof Signature>[1]> = {}): Signature =>
    new Signature(app, { task: 't.add', args: [1, 2], ...init })

  it('CNV-001 writes the six keys of the wire in their order', () => {
    expect(JSON.stringify(make())).toBe(
      '{"task":"t.add","args":[1,2],"kwargs":{},"options":{},"subtask_type":null,"immutable":false}',
    )
  })

  it('CNV-004 CNV-015 makes one from the data of another process, and keeps options it does not know', () => {
    const data = {
      task: 'py.x',
      args: [1],
      kwargs: { a: 1 },
      options: { task_id: 'i', odd: 2 },
      subtask_type: null,
      immutable: true,
    }
    expect(signatureFromData(app, data).toSignatureData()).toEqual(data)
    expect(signatureFromData(app, { task: 'py.x' }).toSignatureData()).toEqual(
      make({ task: 'py.x', args: [] }).toSignatureData(),
    )
    expect(() => signatureFromData(app, { task: 'celery.grid', subtask_type: 'grid' })).toThrow(
      'subtask_type "grid"',
    )
    expect(() => signatureFromData(app, { task: 't', args: 5 })).toThrow('list or tuple')
    expect(() => signatureFromData(app, {})).toThrow('name of its task')
  })

  it('CNV-005 prepends arguments, overrides keyword arguments and options, keeps group and stamps', async () => {
    const options = { group_id: 'g', queue: 'q', stamped_headers: ['st'], st: 'v' }
    await make({ args: [3], kwargs: { a: 1, b: 1 }, options }).applyAsync({
      args: [1, 2],
      kwargs: { b: 2 },
      groupId: 'other',
      queue: 'r',
      stamps: { st: 'w', more: 'm' },
    })
    expect(app.calls[0]).toEqual({
      name: 't.add',
      args: [1, 2, 3],
      kwargs: { a: 1, b: 2 },
      argsAsTuple: true,
      options: {
        groupId: 'g',
        queue: 'r',
        stampedHeaders: ['st'],
        stamps: { st: 'v' },
        properties: { more: 'm' },
      },
    })
  })

  it('CNV-006 drops options of a call that are null', async () => {
    await make({ options: { expires: 5 } }).applyAsync({ expires: null, priority: null })
    expect(app.calls[0]?.options).toEqual({ expires: 5 })
  })

  it('CNV-007 ignores arguments but not options when immutable', async () => {
    await make({ immutable: true }).applyAsync({ args: [9], kwargs: { a: 1 }, countdown: 3 })
    expect(app.calls[0]).toMatchObject({ args: [1, 2], kwargs: {}, options: { countdown: 3 } })
  })

  it('CNV-008 CNV-009 clones and replaces without touching the original, and set changes it', () => {
    const original = make({ options: { link: [] } })
    const copy = original.clone({ args: [0], queue: 'q' })
    copy.link(make())
    expect(copy.args).toEqual([0, 1, 2])
    expect(copy.options.queue).toBe('q')
    expect(original.toSignatureData()).toEqual(make({ options: { link: [] } }).toSignatureData())
    expect(original.replace({ args: [7] }).args).toEqual([7])
    expect(original.set({ immutable: true, priority: 3 })).toBe(original)
    expect(original.toSignatureData()).toMatchObject({ immutable: true, options: { priority: 3 } })
  })

  it('CNV-010 CNV-017 links an equal callback once, and makes a list of a single one', () => {
    const signature = make({ options: { link: make({ task: 't.one' }).toSignatureData() } })
    const callback = make({ task: 't.two', args: [] })
    expect(signature.link(callback)).toBe(callback)
    signature.link(make({ task: 't.two', args: [] }))
    expect(signature.options.link).toHaveLength(2)
    const errback = make({ task: 't.err' })
    expect(signature.linkError(errback)).toBe(errback)
    expect(signature.onError(make({ task: 't.err' }))).toBe(signature)
    expect(signature.toSignatureData()).toMatchObject({
      options: { link_error: [errback.toSignatureData()] },
    })
    expect(make().equals(make())).toBe(true)
    expect(make().equals(make({ args: [1] }))).toBe(false)
  })

  it('CNV-011 CNV-012 freezes once: the id stays, roots and parents are set when given', () => {
    const signature = make()
    expect(signature.freeze({ groupId: 'g1', groupIndex: 0 }).id).toBe('id-1')
    expect(signature.freeze({ taskId: 'x', groupId: 'g2', rootId: 'r', parentId: 'p' }).id).toBe('id-1')
    expect(signature.options).toEqual({
      task_id: 'id-1',
      reply_to: 'oid-1',
      group_id: 'g1',
      group_index: 0,
      root_id: 'r',
      parent_id: 'p',
    })
    expect(signature.id).toBe('id-1')
  })

  it('CNV-013 calls the function in place', () => {
    expect(make({ kwargs: { a: 1 } }).call(0)).toEqual({ name: 't.add', args: [0, 1, 2], kwargs: { a: 1 } })
  })

  it('CNV-014 lists itself and its callbacks, recursively', () => {
    const inner = make({ task: 'c' })
    const middle = make({ task: 'b' })
    middle.link(inner)
    const outer = make({ task: 'a' })
    outer.link(middle)
    expect(outer.flattenLinks().map((data) => data.task)).toEqual(['a', 'b', 'c'])
  })

  it('PYO-017 takes keyword arguments last in delay', async () => {
    await make().delay(0, kw({ b: 1 }))
    expect(app.calls[0]).toMatchObject({ args: [0, 1, 2], kwargs: { b: 1 } })
  })
})

describe('options by wire names', () => {
  it('PUB-020 PUB-022 go there and back, stamps beside the others and unknown names as properties', () => {
    const wire = optionsToWire({
      taskId: 'i',
      timeLimit: 5,
      link: { task: 'cb' },
      retryPolicy: { maxRetries: 1, intervalStart: 0.5 },
      timeoutMs: 1500,
      stamps: { who: 'me' },
      properties: { app_id: 'a' },
      signal: AbortSignal.abort(),
    })
    expect(wire).toEqual({
      task_id: 'i',
      time_limit: 5,
      link: [{ task: 'cb' }],
      retry_policy: { max_retries: 1, interval_start: 0.5 },
      timeout: 1.5,
      app_id: 'a',
      who: 'me',
      stamped_headers: ['who'],
    })
    expect(optionsFromWire({ ...wire, chord: null })).toEqual({
      taskId: 'i',
      timeLimit: 5,
      link: [{ task: 'cb' }],
      retryPolicy: { maxRetries: 1, intervalStart: 0.5 },
      timeoutMs: 1500,
      stampedHeaders: ['who'],
      stamps: { who: 'me' },
      properties: { app_id: 'a' },
    })
  })

  it('refuse a misspelt option and a callback that is no signature', () => {
    expect(() => optionsToWire({ contdown: 3 } as object)).toThrow('Unknown call option "contdown"')
    expect(() => optionsToWire({ link: [5 as never] })).toThrow('A signature was expected')
  })
})
