import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { diagrams, folder } from './canvas-diagrams.js'

describe('the pictures of docs/canvas.md', () => {
  it.each([...diagrams()])(
    '%s is what the library makes of its canvas (else: npm run diagrams)',
    (name, svg) => {
      expect(readFileSync(join(folder, name), 'utf8')).toBe(svg)
    },
  )

  it('are all shown in the guide', () => {
    const guide = readFileSync(join(folder, '..', 'canvas.md'), 'utf8')
    for (const name of diagrams().keys()) expect(guide).toContain(`(canvas/${name})`)
  })
})
