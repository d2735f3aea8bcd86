/** Which canvases the types let through, and which they refuse. Checked by tsc; nothing here runs. */
import { expectTypeOf } from 'vitest'
import { type AsyncResult, type Celery, chain, chord, type GroupResult, group, kw } from '../index.js'

/** Never called. */
export async function typesOfChains(app: Celery): Promise<void> {
  const add = app.task('t.add', (x: number, y: number) => x + y)
  const text = app.task('t.text', async (x: number) => String(x))
  const size = app.task('t.size', (value: string) => value.length)
  const noArguments = app.task('t.now', () => 1)

  expectTypeOf(await chain(add.s(2, 3), add.s(4)).delay()).toEqualTypeOf<AsyncResult<number>>()
  expectTypeOf(await chain(add.s(2, 3), text.s()).applyAsync()).toEqualTypeOf<AsyncResult<string>>()
  expectTypeOf(await chain(add.s(2, 3), text.s(), size.s(), add.s(1)).delay()).toEqualTypeOf<
    AsyncResult<number>
  >()
  expectTypeOf(await add.s(2, 3).pipe(text.s()).pipe(size.s()).delay()).toEqualTypeOf<AsyncResult<number>>()
  expectTypeOf(await add.s(2, 3).pipe(text.s(), size.s()).delay()).toEqualTypeOf<AsyncResult<number>>()
  expectTypeOf(await (await chain(add.s(2, 3), text.s()).delay()).get()).toEqualTypeOf<string>()
  // What the first step lacks is given when the chain is sent.
  await chain(add.s(3), text.s()).delay(2)
  // @ts-expect-error the first step lacks a number, not a text
  await chain(add.s(3), text.s()).delay('2')
  // @ts-expect-error a text is not a number
  chain(text.s(1), add.s(4))
  // @ts-expect-error the third step takes a number
  chain(add.s(2, 3), text.s(), add.s(1))
  // @ts-expect-error nothing gives the second argument
  chain(add.s(2, 3), add.s())
  // @ts-expect-error it has all of its arguments, and would get one more
  chain(add.s(2, 3), add.s(4, 5))
  // @ts-expect-error it takes no argument
  chain(add.s(2, 3), noArguments.s())
  // @ts-expect-error a text is not a number
  add.s(1, 2).pipe(text.s(), add.s(4))
  // @ts-expect-error not a signature
  chain(add.s(1, 2), add)
  // An immutable step ignores the result before it.
  chain(text.s(1), add.si(4, 5), noArguments.si())
  // Keyword arguments for Python, by name.
  chain(add.s(2, 3), add.s(kw({ y: 4 })))
  // A list of steps is taken on trust but for their kind.
  expectTypeOf(chain([1, 2].map((n) => add.s(n))).delay(1)).toEqualTypeOf<Promise<AsyncResult<number>>>()
}

/** Never called. */
export async function typesOfGroups(app: Celery): Promise<void> {
  const add = app.task('t.add', (x: number, y: number) => x + y)
  const text = app.task('t.text', async (x: number) => String(x))
  const xsum = app.task('t.xsum', (values: readonly number[]) => values.length)
  const join = app.task('t.join', (values: readonly string[]) => values.join())
  const mixed = app.task('t.mixed', (values: [number, string]) => values[1])

  expectTypeOf(await group(add.s(1, 1), text.s(2)).delay()).toEqualTypeOf<GroupResult<[number, string]>>()
  expectTypeOf(await (await group([add.s(1, 1), text.s(2)]).delay()).get()).toEqualTypeOf<[number, string]>()
  const many = group([1, 2].map((n) => add.s(n, n)))
  expectTypeOf(await (await many.delay()).get()).toEqualTypeOf<number[]>()
  // Nested groups are taken apart.
  expectTypeOf(await group(group(add.s(1, 1), text.s(1)), text.s(2)).delay()).toEqualTypeOf<
    GroupResult<[number, string, string]>
  >()
  async function* coming() {
    yield text.s(1)
  }
  expectTypeOf(await group(coming()).delay()).toEqualTypeOf<GroupResult<string[]>>()

  // What follows a group takes the list of its results.
  expectTypeOf(await many.pipe(xsum.s()).delay()).toEqualTypeOf<AsyncResult<number>>()
  expectTypeOf(await chain(group(add.s(1, 1), text.s(2)), mixed.s()).delay()).toEqualTypeOf<
    AsyncResult<string>
  >()
  expectTypeOf(await chain(add.s(1, 1), group(add.s(2), text.s())).delay()).toEqualTypeOf<
    GroupResult<[number, string]>
  >()
  // @ts-expect-error texts are not numbers
  group(text.s(1), text.s(2)).pipe(xsum.s())
  // @ts-expect-error it takes a number, not a list
  chain(group(add.s(1, 1), add.s(2, 2)), add.s(1))
  // @ts-expect-error one member does not take a number
  chain(add.s(1, 1), group(add.s(2), join.s()))
  // @ts-expect-error not a signature
  group(add.s(1, 1), 5)
  // A group of one in a chain is its member.
  expectTypeOf(await chain(add.s(1, 1), group(text.s())).delay()).toEqualTypeOf<AsyncResult<string>>()
}

/** Never called. */
export async function typesOfChords(app: Celery): Promise<void> {
  const add = app.task('t.add', (x: number, y: number) => x + y)
  const text = app.task('t.text', async (x: number) => String(x))
  const xsum = app.task('t.xsum', (values: readonly number[]) => values.length)
  const mixed = app.task('t.mixed', (values: [number, string]) => values[1])

  const header = [1, 2].map((n) => add.s(n, n))
  expectTypeOf(await chord(header, xsum.s()).delay()).toEqualTypeOf<AsyncResult<number>>()
  expectTypeOf(await chord([add.s(1, 1), text.s(2)], mixed.s()).delay()).toEqualTypeOf<AsyncResult<string>>()
  expectTypeOf(await chord(group(add.s(1, 1), text.s(2)), mixed.s()).delay()).toEqualTypeOf<
    AsyncResult<string>
  >()
  expectTypeOf(await chord(header, group(xsum.s(), xsum.s())).delay()).toEqualTypeOf<
    GroupResult<[number, number]>
  >()
  function* made() {
    yield add.s(1, 1)
  }
  chord(made(), xsum.s())
  chord(header, chain(xsum.s(), text.s()))
  chord(header, xsum.si([]))
  await chord([add.s(1), add.s(2)], xsum.s()).delay(7)
  // @ts-expect-error the header takes a number
  await chord([add.s(1), add.s(2)], xsum.s()).delay('7')
  // @ts-expect-error the body takes a list
  chord(header, add.s(1))
  // @ts-expect-error a text among the numbers
  chord([add.s(1, 1), text.s(2)], xsum.s())
  // @ts-expect-error the other way round
  chord([text.s(2), add.s(1, 1)], mixed.s())
  const texts = [1, 2].map((n) => text.s(n))
  // @ts-expect-error texts are not numbers
  chord(texts, xsum.s())
}

/** Never called. */
export async function typesOfRemoteTasks(app: Celery): Promise<void> {
  const add = app.remote<{ args: [x: number, y: number]; result: number }>('py.add')
  const xsum = app.remote<{ args: [values: number[]]; result: number }>('py.xsum')
  const anything = app.remote('py.anything')
  const upper = app.task('t.upper', (value: string) => value.toUpperCase())

  expectTypeOf(await chain(add.s(1, 2), add.s(3)).delay()).toEqualTypeOf<AsyncResult<number>>()
  expectTypeOf(await chord([add.s(1, 2), add.s(3, 4)], xsum.s()).delay()).toEqualTypeOf<AsyncResult<number>>()
  // Where no types were given, nothing is refused.
  chain(anything.s(1), upper.s(), anything.s(), add.s(1))
  chord([anything.s(), anything.s()], xsum.s())
  // @ts-expect-error a number is not a text
  chain(add.s(1, 2), upper.s())
  expectTypeOf(await xsum.map([[1, 2], [3]]).delay()).toEqualTypeOf<AsyncResult<number[]>>()
  expectTypeOf(
    await add
      .starmap([
        [1, 2],
        [3, 4],
      ])
      .delay(),
  ).toEqualTypeOf<AsyncResult<number[]>>()
  expectTypeOf(await add.chunks([[1, 2]], 1).applyAsync()).toEqualTypeOf<GroupResult<number[][]>>()
  // @ts-expect-error texts are not numbers
  add.starmap([['a', 'b']])
  // @ts-expect-error not a list of numbers
  xsum.map(['a'])
}
