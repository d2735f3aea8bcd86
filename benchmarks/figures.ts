/** Samples of one measure, and how they are shown. */

/** One measured thing: the samples of all rounds. */
export interface Figure {
  readonly name: string
  readonly who: string
  readonly unit: string
  readonly samples: number[]
}

/** Collects samples by measure and by who was measured, in the order they first came. */
export class Figures {
  readonly list: Figure[] = []

  add(name: string, who: string, unit: string, sample: number): void {
    let figure = this.list.find((f) => f.name === name && f.who === who)
    if (figure === undefined) {
      figure = { name, who, unit, samples: [] }
      this.list.push(figure)
    }
    figure.samples.push(sample)
  }

  /** Rows with median, lowest and highest sample. */
  rows(): readonly { readonly [column: string]: string | number }[] {
    return this.list.map(({ name, who, unit, samples }) => ({
      measure: name,
      who,
      median: rounded(quantile(samples, 0.5)),
      lowest: rounded(Math.min(...samples)),
      highest: rounded(Math.max(...samples)),
      unit,
      rounds: samples.length,
    }))
  }
}

/** The sample below which the share `q` of all lies; the mean of the two in the middle for an even median. */
export function quantile(samples: readonly number[], q: number): number {
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (sorted.length - 1) * q
  const low = sorted[Math.floor(at)] ?? Number.NaN
  const high = sorted[Math.ceil(at)] ?? Number.NaN
  return low + (high - low) * (at - Math.floor(at))
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
