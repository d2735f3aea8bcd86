import { expect, it, vi } from 'vitest'

it('CNV-070 CNV-132 CNV-133 runs the lines of examples/canvas as they stand', async () => {
  const lines: string[] = []
  const log = vi
    .spyOn(console, 'log')
    .mockImplementation((...words) => void lines.push(words.map(show).join(' ')))
  try {
    await import('../../examples/canvas/tour.js')
  } finally {
    log.mockRestore()
  }
  expect(lines).toEqual([
    'chain 12',
    'the step before it 8',
    'pipe 20',
    'group 2.0 HELLO ADA',
    'chord 110',
    'canvas.add(1, 1) | %(total([add(2), add(3)]) | double()) 18',
    'starmap [2,4,6]',
    'chunks [[2,4],[6]]',
    'callback told 42',
  ])
}, 60_000)

function show(word: unknown): string {
  return typeof word === 'string' ? word : JSON.stringify(word)
}
