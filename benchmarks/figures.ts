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

  /**
   * Tables for README.md: one for each topic (what stands before the first comma of a name) and unit, with a column for
   * each who was measured; medians, with the lowest and the highest sample in brackets.
   */
  markdown(): string {
    const topicOf = ({ name, unit }: Figure): string => `${name.split(',')[0]}, ${unit}`
    return unique(this.list.map(topicOf))
      .map((topic) =>
        this.table(
          topic,
          this.list.filter((one) => topicOf(one) === topic),
        ),
      )
      .join('\n')
  }

  private table(topic: string, figures: readonly Figure[]): string {
    const columns = unique(figures.map(({ who }) => who))
    const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |\n`
    const rows = unique(figures.map(({ name }) => name)).map((name) => {
      const cells = columns.map((who) =>
        cell(figures.find((one) => one.name === name && one.who === who)?.samples),
      )
      return line([name.split(',').slice(1).join(',').trim(), ...cells])
    })
    return line([topic, ...columns]) + line(['---', ...columns.map(() => '---')]) + rows.join('')
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

function unique(values: readonly string[]): readonly string[] {
  return [...new Set(values)]
}

function cell(samples: readonly number[] | undefined): string {
  if (samples === undefined) return ''
  const text = (value: number): string => rounded(value).toLocaleString('en')
  const median = text(quantile(samples, 0.5))
  return samples.length === 1
    ? median
    : `${median} (${text(Math.min(...samples))}-${text(Math.max(...samples))})`
}

function rounded(value: number): number {
  return Number(value.toPrecision(4))
}
