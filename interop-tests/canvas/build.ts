/** Canvases of the tests as a TypeScript client writes them; what `build` of canvas_app.py does in Python. */
import { tuple } from '../../protocol/values.js'
import { type Celery, chain, chord, group, type Signature } from '../../src/index.js'
import type { Lang, Spec } from './spec.js'

/** The canvas that `spec` describes. */
export function build(app: Celery, spec: Spec): Signature {
  const made = unlinked(app, spec)
  if ('err' in spec && spec.err !== undefined)
    made.linkError(app.signature(`${errorLang(spec)}.errback`, { args: tuple(spec.err) }))
  return made
}

function unlinked(app: Celery, spec: Spec): Signature {
  switch (spec.k) {
    case 'task': {
      const { lang, fn, tag, n, im = false } = spec
      return app.signature(`${lang}.${fn}`, {
        args: n === undefined ? tuple(tag) : tuple(n, tag),
        immutable: im,
      })
    }
    case 'chain':
      return chain(spec.steps.map((step) => build(app, step)))
    case 'group':
      return group(spec.members.map((member) => build(app, member))) as unknown as Signature
    case 'chord':
      return chord(
        spec.header.map((member) => build(app, member)),
        build(app, spec.body),
      ) as unknown as Signature
  }
}

function errorLang(spec: Spec): Lang {
  return ('errlang' in spec ? spec.errlang : undefined) ?? 'py'
}
