import { describe, expect, it } from 'vitest'
import { type AnyFunction, bindArguments, checkArguments, parametersOf } from './parameters.js'

function bind(fn: AnyFunction, params: readonly string[] | undefined, args: unknown[], kwargs = {}): unknown {
  return bindArguments('add', parametersOf(fn, params, 0), args, kwargs)
}

const add = (x: number, y: number): number => x + y

describe('arguments of a task', () => {
  it('TSK-004 PYO-011 names missing arguments as Python does, one, two or three', () => {
    const three = (x: number, y: number, z: number): number => x + y + z
    expect(() => bind(add, ['x', 'y'], [1])).toThrow(
      new TypeError("add() missing 1 required positional argument: 'y'"),
    )
    expect(() => bind(three, ['x', 'y', 'z'], [1])).toThrow(
      "add() missing 2 required positional arguments: 'y' and 'z'",
    )
    expect(() => bind(three, ['x', 'y', 'z'], [])).toThrow(
      "add() missing 3 required positional arguments: 'x', 'y', and 'z'",
    )
  })

  it('TSK-004 lets an argument be left out where no params say that it must be there', () => {
    const optional = (x: number, y?: number): number => x + (y ?? 0)
    expect(bind(optional, undefined, [1])).toEqual({ args: [1], surplus: {} })
    expect(bind(optional, ['x', 'y?'], [1])).toEqual({ args: [1], surplus: {} })
    expect(() => bind(optional, ['x', 'y'], [1])).toThrow("argument: 'y'")
  })

  it('TSK-004 counts surplus arguments as Python does', () => {
    expect(() => bind(add, undefined, [1, 2, 3])).toThrow(
      'add() takes 2 positional arguments but 3 were given',
    )
    expect(() => bind(() => 0, undefined, [1])).toThrow('add() takes 0 positional arguments but 1 was given')
    expect(() => bind((x: number) => x, undefined, [1, 2])).toThrow(
      'add() takes 1 positional argument but 2 were given',
    )
    expect(() => bind((x: number, y = 1) => x + y, undefined, [1, 2, 3])).toThrow(
      'add() takes from 1 to 2 positional arguments but 3 were given',
    )
  })

  it('PYO-017 puts keyword arguments in the places that params names, and leaves the rest to the request', () => {
    expect(bind(add, ['x', 'y'], [], { y: 2, x: 1 })).toEqual({ args: [1, 2], surplus: {} })
    expect(bind(add, ['x', 'y'], [1], { y: 2, note: 'n' })).toEqual({ args: [1, 2], surplus: { note: 'n' } })
    expect(bind(add, ['x', 'y', 'size?'], [1, 2])).toEqual({ args: [1, 2], surplus: {} })
  })

  it('never maps keyword arguments to the names of the source, which a minifier changes', () => {
    expect(() => bind(add, undefined, [1], { y: 2 })).toThrow(
      "add() missing 1 required positional argument: 'y'",
    )
  })

  it('TSK-004 refuses doubled and, before sending, unexpected keyword arguments', () => {
    const parameters = parametersOf(add, ['x', 'y'], 0)
    expect(() => bindArguments('add', parameters, [1, 2], { x: 1 })).toThrow(
      "add() got multiple values for argument 'x'",
    )
    expect(() => checkArguments('add', parameters, [1, 2], { z: 1 })).toThrow(
      "add() got an unexpected keyword argument 'z'",
    )
  })

  it('TSK-002 leaves self out', () => {
    const bound = (self: unknown, x: number): unknown => [self, x]
    expect(parametersOf(bound, undefined, 1)).toMatchObject({ names: ['x'], required: 1 })
  })

  it('reads heads with defaults, destructuring, comments, strings and rest parameters', () => {
    const odd = (a: string, /* b, */ { c } = { c: ',)' }, [d] = [`${1},`], ...more: string[]): unknown => [
      a,
      c,
      d,
      more,
    ]
    expect(parametersOf(odd, undefined, 0)).toEqual({
      names: ['a', 'arg2', 'arg3'],
      required: 1,
      isOpen: true,
      isNamed: false,
    })
    expect(parametersOf(async (one: number) => one, undefined, 0)).toMatchObject({
      names: ['one'],
      required: 1,
    })
    expect(
      parametersOf(
        async function named(one: number, two = 2) {
          return one + two
        },
        undefined,
        0,
      ),
    ).toMatchObject({ names: ['one', 'two'], required: 1, isOpen: false })
  })

  it('takes anything where the head cannot be read', () => {
    expect(bind(Math.max, undefined, [1, 2, 3])).toEqual({ args: [1, 2, 3], surplus: {} })
    const old = function (): number {
      // biome-ignore lint/complexity/noArguments: what is tested
      return arguments.length
    }
    expect(bind(old, undefined, [1, 2])).toEqual({ args: [1, 2], surplus: {} })
  })
})
