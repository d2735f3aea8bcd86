import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { createCodec } from '../../protocol/serializers.js'
import { metaOf } from './backend.conformance.js'
import type { ResultBackend } from './backend.js'
import { openBackend } from './open.js'

/** A header of one task and a group of two, as the sender has saved it. */
const saved = [
  ['header', null],
  [
    [['first', null], null],
    [
      ['header', null],
      [
        [['second', null], null],
        [['third', null], null],
      ],
    ],
  ],
]

describe('a header that holds a group', () => {
  let backend: ResultBackend
  beforeEach(async () => {
    backend = openBackend('cache+memory://', { codec: createCodec(), joinTimeout: 0.5 })
    await backend.storeGroup('header', saved as never)
    // What a Celery worker tells that sends the group.
    await backend.chords?.begin('header', 2)
    await backend.store(metaOf('first', 'SUCCESS', 1))
    await backend.chords?.partDone('header', 0, metaOf('first', 'SUCCESS', 1))
    await backend.store(metaOf('second', 'SUCCESS', 2))
  })
  afterEach(() => backend.close())

  const counted = () => backend.chords?.partDone('header', 0, metaOf('second', 'SUCCESS', 2))

  it('CNV-104 CNV-107 is joined when the results that are under way have come', async () => {
    await backend.store(metaOf('third', 'STARTED', null))
    const parts = counted()
    await backend.store(metaOf('third', 'SUCCESS', 3))
    expect((await parts)?.map(({ state, result }) => [state, result])).toEqual([
      ['SUCCESS', 1],
      ['SUCCESS', [2, 3]],
    ])
  })

  it('CFG-121 CNV-107 fails where one does not come in result_chord_join_timeout', async () => {
    expect((await counted())?.[1]).toMatchObject({ state: 'FAILURE', result: { type: 'TimeoutError' } })
  })
})
