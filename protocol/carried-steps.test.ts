import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { CarriedSteps } from './carried-steps.js'
import { findChain } from './chain-scan.js'
import { decodeJson, encodeJson } from './json.js'
import { createCodec } from './serializers.js'
import type { SignatureData } from './signature-data.js'
import { bodyTriple } from './task-body.js'
import { encodeTask, readTask, type TaskBody } from './task-message.js'

const codec = createCodec()
const policy = { codec, accept: codec.accepting(['json', 'yaml', 'msgpack', 'pickle']) }
const padding = 'x'.repeat(1100)

function step(task: string, ...args: unknown[]): SignatureData {
  return {
    task,
    args,
    kwargs: {},
    options: { task_id: `id of ${task}` },
    subtask_type: null,
    immutable: false,
  }
}

const steps = [step('third', padding), step('second', 1.5, 'ü'), step('first', [null, true])]

/** A body as Python would write it, unless it is `text` already. */
function bytesOf(body: unknown): Buffer {
  return Buffer.from(typeof body === 'string' ? body : encodeJson(body, { style: 'python' }))
}

function bodyWith(chain: unknown, chord: unknown = null): unknown {
  return [[1], { k: 2 }, { callbacks: null, errbacks: null, chain, chord }]
}

function read(body: unknown): TaskBody {
  const sent = encodeTask({ id: 'id', task: 'task' }, emptyBody, { codec, serializer: 'json' })
  return readTask({ ...sent, body: bytesOf(body) }, policy).body
}

const emptyBody: TaskBody = {
  args: [],
  kwargs: {},
  callbacks: [],
  errbacks: [],
  chain: [],
  chord: undefined,
}

function written(body: TaskBody, serializer = 'json'): unknown {
  const envelope = encodeTask({ id: 'id', task: 'task' }, body, { codec, serializer })
  return codec.decode(envelope, policy.accept)
}

describe('the steps of a chain that a message carries', () => {
  it('CNV-046 look like a list', () => {
    const { chain } = read(bodyWith(steps))
    expect(chain).toBeInstanceOf(CarriedSteps)
    expect(chain.length).toBe(3)
    expect([...chain]).toEqual(steps)
    expect([chain.at(-1), chain.at(0), chain.at(3), chain.at(-4)]).toEqual([
      steps[2],
      steps[0],
      undefined,
      undefined,
    ])
    expect(JSON.stringify(chain)).toBe(JSON.stringify(steps))
    for (const [start, end] of [[0], [0, -1], [0, 2], [1], [1, -1], [-2], [0, 9], [0, -9], [2, 1]]) {
      expect([...chain.slice(start, end)], `${start} ${end}`).toEqual(steps.slice(start, end))
    }
    expect([...chain.slice(0, -1).slice(0, -1)]).toEqual(steps.slice(0, 1))
    expect([...chain.slice(0, -1).slice(0, -1).slice(0, -1)]).toEqual([])
  })

  it('CNV-046 go on as they came, byte for byte', () => {
    const delicate =
      `{"task": "t", "args": [2.0, 1e3, -0, 12345678901234567890, NaN, "\\u00fc \\ud83d", "${padding}"], ` +
      '"kwargs": { "a" :1 }, "options": {}, "subtask_type": null, "immutable": false}'
    const body = `[[], {}, {"callbacks": null, "errbacks": null, "chain": [${delicate}, ${encodeJson(steps[0])}], "chord": null}]`
    const { chain } = read(body)
    const next = { ...emptyBody, args: ['value'], chain: chain.slice(0, -1) }
    const envelope = encodeTask({ id: 'id', task: 'task' }, next, { codec, serializer: 'json' })
    expect(Buffer.from(envelope.body).toString()).toBe(
      `[["value"],{},{"callbacks":null,"errbacks":null,"chain":[${delicate}],"chord":null}]`,
    )
    expect(envelope).toMatchObject({ contentType: 'application/json', contentEncoding: 'utf-8' })
  })

  it('PUB-035 are written with everything that stands around them, in any serializer', () => {
    const chord = step('body', 'ä')
    const body = {
      ...read(bodyWith(steps, chord)),
      callbacks: [step('callback')],
      errbacks: [step('errback')],
    }
    const meant = [
      [1],
      { k: 2 },
      { callbacks: [step('callback')], errbacks: [step('errback')], chain: steps, chord },
    ]
    expect(bodyTriple(body)).toEqual(meant)
    for (const serializer of ['json', 'yaml', 'msgpack', 'pickle']) {
      expect(written(body, serializer), serializer).toEqual(meant)
    }
    expect(written({ ...body, chain: body.chain.slice(0, 0), endsChain: true })).toEqual([
      [1],
      { k: 2 },
      { callbacks: [step('callback')], errbacks: [step('errback')], chain: [], chord },
    ])
  })

  it.each([
    ['a short body', bodyWith([step('short')])],
    ['no chain', bodyWith(null, step('chord', padding))],
    ['an empty chain', bodyWith([], step('chord', padding))],
    ['one signature in place of a list', bodyWith(steps[0])],
    ['a typed value', bodyWith([{ ...steps[0], kwargs: { at: { __type__: 'decimal', __value__: '1.5' } } }])],
    [
      'a typed value in disguise',
      JSON.stringify(bodyWith([...steps, { __type: 1 }])).replace('__type', '\\u005f_type'),
    ],
    ['a chain in disguise', JSON.stringify(bodyWith(steps)).replace('"chain"', '"ch\\u0061in"')],
    ['two chains', JSON.stringify(bodyWith(steps)).replace('"chord"', '"chain": [], "chord"')],
    [
      'a deep value',
      bodyWith([{ ...steps[0], args: JSON.parse('['.repeat(300) + ']'.repeat(300)) as unknown }]),
    ],
    ['a long number', JSON.stringify(bodyWith(steps)).replace('1.5', '1'.repeat(400))],
  ])('are read at once where there is %s', (_what, body) => {
    expect(findChain(bytesOf(body))).toBeUndefined()
    const { chain } = read(body)
    expect(Array.isArray(chain)).toBe(true)
  })

  it.each([
    ['a step that is no mapping', bodyWith([5, ...steps])],
    ['a fault in the last byte', JSON.stringify(bodyWith(steps)).slice(0, -1)],
    ['something behind', `${JSON.stringify(bodyWith(steps))}]`],
    ['a fault inside a step', JSON.stringify(bodyWith(steps)).replace('true', 'tru')],
    ['a control character', JSON.stringify(bodyWith(steps)).replace('third', 'thi\nrd')],
    [
      'bytes that are not UTF-8',
      Buffer.from(JSON.stringify(bodyWith(steps)).replace('ü', 'u\xff'), 'latin1'),
    ],
    ['a leading zero', JSON.stringify(bodyWith(steps)).replace('1.5', '01.5')],
  ])('are refused as ever where there is %s', (_what, body) => {
    const bytes = Buffer.isBuffer(body) ? body : bytesOf(body)
    expect(findChain(bytes)).toBeUndefined()
    const sent = encodeTask({ id: 'id', task: 'task' }, emptyBody, { codec, serializer: 'json' })
    expect(() => readTask({ ...sent, body: bytes }, policy)).toThrow()
  })

  const value = fc.letrec((tie) => ({
    any: fc.oneof(
      { maxDepth: 3 },
      fc.oneof(fc.integer(), fc.double(), fc.string({ unit: 'binary' }), fc.boolean(), fc.constant(null)),
      fc.array(tie('any'), { maxLength: 4 }),
      fc.dictionary(fc.string({ unit: 'grapheme' }), tie('any'), { maxKeys: 4 }),
    ),
  })).any
  const chains = fc.array(fc.dictionary(fc.string(), value, { maxKeys: 4 }), { minLength: 1, maxLength: 8 })
  const styles = fc.constantFrom('python', 'compact', 'spaced')

  function styled(body: unknown, style: string): Buffer {
    if (style === 'spaced') return Buffer.from(JSON.stringify(body, undefined, '\t'))
    return Buffer.from(encodeJson(body, { style: style as 'python' }))
  }

  it('are what the general reader makes of them, whatever is in them', () => {
    fc.assert(
      fc.property(value, chains, value, styles, (argument, chain, chord, style) => {
        const embed = { callbacks: [{ chain: [padding] }], errbacks: null, chain, chord }
        const bytes = styled([[argument], { argument }, embed], style)
        const place = findChain(bytes)
        if (place === undefined) {
          // Only what rule 1 leaves to the general reader.
          expect(bytes.toString()).toMatch(/__type__|\\u00[4-7]/)
          return
        }
        const whole = (decodeJson(bytes) as [unknown, unknown, { chain: unknown }])[2].chain
        expect(decodeJson(bytes.subarray(place.open, place.close + 1))).toEqual(whole)
        expect(place.commas.length).toBe(chain.length - 1)
      }),
      { numRuns: 300 },
    )
  })

  it('are never found in what the general reader refuses', () => {
    const mutation = fc.tuple(fc.nat(), fc.constantFrom(...Buffer.from('"\\[]{},:0-.eu\n\x00ÿ x')))
    fc.assert(
      fc.property(
        chains,
        styles,
        fc.array(mutation, { minLength: 1, maxLength: 3 }),
        (chain, style, mutations) => {
          const bytes = styled(bodyWith([...chain, step('padding', padding)], { task: 'body' }), style)
          for (const [at, byte] of mutations) bytes[at % bytes.length] = byte
          const place = findChain(bytes)
          if (place === undefined) return
          const whole = decodeJson(bytes) as [unknown, unknown, { chain: unknown[] }]
          expect(decodeJson(bytes.subarray(place.open, place.close + 1))).toEqual(whole[2].chain)
          expect(place.commas.length).toBe(whole[2].chain.length - 1)
        },
      ),
      { numRuns: 3000 },
    )
  })
})
