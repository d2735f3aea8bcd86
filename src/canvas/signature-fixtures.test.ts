/** Every signature that Python wrote (`python-fixtures/data/signature-*`) is read and written with the same bytes. */
import { readdirSync, readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { decodeJson, encodeJson } from '../../protocol/json.js'
import type { SignatureData } from '../../protocol/signature-data.js'
import { signatureFromData } from './algebra.js'
import { unboundApp } from './unbound-app.js'

const folder = new URL('../../python-fixtures/data/', import.meta.url)
const samples = readdirSync(folder)
  .filter((name) => name.startsWith('signature-'))
  .map((file) => ({
    name: file.replace('.json', ''),
    text: (JSON.parse(readFileSync(new URL(file, folder), 'utf8')) as { readonly text: string }).text,
  }))

describe('every signature', () => {
  it.each(samples)('$name is read, and written with the same bytes', ({ text }) => {
    const data = decodeJson(text, { exact: true }) as SignatureData
    const app = unboundApp()
    const signature = signatureFromData(app, data)
    expect(encodeJson(signature.toSignatureData(), { style: 'python' })).toBe(
      encodeJson(withListedHeader(data), { style: 'python' }),
    )
    expect(encodeJson(data, { style: 'python' })).toBe(text)
    expect(() => signatureFromData(app, { ...data, task: null })).toThrow('the name of its task')
    expect(() => signatureFromData(app, { ...data, kwargs: [] })).toThrow('must be a mapping')
    expect(() => signatureFromData(app, { ...data, subtask_type: 'unknown' })).toThrow('does not know')
  })
})

/** A header that is a group is read as the list of its members, as Celery reads it (`_maybe_group`). */
function withListedHeader(data: SignatureData): SignatureData {
  const kwargs = data['kwargs'] as Readonly<Record<string, unknown>>
  const group = kwargs['header'] as { readonly kwargs?: { readonly tasks: unknown } } | undefined
  return group?.kwargs === undefined ? data : { ...data, kwargs: { ...kwargs, header: group.kwargs.tasks } }
}
