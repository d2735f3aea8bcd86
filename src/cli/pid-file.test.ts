import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { takePidFile } from './pid-file.js'

let folder: string
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'celeriac-pid-'))
})
afterEach(() => rmSync(folder, { recursive: true, force: true }))

const dead = (): boolean => false
const alive = (): boolean => true

describe('WRK-103 the pid file', () => {
  it('holds the id while it is taken, and is gone when it is freed', () => {
    const path = join(folder, 'worker.pid')
    const free = takePidFile(path, 42, dead)
    expect(readFileSync(path, 'utf8')).toBe('42\n')
    free()
    expect(existsSync(path)).toBe(false)
  })

  it('belongs to the process that lives', () => {
    const path = join(folder, 'worker.pid')
    writeFileSync(path, '41\n')
    expect(() => takePidFile(path, 42, alive)).toThrow(
      expect.objectContaining({ exitCode: 73, message: expect.stringContaining('(pid: 41)') }),
    )
    expect(readFileSync(path, 'utf8')).toBe('41\n')
  })

  it.each([
    ['of a dead process', '41\n', dead],
    ['of this process, in a container that was started again', '42\n', alive],
    ['that is broken', 'what?', alive],
    ['that is empty', '', alive],
  ])('replaces one %s', (_what, text, isAlive) => {
    const path = join(folder, 'worker.pid')
    writeFileSync(path, text)
    takePidFile(path, 42, isAlive)
    expect(readFileSync(path, 'utf8')).toBe('42\n')
  })

  it('says why it cannot be made', () => {
    expect(() => takePidFile(join(folder, 'none', 'worker.pid'), 42, dead)).toThrow(
      expect.objectContaining({ exitCode: 73, message: expect.stringContaining('cannot be created') }),
    )
  })
})
