/** The verdicts of wire-format 16.1, one by one, and what a sender may leave out. */
import { describe, expect, it } from 'vitest'
import type { Envelope } from './envelope.js'
import {
  ContentRefusedError,
  DecodeError,
  EncodeError,
  InvalidTaskError,
  type ProtocolError,
  UnknownMessageError,
} from './errors.js'
import { encodeJson } from './json.js'
import { createCodec } from './serializers.js'
import { EMPTY_BODY } from './task-body.js'
import { decodeTask, decodeTaskBody, encodeTask, readTask } from './task-message.js'
import { encodeRetry } from './task-retry.js'
import { DateTime } from './values.js'

const codec = createCodec()
const policy = { codec, accept: codec.accepting(['json']) }

function message(
  headers: Readonly<Record<string, unknown>>,
  body: unknown = [[1, 2], {}, {}],
  rest: Partial<Envelope> = {},
): Envelope {
  return {
    body: new TextEncoder().encode(typeof body === 'string' ? body : encodeJson(body)),
    contentType: 'application/json',
    contentEncoding: 'utf-8',
    headers,
    properties: {},
    ...rest,
  }
}

const minimal = { task: 't.add', id: 'id-1' }

describe('what a Python worker takes is taken', () => {
  it('PUB-031 takes a message with nothing but task and id, and gives the defaults', () => {
    const { message: read, body } = readTask(message(minimal), policy)
    expect(read).toMatchObject({
      protocol: 2,
      id: 'id-1',
      task: 't.add',
      rootId: 'id-1',
      parentId: undefined,
      retries: 0,
      eta: undefined,
      timeLimit: undefined,
      ignoreResult: undefined,
      replacedTaskNesting: 0,
      correlationId: 'id-1',
      headers: {},
      stamps: {},
    })
    expect(body).toEqual({ ...EMPTY_BODY, args: [1, 2] })
  })

  it('TSK-040 TSK-051 takes null for every optional header, and retries as text', () => {
    const nulls = Object.fromEntries(
      [
        'timelimit',
        'retries',
        'eta',
        'expires',
        'argsrepr',
        'root_id',
        'group',
        'ignore_result',
        'stamps',
        'shadow',
      ].map((name) => [name, null]),
    )
    expect(decodeTask(message({ ...minimal, ...nulls })).retries).toBe(0)
    expect(decodeTask(message({ ...minimal, retries: '3' })).retries).toBe(3)
    expect(decodeTask(message({ ...minimal, ignore_result: false })).ignoreResult).toBe(false)
  })

  it.each(['2030-01-02T03:04:05Z', '2030-01-02T03:04:05.123Z', '2030-01-02 03:04:05', '2030-01-02'])(
    'TSK-041 keeps the eta %s as it came',
    (eta) =>
      expect(decodeTask(message({ ...minimal, eta, expires: eta }))).toMatchObject({ eta, expires: eta }),
  )

  it('TSK-041 takes a typed datetime as eta', () => {
    expect(decodeTask(message({ ...minimal, eta: new DateTime('2030-01-02T03:04:05+00:00') })).eta).toBe(
      '2030-01-02T03:04:05+00:00',
    )
  })

  it('TSK-042 splits timelimit into hard and soft, and takes 0 for none', () => {
    expect(decodeTask(message({ ...minimal, timelimit: [30, 20.5] }))).toMatchObject({
      timeLimit: 30,
      softTimeLimit: 20.5,
    })
    expect(decodeTask(message({ ...minimal, timelimit: [0, null] })).timeLimit).toBeUndefined()
  })

  it('TSK-037 TSK-038 TSK-039 reads embed null, partial, with further keys, and one bare callback', () => {
    const signature = { task: 't.x', args: [], options: {} }
    const read = (embed: unknown) => readTask(message(minimal, [[], {}, embed]), policy).body
    expect(read(null)).toEqual(EMPTY_BODY)
    expect(read({ foo: 1, chain: [] })).toEqual(EMPTY_BODY)
    expect(read({ callbacks: signature, chord: signature })).toMatchObject({
      callbacks: [signature],
      chord: signature,
    })
  })

  it('takes null for the task as a name that is not registered, and null for the id as none', () => {
    expect(decodeTask(message({ ...minimal, task: null })).task).toBe('None')
    expect(decodeTask(message({ ...minimal, id: null })).id).toBe('')
    expect(decodeTask(message({ ...minimal, id: 7 })).id).toBe('7')
  })

  it('lets the run fail for args that cannot be spread, instead of dropping the message', () => {
    const { body } = readTask(message(minimal, [null, {}, {}]), policy)
    expect(body.args).toEqual([])
    expect(body.argsError).toContain('null')
    expect(readTask(message(minimal, ['ab', {}, {}]), policy).body.args).toEqual(['a', 'b'])
  })

  it('TSK-046 TSK-058 keeps custom headers, and the nested idiom exactly', () => {
    expect(decodeTask(message({ ...minimal, 'X-Foo': 'bar', update: 1 })).headers).toEqual({ 'X-Foo': 'bar' })
    expect(decodeTask(message({ ...minimal, headers: { n: 1 }, zz: 2 })).headers).toEqual({ n: 1 })
  })

  it('does not open the body of protocol 2 to read the headers', () => {
    expect(decodeTask(message(minimal, 'not json')).id).toBe('id-1')
    expect(decodeTask(message(minimal, '[1'), policy).id).toBe('id-1')
  })
})

describe('what kills a Python worker is a typed error', () => {
  const cases: readonly (readonly [string, Envelope, typeof ProtocolError])[] = [
    ['a body of two items', message(minimal, [[], {}]), InvalidTaskError],
    ['a body of four items', message(minimal, [[], {}, {}, {}]), InvalidTaskError],
    ['a body that is a mapping without args', message(minimal, { a: 1 }), InvalidTaskError],
    ['a body that is a number', message(minimal, 5), InvalidTaskError],
    ['a timelimit of one item', message({ ...minimal, timelimit: [1] }), InvalidTaskError],
    ['a timelimit of three items', message({ ...minimal, timelimit: [1, 2, 3] }), InvalidTaskError],
    ['a timelimit that is text', message({ ...minimal, timelimit: ['x', null] }), InvalidTaskError],
    ['no id', message({ task: 't.add' }), InvalidTaskError],
    ['an id that is a list', message({ ...minimal, id: [1] }), InvalidTaskError],
    ['a task that is a mapping', message({ ...minimal, task: {} }), InvalidTaskError],
    ['no content type', message(minimal, [[], {}, {}], { contentType: '' }), InvalidTaskError],
    ['an empty body', message(minimal, ''), InvalidTaskError],
    ['embed that is a list', message(minimal, [[], {}, [1]]), InvalidTaskError],
    ['a callback that is text', message(minimal, [[], {}, { callbacks: ['t.x'] }]), InvalidTaskError],
    ['a body that is not JSON', message(minimal, '[[1], {'), DecodeError],
    [
      'a body that does not decompress',
      message({ ...minimal, compression: 'application/x-gzip' }),
      DecodeError,
    ],
    ['a compression nobody knows', message({ ...minimal, compression: 'application/x-none' }), DecodeError],
  ]
  it.each(cases)('%s', (_name, envelope, type) => expect(() => readTask(envelope, policy)).toThrow(type))
})

describe('what a Python worker drops is a typed error', () => {
  const cases: readonly (readonly [string, Envelope, typeof ProtocolError])[] = [
    ['an eta that is a number', message({ ...minimal, eta: 5 }), InvalidTaskError],
    ['an eta that is no time', message({ ...minimal, eta: 'tomorrow' }), InvalidTaskError],
    ['an expires that is no time', message({ ...minimal, expires: '2030-13-01' }), InvalidTaskError],
    ['kwargs that are null', message(minimal, [[], null, {}]), InvalidTaskError],
    ['kwargs that are a list', message(minimal, [[], [], {}]), InvalidTaskError],
    ['kwargs of protocol 1 that are a list', message({}, { ...minimal, kwargs: [] }), InvalidTaskError],
    ['neither protocol', message({}, { method: 'ping' }), UnknownMessageError],
    ['neither protocol, and a list', message({}, [[], {}, {}]), UnknownMessageError],
  ]
  it.each(cases)('%s', (_name, envelope, type) => expect(() => readTask(envelope, policy)).toThrow(type))

  it('a content type that is not accepted', () => {
    const envelope = { ...message(minimal), contentType: 'application/x-yaml' }
    expect(() => readTask(envelope, policy)).toThrow(ContentRefusedError)
  })

  it('protocol 1 without a policy to open it', () => {
    expect(() => decodeTask(message({}, minimal))).toThrow(UnknownMessageError)
  })
})

describe('protocol 1 and hybrids', () => {
  it('PUB-035 TSK-036 reads protocol 1, where taskset wins over group', () => {
    const { message: read, body } = readTask(
      message(
        {},
        {
          task: 't.add',
          id: 'id-1',
          args: [1],
          kwargs: { y: 2 },
          taskset: 'ts',
          group: 'g',
          utc: false,
          timelimit: [5, null],
        },
      ),
      policy,
    )
    expect(read).toMatchObject({
      protocol: 1,
      groupId: 'ts',
      utc: false,
      timeLimit: 5,
      argsRepr: '[1]',
      kwargsRepr: "{'y': 2}",
    })
    expect(body).toMatchObject({ args: [1], kwargs: { y: 2 }, chain: [] })
  })

  it('reads a hybrid with the headers over the fields of the body', () => {
    const envelope = message(
      { task: 't.add', id: 'id-2' },
      { task: 'other', id: 'id-1', args: [1], retries: 4 },
    )
    expect(decodeTask(envelope, policy)).toMatchObject({ protocol: 2, id: 'id-2', task: 't.add', retries: 4 })
    expect(decodeTaskBody(decodeTask(envelope, policy), policy).args).toEqual([1])
  })

  it('PUB-036 refuses to write a chain in protocol 1', () => {
    const how = { codec, serializer: 'json', protocol: 1 } as const
    expect(() => encodeTask(minimal, { ...EMPTY_BODY, chain: [{}] }, how)).toThrow(InvalidTaskError)
    expect(encodeTask(minimal, EMPTY_BODY, how).headers).toEqual({})
  })
})

describe('writing', () => {
  it('PUB-030 writes every header in the order of Celery, lang js, and custom headers last and over the others', () => {
    const { headers } = encodeTask(
      { ...minimal, customHeaders: { shadow: 'mine', 'X-Foo': 1 } },
      EMPTY_BODY,
      { codec, serializer: 'json' },
    )
    expect(Object.keys(headers)).toEqual([
      'lang',
      'task',
      'id',
      'shadow',
      'eta',
      'expires',
      'group',
      'group_index',
      'retries',
      'timelimit',
      'root_id',
      'parent_id',
      'argsrepr',
      'kwargsrepr',
      'origin',
      'ignore_result',
      'replaced_task_nesting',
      'stamped_headers',
      'stamps',
      'X-Foo',
    ])
    expect(headers).toMatchObject({ lang: 'js', shadow: 'mine', root_id: 'id-1', timelimit: [null, null] })
  })

  it('PUB-034 shows arguments as a tuple when they were positional', () => {
    const repr = (args: unknown[], argsAsTuple: boolean) =>
      encodeTask(minimal, { ...EMPTY_BODY, args }, { codec, serializer: 'json', argsAsTuple }).headers[
        'argsrepr'
      ]
    expect([repr([2, 3], true), repr([1], true), repr([], true), repr([1], false)]).toEqual([
      '(2, 3)',
      '(1,)',
      '()',
      '[1]',
    ])
  })

  it('PUB-033 sends correlation_id, reply_to, delivery mode and priority with their defaults', () => {
    expect(encodeTask(minimal, EMPTY_BODY, { codec, serializer: 'json' }).properties).toEqual({
      correlationId: 'id-1',
      replyTo: '',
      deliveryMode: 2,
      priority: 0,
    })
  })

  it('refuses a value that the serializer cannot write', () => {
    const body = { ...EMPTY_BODY, args: [() => 1] }
    expect(() => encodeTask(minimal, body, { codec, serializer: 'json' })).toThrow(EncodeError)
  })
})

describe('retrying', () => {
  const first = message({
    ...minimal,
    origin: 'gen1@host',
    argsrepr: '(***)',
    'x-death': [],
    'X-Foo': 'bar',
    retries: 1,
  })
  const { message: read, body } = readTask(first, policy)

  it('TSK-040 sends the same id and body bytes, one more retry, itself as parent, and no dead-letter trail', () => {
    const again = encodeRetry(read, body, {
      codec,
      eta: '2030-01-02T03:04:05+00:00',
      fields: { priority: 3, origin: undefined },
    })
    expect(again.headers).toMatchObject({
      id: 'id-1',
      parent_id: 'id-1',
      root_id: 'id-1',
      retries: 2,
      origin: 'gen1@host',
      'X-Foo': 'bar',
      argsrepr: '(***)',
      eta: '2030-01-02T03:04:05+00:00',
    })
    expect(again.headers).not.toHaveProperty('x-death')
    expect(again.body).toBe(first.body)
    expect(again.properties.priority).toBe(3)
  })

  it('TSK-040 shows the arguments as the tuple that they are in Python, unless the sender showed something else', () => {
    const shown = (argsRepr: string | undefined): unknown => {
      const sent = encodeTask(
        { ...minimal, argsRepr },
        { ...EMPTY_BODY, args: [7] },
        { codec, serializer: 'json' },
      )
      const { message: received, body: opened } = readTask(sent, policy)
      return encodeRetry(received, opened, { codec }).headers['argsrepr']
    }
    expect(shown(undefined)).toBe('(7,)')
    expect(shown('[***]')).toBe('[***]')
  })

  it('keeps a compressed body compressed, and compresses a new one the same way', () => {
    const sent = encodeTask(
      minimal,
      { ...EMPTY_BODY, args: [1] },
      { codec, serializer: 'json', compression: 'gzip' },
    )
    const { message: packed, body: opened } = readTask(sent, policy)
    const same = encodeRetry(packed, opened, { codec })
    expect(same.body).toBe(sent.body)
    expect(same.headers['compression']).toBe('application/x-gzip')
    const changed = encodeRetry(packed, opened, { codec, args: [2] })
    expect(changed.headers['compression']).toBe('application/x-gzip')
    expect(readTask(changed, policy).body.args).toEqual([2])
  })

  it('writes a message of protocol 1 again in protocol 2', () => {
    const old = readTask(
      message({}, { task: 't.add', id: 'id-1', args: [1], callbacks: [{ task: 't.x' }] }),
      policy,
    )
    const again = readTask(encodeRetry(old.message, old.body, { codec }), policy)
    expect(again.message).toMatchObject({ protocol: 2, id: 'id-1', retries: 1 })
    expect(again.body).toEqual(old.body)
  })
})
