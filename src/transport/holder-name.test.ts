import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { describe, expect, it } from 'vitest'
import { isAlive, newHolderName, parseHolderName } from './holder-name.js'

describe('holder names', () => {
  it('tell that this process lives, and that one with its pid but another start does not', async () => {
    const me = parseHolderName(await newHolderName(() => 'id'))!
    expect(me.pid).toBe(process.pid)
    expect(await isAlive(me)).toBe(true)
    if (me.start !== 'x') expect(await isAlive({ ...me, start: String(Number(me.start) + 1) })).toBe(false)
  })

  it('tell that a process that was killed is dead', async () => {
    const me = parseHolderName(await newHolderName(() => 'id'))!
    const child = spawn(process.execPath, ['-e', 'process.stdin.resume()'], {
      stdio: ['pipe', 'ignore', 'inherit'],
    })
    await once(child, 'spawn')
    const other = { ...me, pid: child.pid!, start: 'x' }
    expect(await isAlive(other)).toBe(true)
    child.kill('SIGKILL')
    await once(child, 'exit')
    expect(await isAlive(other)).toBe(false)
  })

  it('cannot tell about another machine, nor read a name that is not ours', async () => {
    expect(await isAlive({ pid: process.pid, start: '1', machine: '0123456789ab' })).toBeUndefined()
    expect(parseHolderName('something else')).toBeUndefined()
  })
})
