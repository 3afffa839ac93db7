/**
 * Keeps bench/results/<month>.md, one section for each benchmark, replaced by its newest run; and
 * runs what is compared in interleaved rounds: every peer has its turn in each round, and is
 * compared within it. docs/inside/benchmarks.md has the newest figures of these pages.
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import os, { loadavg } from 'node:os';
import { fileURLToPath } from 'node:url';

const MONTH = new Date().toISOString().slice(0, 7);
const PAGE = fileURLToPath(new URL(`../../bench/results/${MONTH}.md`, import.meta.url));
const HEAD = `# Benchmarks, ${MONTH}

Measured side by side in one run on one machine, against one server, by \`npm run bench\`. Figures of
different runs or machines are not comparable; ratios within one table are.
`;

interface Section {
  /** Heading, and the place in the page. */
  readonly title: string;
  /** What was run, in a sentence or two. */
  readonly how: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** Prints the section and keeps it in the page. */
export function report(section: Section): void {
  const text = render(section);
  process.stdout.write(`\n${text}\n`);
  const page = existsSync(PAGE) ? readFileSync(PAGE, 'utf8') : HEAD;
  const start = page.indexOf(`## ${section.title}\n`);
  const next = start < 0 ? -1 : page.indexOf('\n## ', start + 1);
  const before = (start < 0 ? page : page.slice(0, start)).trimEnd();
  const after = next < 0 ? '' : page.slice(next + 1);
  writeFileSync(
    PAGE,
    `${[before, text, after]
      .filter((part) => part !== '')
      .join('\n\n')
      .trimEnd()}\n`,
  );
}

function render({ title, how, columns, rows }: Section): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    `## ${title}`,
    '',
    `${how} ${machine()}`,
    '',
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map(line),
  ].join('\n');
}

/** The day and the machine's size; nothing that names it. */
function machine(): string {
  const day = new Date().toISOString().slice(0, 10);
  const memoryGib = Math.round(os.totalmem() / 2 ** 30);
  return `${day}, ${os.cpus().length} cores, ${memoryGib} GiB, Node ${process.version}.`;
}

interface Spread {
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
