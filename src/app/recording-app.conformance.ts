import type { ResultBackend } from '../backend/backend.js'
import { FakeClock } from '../testing/fake-clock.js'
import { createMemoryTransport } from '../transport/memory-transport.js'
import type { Outgoing } from '../transport/transport.js'
import { App } from './app.js'
import type { AppOptions } from './app-options.js'

/** Sends over the memory transport, keeping what goes out, and tells what its backend is told of chords. */
export class RecordingApp extends App {
  /** Every message, in order. */
  readonly outgoing: Outgoing[]
  /** How many messages went out together, each time. */
  readonly batches: readonly number[]
  readonly told: unknown[] = []
  private readonly counting: ResultBackend | undefined

  /** `counts`: whether its backend counts the parts of chords; `options` as of every app. */
  constructor(counts: boolean, options: AppOptions = {}) {
    const outgoing: Outgoing[] = []
    const batches: number[] = []
    super('fixtures', {
      brokerUrl: 'memory://',
      resultBackend: 'cache+memory://',
      clock: new FakeClock(Date.UTC(2026, 10, 20, 10, 11, 12, 461)),
      env: {},
      ...options,
      openTransport: () => ({
        connect: async (url, options) => {
          const connection = await createMemoryTransport().connect(url, options)
          connection.publish = async (messages) => {
            batches.push(messages.length)
            outgoing.push(...messages)
          }
          return connection
        },
      }),
    })
    this.outgoing = outgoing
    this.batches = batches
    const backend = Object.create(super.backend) as { -readonly [P in keyof ResultBackend]: ResultBackend[P] }
    backend.expect = async () => {}
    if (!counts) {
      this.counting = Object.defineProperty(backend, 'chords', { value: undefined })
      return
    }
    Object.defineProperty(backend, 'chords', {
      value: {
        begin: async (id: string, size: number) => void this.told.push(['size', id, size]),
        partDone: async () => undefined,
      },
    })
    backend.storeGroup = async (id, tuple) => void this.told.push(['saved', id, tuple])
    this.counting = backend
  }

  override get backend(): ResultBackend {
    return this.counting ?? super.backend
  }
}
