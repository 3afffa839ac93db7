/**
 * The findings that `undrop doctor`, `undrop serve --check` and `undrop status` print: what is as
 * it should be, and what isn't.
 */
import { filterProblem } from '../../account/replication-filters.js';
import { type Field, jsonText, printTable } from '../../printer.js';
import type { ServicePool } from '../../service/pool/pools.js';
import { whatIsNotHeld } from '../settings.js';
import type { Flags } from '../shell.js';

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

/** The exit code of a command by its worst finding. */
export const EXIT_CODES = { failed: 2, warning: 1, ok: 0 } as const;

export function findingsOf(
  check: string,
  result: Finding['result'],
  texts: readonly string[],
): readonly Finding[] {
  return texts.map((text) => ({ check, result, text }));
}

/** The worst result; a note counts as ok. */
export function resultOf(findings: readonly Finding[]): keyof typeof EXIT_CODES {
  const has = (wanted: Finding['result']) => findings.some(({ result }) => result === wanted);
  return has('failed') ? 'failed' : has('warning') ? 'warning' : 'ok';
}

/** A line for each, or with --json an object. */
export function formatFindings(findings: readonly Finding[], flags: Flags): string {
  if (flags['json'] === true) return jsonText({ result: resultOf(findings), findings });
  return printTable(FIELDS, findings);
}

/** Whether the settings hold all drops. */
export function settingsFindings(
  settings: Parameters<typeof whatIsNotHeld>[0],
): readonly Finding[] {
  const { sentences, chosen } = whatIsNotHeld(settings);
  const held = `tables are held on ${settings.protect.join(', ')}`;
  return [
    ...findingsOf('settings', 'ok', sentences.length === 0 ? [held] : []),
    ...findingsOf('settings', 'warning', sentences),
    ...findingsOf('settings', 'note', chosen),
  ];
}

/** Replication filters that go by the default schema. */
export async function replicationFindings(pool: ServicePool): Promise<readonly Finding[]> {
  const problem = await filterProblem(pool);
  return findingsOf('replication', 'warning', problem === null ? [] : [problem]);
}
