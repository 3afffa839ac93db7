/** Interleaved rounds: every peer has its turn in each round, and is compared within its round. */
import { loadavg } from 'node:os';

export interface Spread {
  readonly median: number;
  readonly low: number;
  readonly high: number;
}

/** Samples of each subject, round by round; an odd number of rounds has a median of its own. */
export async function inRounds<Subject, Sample>(
  subjects: readonly Subject[],
  rounds: number,
  sample: (subject: Subject) => Promise<Sample>,
): Promise<ReadonlyMap<Subject, readonly Sample[]>> {
  const samples = new Map<Subject, Sample[]>(subjects.map((subject) => [subject, []]));
  for (let round = 0; round < rounds; round++) {
    // Who comes first differs: what one leaves behind in the machine doesn't always meet the same.
    const first = round % subjects.length;
    for (const subject of [...subjects.slice(first), ...subjects.slice(0, first)]) {
      samples.get(subject)?.push(await sample(subject));
    }
  }
  return samples;
}

/** One figure of a subject's samples, round by round. */
export function figuresOf<Subject, Figure extends string>(
  samples: ReadonlyMap<Subject, readonly Readonly<Record<Figure, number>>[]>,
  figure: Figure,
): (subject: Subject | undefined) => readonly number[] {
  return (subject) =>
    subject === undefined ? [] : (samples.get(subject) ?? []).map((sample) => sample[figure]);
}

export function spread(values: readonly number[]): Spread {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (index: number) => sorted[index] ?? 0;
  return { median: at(sorted.length >> 1), low: at(0), high: at(sorted.length - 1) };
}

/** Of the values of one round each: how many times the base's. */
export function pairedRatios(values: readonly number[], base: readonly number[]): Spread {
  return spread(values.map((value, round) => value / (base[round] ?? Number.NaN)));
}

/** What stands in the tables, for their captions. */
export const HOW_READ =
  'medians, and of the ratios within each round the median, the lowest and the highest';

/** `1.03 (0.99–1.06)`: the median, the lowest and the highest. */
export function formatRatio({ median, low, high }: Spread): string {
  return `${median.toFixed(2)} (${low.toFixed(2)}–${high.toFixed(2)})`;
}

/** Of the last minute; measured before a benchmark, it says what else the machine did. */
export function machineLoad(): string {
  return (loadavg()[0] ?? 0).toFixed(2);
}
