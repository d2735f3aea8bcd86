import { EventEmitter } from 'node:events'
import { describe, expect, it } from 'vitest'
import { listenForSignals } from './os-signals.js'

/** A worker that takes its time, and a process whose signals are sent by hand. */
function listening(options: { readonly remapSigterm?: string; readonly hasSoftWait?: boolean } = {}) {
  const process = new EventEmitter()
  const asked: string[] = []
  const said: string[] = []
  const told: unknown[] = []
  const exits: number[] = []
  const listener = listenForSignals({
    worker: {
      hostname: 'w@test',
      shutdown: async (how) => {
        asked.push(how)
      },
    },
    process,
    remapSigterm: options.remapSigterm,
    hasSoftWait: options.hasSoftWait ?? false,
    say: (text) => said.push(text),
    exit: (code) => exits.push(code),
    onShuttingDown: (event) => told.push(event),
  })
  return { process, asked, said, told, exits, listener }
}

describe('signals of the operating system', () => {
  it('WRK-071 WRK-085 SIG-022 SIGTERM asks for a warm shutdown, tells of it, and ends with 0', () => {
    const { process, asked, said, told, listener } = listening()
    expect(listener.exitCode()).toBeUndefined()
    process.emit('SIGTERM')
    expect(asked).toEqual(['warm'])
    expect(said).toEqual(['worker: Warm shutdown (MainProcess)'])
    expect(told).toEqual([{ sig: 'SIGTERM', how: 'Warm', exitcode: 0 }])
    expect(listener.exitCode()).toBe(0)
  })

  it('WRK-072 SIGINT is warm with exit 1, then cold, then over', () => {
    const { process, asked, told, exits, listener } = listening()
    process.emit('SIGINT')
    expect(listener.exitCode()).toBe(1)
    process.emit('SIGINT')
    expect(asked).toEqual(['warm', 'cold'])
    expect(told).toEqual([
      { sig: 'SIGINT', how: 'Warm', exitcode: 1 },
      { sig: 'SIGINT', how: 'Cold', exitcode: 1 },
    ])
    process.emit('SIGINT')
    expect(exits).toEqual([])
    process.emit('SIGINT')
    expect(exits).toEqual([1])
  })

  it('WRK-073 WRK-075 SIGQUIT is cold, or soft first where there is a soft wait', () => {
    const cold = listening()
    cold.process.emit('SIGQUIT')
    expect(cold.asked).toEqual(['cold'])
    const soft = listening({ hasSoftWait: true })
    soft.process.emit('SIGQUIT')
    expect(soft.asked).toEqual(['soft'])
    expect(soft.told).toEqual([{ sig: 'SIGQUIT', how: 'Soft', exitcode: 1 }])
    soft.process.emit('SIGTERM')
    expect(soft.asked).toEqual(['soft', 'cold'])
    expect(soft.listener.exitCode()).toBe(1)
  })

  it('WRK-072 WRK-073 nothing makes a shutdown warmer, nor its exit code better', () => {
    const cold = listening()
    cold.process.emit('SIGQUIT')
    cold.process.emit('SIGINT')
    expect(cold.asked).toEqual(['cold', 'cold'])
    expect(cold.told).toEqual([{ sig: 'SIGQUIT', how: 'Cold', exitcode: 1 }])
    cold.process.emit('SIGINT')
    expect(cold.exits).toEqual([1])
    const interrupted = listening()
    interrupted.process.emit('SIGINT')
    interrupted.process.emit('SIGTERM')
    expect(interrupted.asked).toEqual(['warm', 'warm'])
    expect(interrupted.listener.exitCode()).toBe(1)
  })

  it('WRK-077 REMAP_SIGTERM makes SIGTERM cold', () => {
    const { process, asked, listener } = listening({ remapSigterm: 'SIGQUIT' })
    process.emit('SIGTERM')
    expect(asked).toEqual(['cold'])
    expect(listener.exitCode()).toBe(1)
  })

  it('listens no more once it was disposed of', () => {
    const { process, asked, listener } = listening()
    listener.dispose()
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGQUIT']) expect(process.emit(signal)).toBe(false)
    expect(asked).toEqual([])
  })
})
