/** Names of worker nodes (`celery/utils/nodenames.py`; surface WRK-007). Pure: the machine's name is passed in. */
import { InvalidArgumentError } from '../errors.js'

/**
 * The node name that `-n` asks for: without `@` the text is the host part, an empty part gets its default (`celery`,
 * the machine), then the abbreviations are expanded. Throws `InvalidArgumentError` for an unknown abbreviation.
 */
export function nodeName(asked: string | undefined, hostname: string): string {
  const [name, host] = splitNodeName(asked ?? '')
  return expand(
    `${name || 'celery'}@${host || hostname}`,
    hostname,
    hostname.split('.', 1)[0] ?? '',
    undefined,
  )
}

/** `[name, host]` of a node name; the name is empty where there is no `@`. */
export function splitNodeName(node: string): readonly [name: string, host: string] {
  const at = node.indexOf('@')
  return at === -1 ? ['', node] : [node.slice(0, at), node.slice(at + 1)]
}

/**
 * Expands the abbreviations of a path or title for `node`: `%h` host, `%n` name part, `%d` domain, `%p` whole node
 * name, `%i` and `%I` the pool index (0 and nothing in the parent), `%%`. Throws `InvalidArgumentError` for others.
 */
export function formatForNode(text: string, node: string): string {
  const [name, host] = splitNodeName(node)
  return expand(text, host, name || 'celery', node)
}

function expand(text: string, host: string, name: string, node: string | undefined): string {
  const dot = host.indexOf('.')
  const parts = new Map([
    ['h', host],
    ['n', name],
    ['d', dot === -1 ? '' : host.slice(dot + 1)],
    ['i', '0'],
    ['I', ''],
    ['%', '%'],
  ])
  if (node !== undefined) parts.set('p', node)
  return text.replace(/%([\w%])/g, (whole, letter: string) => {
    const part = parts.get(letter)
    if (part !== undefined) return part
    throw new InvalidArgumentError(
      `Unknown abbreviation ${whole} in ${JSON.stringify(text)}: use ${known(parts)}.`,
    )
  })
}

function known(parts: ReadonlyMap<string, string>): string {
  return [...parts.keys()].map((letter) => `%${letter}`).join(', ')
}
