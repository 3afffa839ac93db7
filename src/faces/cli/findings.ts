/**
 * The findings that `undrop doctor`, `undrop serve --check` and `undrop status` print: what is as
 * it should be, and what isn't.
 */
import { filterProblem } from '../../account/examine.js';
import type { ServicePool } from '../../connections/sql.js';
import { type Field, jsonText, printTable } from '../../printer.js';
import type { Flags, Shell } from './settings.js';

export interface Finding {
  /** The subject, in a word or two. */
  readonly check: string;
  /**
   * `note`: it needs no action; `warning`: it does, because drops are refused, held in part or not
   * at all, or something is left undone; `failed`: a proxy would not start.
   */
  readonly result: 'ok' | 'note' | 'warning' | 'failed';
  readonly text: string;
}

const FIELDS: readonly Field<Finding>[] = [
  { key: 'result', title: 'RESULT' },
  { key: 'check', title: 'CHECK' },
  { key: 'text', title: 'FINDING' },
];

/** By the worst finding; a note counts as ok. */
const EXIT_CODES = { failed: 2, warning: 1, ok: 0 } as const;
type Result = keyof typeof EXIT_CODES;
const WEIGHTS = ['failed', 'warning', 'note', 'ok'] as const;

export function findingsOf(
  check: string,
  result: Finding['result'],
  texts: readonly string[],
): readonly Finding[] {
  return texts.map((text) => ({ check, result, text }));
}

/** A line for each, the worst first, and a summary, or with --json all. Returns the exit code. */
export function printFindings(
  findings: readonly Finding[],
  flags: Flags,
  { stdout, summaries }: Pick<Shell, 'stdout'> & { readonly summaries?: Record<Result, string> },
): number {
  const has = (wanted: Finding['result']) => findings.some(({ result }) => result === wanted);
  const result = has('failed') ? 'failed' : has('warning') ? 'warning' : 'ok';
  const summary = summaries === undefined ? '' : `${summaries[result]}\n`;
  const isJson = flags['json'] === true;
  const sorted = WEIGHTS.flatMap((weight) => findings.filter((one) => one.result === weight));
  stdout.write(isJson ? jsonText({ result, findings }) : printTable(FIELDS, sorted) + summary);
  return EXIT_CODES[result];
}

/** Replication filters that go by the default schema. */
export async function replicationFindings(pool: ServicePool): Promise<readonly Finding[]> {
  const problem = await filterProblem(pool);
  return findingsOf('replication', 'warning', problem === null ? [] : [problem]);
}
