/** The verdicts of wire-format 16.3 and the older forms of section 14. */
import { describe, expect, it } from 'vitest'
import { DecodeError } from './errors.js'
import { encodeJson } from './json.js'
import { remoteErrorMessage, remoteErrorRepr } from './remote-error.js'
import { decodeGroupMeta, decodeResultMeta, encodeResultMeta, groupKey, taskKey } from './result-meta.js'
import { groupTuple, parseResultTree, resultTuple } from './result-tree.js'
import { createCodec } from './serializers.js'

const how = { codec: createCodec(), serializer: 'json' }

function read(stored: unknown, taskId?: string) {
  const bytes = new TextEncoder().encode(encodeJson(stored))
  return decodeResultMeta(bytes, taskId === undefined ? how : { ...how, taskId })
}

const least = { status: 'SUCCESS', result: 5, task_id: 'a' }

describe('stored results of any version', () => {
  it('reads the least there is, and the id from the key where the meta has none', () => {
    expect(read(least)).toEqual({
      taskId: 'a',
      state: 'SUCCESS',
      result: 5,
      traceback: undefined,
      children: undefined,
      dateDone: undefined,
    })
    expect(read({ status: 'SUCCESS', result: 5 }, 'b').taskId).toBe('b')
  })

  it.each(['2026-11-20T10:12:55.143897+00:00', '2026-11-20T10:22:05.211103', '2026-11-20T10:22:05.123Z'])(
    'RES-009 keeps date_done %s as it came',
    (date) => expect(read({ ...least, date_done: date }).dateDone).toBe(date),
  )

  it('RES-016 reads errors without module, with one text as message, and with nothing', () => {
    const failed = (result: unknown) => read({ ...least, status: 'FAILURE', result }).result
    expect(failed({ exc_type: 'ValueError', exc_message: 'boom' })).toMatchObject({
      type: 'ValueError',
      module: undefined,
      args: ['boom'],
    })
    expect(failed({ exc_type: 'E', exc_message: ['a', 1], exc_module: null })).toMatchObject({
      module: undefined,
      args: ['a', 1],
    })
    expect(failed({ exc_type: 'E' })).toMatchObject({ args: [''] })
    expect(failed(null)).toMatchObject({ type: 'Exception', module: 'builtins' })
  })

  it('RES-017 refuses an error that is text, a number, or has no type', () => {
    for (const result of ['boom', 5, {}, { exc_message: ['x'] }, [1]]) {
      expect(() => read({ ...least, status: 'FAILURE', result })).toThrow(DecodeError)
    }
  })

  it('refuses a meta without status or task id, and one that is no mapping', () => {
    for (const stored of [
      { state: 'SUCCESS', task_id: 'a' },
      { status: 'SUCCESS', result: 1 },
      [],
      'x',
      null,
    ]) {
      expect(() => read(stored)).toThrow(DecodeError)
    }
    expect(() => decodeGroupMeta(new TextEncoder().encode('{}'), how)).toThrow(DecodeError)
  })

  it('RES-009 writes no date for a state that is not ready', () => {
    const meta = {
      taskId: 'a',
      state: 'PROGRESS',
      result: 1,
      traceback: undefined,
      children: [],
      dateDone: '2026-11-20T10:12:55+00:00',
    }
    const stored = JSON.parse(Buffer.from(encodeResultMeta(meta, how)).toString()) as Record<string, unknown>
    expect(stored['date_done']).toBeNull()
    expect(Object.keys(stored)).toEqual(['status', 'result', 'traceback', 'children', 'date_done', 'task_id'])
  })

  it('RES-011 keeps stamps and other extended fields by their wire names', () => {
    expect(read({ ...least, name: 't.add', stamped_headers: ['foo'], foo: 'bar' }).extended).toEqual({
      name: 't.add',
      stamped_headers: ['foo'],
      foo: 'bar',
    })
  })

  it('names the keys as Celery does, and refuses an empty id', () => {
    expect([taskKey('x'), groupKey('g', 'p_')]).toEqual(['celery-task-meta-x', 'p_celery-taskset-meta-g'])
    expect(() => taskKey('')).toThrow(DecodeError)
    expect(() => groupKey('')).toThrow(DecodeError)
  })
})

describe('errors for people', () => {
  it('EVT-019 shows an error as Python does', () => {
    const error = { type: 'Outer.ValueError', module: 'builtins', args: ['boom', 42], traceback: undefined }
    expect(remoteErrorRepr(error)).toBe("ValueError('boom', 42)")
    expect(remoteErrorMessage(error)).toBe("('boom', 42)")
    expect(remoteErrorMessage({ ...error, args: ['boom'] })).toBe('boom')
    expect(remoteErrorMessage({ ...error, args: [] })).toBe('')
  })
})

describe('result tuples', () => {
  it('RES-018 reads both forms of the head, parents and nested groups', () => {
    expect(parseResultTree(['a', null])).toEqual({ id: 'a' })
    expect(parseResultTree(resultTuple('a', resultTuple('p')))).toEqual({ id: 'a', parent: { id: 'p' } })
    expect(parseResultTree(groupTuple('g', [resultTuple('a')]))).toEqual({ id: 'g', children: [{ id: 'a' }] })
  })

  it('refuses what is no tuple, and nesting without end', () => {
    for (const value of [
      null,
      [],
      ['a'],
      [['a'], null],
      [[1, null], null],
      [['a', null], 'x'],
      [['a', 'p'], null],
    ]) {
      expect(() => parseResultTree(value)).toThrow(DecodeError)
    }
    let deep: unknown = resultTuple('a')
    for (let level = 0; level < 5000; level++) deep = resultTuple('a', deep)
    expect(() => parseResultTree(deep)).toThrow(DecodeError)
  })
})
