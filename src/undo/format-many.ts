/** Texts and JSON of a restore of several tables, of its dry run, and of changed holds. Pure. */
import { UndropError } from '../errors.js';
import {
  droppedJson,
  formatName,
  formatRestoreReport,
  formatUntil,
  heldJson,
  printable,
  restoreReportJson,
} from './format.js';
import type { FailedRestore, ManyReport } from './restore-many.js';
import type { HoldReport } from './run-hold.js';
import type { Plan, RestoreReport } from './run-restore.js';

/** A table of several, printed as soon as it is done. */
export function formatResult(
  result: RestoreReport | FailedRestore,
  { done, of }: { readonly done: number; readonly of: number },
): string {
  const failed = (what: string) => `${printable(what)} was not restored.\n`;
  const text = 'error' in result ? failed(result.what) : formatRestoreReport(result);
  return `[${done}/${of}] ${text}`;
}

/** The failures with their causes, and the tables that were not tried; empty if there are none. */
export function formatFailures(
  { done, failed, untried }: ManyReport<unknown>,
  { isDryRun }: { readonly isDryRun: boolean },
): string {
  const count = failed.length + untried.length;
  if (count === 0) return '';
  const verb = isDryRun ? 'would not be' : 'were not';
  return [
    `undrop: ${count} of ${count + done.length} ${verb} restored:\n`,
    ...byCause(failed).map(([cause, whats]) => `  ${printable(`${someOf(whats)}: ${cause}`)}\n`),
    ...untried.map((what) => `  ${printable(what)}: not tried, the server did not answer\n`),
  ].join('');
}

/** Groups failures by their texts, apart from the id. */
function byCause(failed: readonly FailedRestore[]): readonly (readonly [string, string[]])[] {
  const found = new Map<string, [string, string[]]>();
  for (const { what, error } of failed) {
    const cause = formatCause(error);
    const key = cause.replaceAll(/[0-9a-f]{32}/g, '');
    const [first, whats] = found.get(key) ?? [cause, []];
    found.set(key, [first, [...whats, what]]);
  }
  return [...found.values()];
}

const NAMES_MAX = 3;

function someOf(whats: readonly string[]): string {
  const more = whats.length - NAMES_MAX;
  return `${whats.slice(0, NAMES_MAX).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** With its remedy. */
function formatCause(error: unknown): string {
  if (error instanceof UndropError) return `${error.code}: ${error.message}`;
  return `the server returned: ${error instanceof Error ? error.message : String(error)}`;
}

export function manyJson({ done, failed, untried }: ManyReport<RestoreReport>): object {
  return { restored: done.map(restoreReportJson), failed: failed.map(failedJson), untried };
}

function failedJson({ what, error }: FailedRestore): object {
  const code = error instanceof UndropError ? error.code : null;
  return { what, code, message: error instanceof Error ? error.message : String(error) };
}

/** The plan of a dry run. */
export function formatPreview(
  { done }: ManyReport<Plan>,
  { swaps }: { readonly swaps: boolean },
): string {
  const lines = done.flatMap(({ table, to, wasBack, others }) => [
    `Would ${wasBack ? 'finish' : 'restore'} ${nameOf(table)} as ${formatName(to)}.`,
    ...(swaps && !wasBack ? ['  A live table of that name would be held.'] : []),
    ...others.map((other) => `  Also held under that name, and not restored: ${other.id}`),
  ]);
  return [...lines, 'Nothing was done (--dry-run).', ''].join('\n');
}

export function previewJson({ done, failed }: ManyReport<Plan>): object {
  const wouldRestore = done.map(({ table, to, others }) => {
    const ids = others.map(({ id }) => id);
    return { id: table.id, from: table.origin, to, others: ids };
  });
  return { dryRun: true, wouldRestore, failed: failed.map(failedJson) };
}

/** Its due time now, and before. */
export function formatHold({ table, dueBefore, recorded }: HoldReport): string {
  const [now, before] = [table.due, dueBefore].map((due) => formatUntil({ ...table, due }));
  return [
    `${nameOf(table)} is held until (UTC): ${now}; before: ${before}.\n`,
    ...(recorded === false ? ['The ledger could not be updated; recovery will do that.\n'] : []),
  ].join('');
}

export function holdJson({ table, dueBefore, recorded }: HoldReport): object {
  const untilBefore = dueBefore.toISOString();
  return { ...droppedJson(table), ...heldJson(table), untilBefore, recorded };
}

function nameOf({ origin, id }: Pick<Plan['table'], 'origin' | 'id'>): string {
  return `${formatName(origin)} (${id})`;
}
