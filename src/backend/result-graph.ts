import type { AnyResult } from './any-result.js'

/** Who sent whom (`celery/utils/graph.py` DependencyGraph, surface RES-062). */
export class ResultGraph {
  readonly #adjacent = new Map<string, AnyResult[]>()
  readonly #nodes = new Map<string, AnyResult>()
  readonly #root: string

  /** `root` is the id that the drawing names as its root. */
  constructor(root: string) {
    this.#root = root
  }

  get nodes(): readonly AnyResult[] {
    return [...this.#nodes.values()]
  }

  /** Pairs of a result and one that its task sent. */
  get edges(): readonly (readonly [AnyResult, AnyResult])[] {
    return this.nodes.flatMap((node) => this.dependenciesOf(node).map((child) => [node, child] as const))
  }

  dependenciesOf(node: AnyResult): readonly AnyResult[] {
    return this.#adjacent.get(String(node)) ?? []
  }

  addNode(node: AnyResult): void {
    const label = String(node)
    if (this.#nodes.has(label)) return
    this.#nodes.set(label, node)
    this.#adjacent.set(label, [])
  }

  addEdge(from: AnyResult, to: AnyResult): void {
    this.addNode(from)
    this.#adjacent.get(String(from))?.push(to)
  }

  /** The drawing that Celery's `graph.to_dot` writes, for Graphviz. */
  toDot(): string {
    const lines = [
      'digraph dependencies {',
      `    graph [${STYLE}, bgcolor="mintcream", root="${this.#root}"]`,
    ]
    const drawn = new Set<string>()
    const draw = (label: string, colours: string): void => {
      if (drawn.has(label)) return
      drawn.add(label)
      lines.push(`    "${label}" [${STYLE}, ${colours}]`)
    }
    for (const [label, children] of this.#adjacent) {
      if (children.length === 0) draw(label, 'fillcolor="palegreen1", color="palegreen2"')
      for (const child of children) {
        draw(label, 'fillcolor="palegreen3", color="palegreen4"')
        lines.push(`    "${label}" -> "${child}" [${STYLE}, ${ARROW}]`)
      }
    }
    return `${lines.join('\n')}\n}\n`
  }
}

const STYLE = 'shape="oval", arrowhead="vee", style="filled", fontname="HelveticaNeue"'
const ARROW = 'color="darkseagreen4", arrowcolor="black", arrowsize="0.7"'
