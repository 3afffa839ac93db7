/**
 * Texts and JSON of a restore of several tables, of its dry run, and of changes of a hold. Pure.
 */
import { UndropError } from '../errors.js';
import {
  formatName,
  formatRestoreReport,
  formatUntil,
  printable,
  restoreReportJson,
} from './format.js';
import type { Choice, FailedRestore, ManyReport } from './restore-many.js';
import type { HoldReport } from './run-hold.js';
import type { RestoreReport } from './run-restore.js';

/** Why it failed, and what to do. */
export function formatCause(error: unknown): string {
  if (error instanceof UndropError) return printable(`${error.code}: ${error.message}`);
  return printable(`the server says: ${error instanceof Error ? error.message : String(error)}`);
}

/** One table of several, as soon as it is done. */
export function formatResult(
  result: RestoreReport | FailedRestore,
  { done, of }: { readonly done: number; readonly of: number },
): string {
  const text =
    'error' in result ? `${printable(result.what)} failed.\n` : formatRestoreReport(result);
  return of === 1 ? text : `[${done}/${of}] ${text}`;
}

/** What became of them all: for standard output, and for standard error. */
export function formatSummary({ restored, failed, untried }: ManyReport): {
  readonly out: string;
  readonly err: string;
} {
  const all = restored.length + failed.length + untried.length;
  const tables = all === 1 ? '1 table' : `${all} tables`;
  const lines = failed.map(({ what, error }) => `  ${printable(what)}: ${formatCause(error)}\n`);
  const left = untried.map(
    (what) => `  ${printable(what)}: not tried, the server did not answer\n`,
  );
  const more = [...lines, ...left];
  const header = `undrop: ${more.length} of ${tables} not restored:\n`;
  return {
    out: `Restored ${restored.length} of ${tables}.\n`,
    err: more.length === 0 ? '' : [header, ...more].join(''),
  };
}

export function summaryJson({ restored, failed, untried }: ManyReport): object {
  return { restored: restored.map(restoreReportJson), failed: failed.map(failedJson), untried };
}

function failedJson({ what, error }: FailedRestore): object {
  const code = error instanceof UndropError ? error.code : null;
  return { what, code, message: error instanceof Error ? error.message : String(error) };
}

/** A dry run: what would become of each. */
export function formatPreview(choices: readonly Choice[]): string {
  const lines = choices.flatMap((choice) => {
    if ('error' in choice)
      return [`Would fail: ${printable(choice.what)}: ${formatCause(choice.error)}`];
    const { table, to, wasBack, others } = choice.plan;
    const what = `${formatName(table.origin)} (${table.id})`;
    const left = others.map(({ id }) => `  Also held under that name, and left: ${id}`);
    return [`Would ${wasBack ? 'finish' : 'restore'} ${what} as ${formatName(to)}`, ...left];
  });
  return [...lines, 'Nothing was done (--dry-run).', ''].join('\n');
}

export function previewJson(choices: readonly Choice[]): object {
  const planned = choices.flatMap((choice) => ('plan' in choice ? [choice.plan] : []));
  const failed = choices.flatMap((choice) => ('error' in choice ? [failedJson(choice)] : []));
  return {
    dryRun: true,
    wouldRestore: planned.map(({ table, to, others }) => ({
      id: table.id,
      schema: table.origin?.schema ?? null,
      table: table.origin?.table ?? null,
      toSchema: to.schema,
      toTable: to.table,
      others: others.map(({ id }) => id),
    })),
    wouldFail: failed,
  };
}

/** Until when it is held now, and was before. */
export function formatHold({ table, dueBefore, recorded }: HoldReport): string {
  const before = formatUntil({ ...table, due: dueBefore });
  const until = formatUntil(table);
  const held =
    until === 'pinned' ? 'pinned: held until somebody changes that' : `held until ${until} UTC`;
  const was = before === 'pinned' ? before : `${before} UTC`;
  const lines = [
    `${formatName(table.origin)} (${table.id}) is ${held} (before: ${was}).`,
    ...(recorded === false ? ['The ledger could not be told; recovery will notice.'] : []),
  ];
  return `${lines.join('\n')}\n`;
}

export function holdJson({ table, dueBefore, recorded }: HoldReport): object {
  return {
    id: table.id,
    schema: table.origin?.schema ?? null,
    table: table.origin?.table ?? null,
    until: table.due.toISOString(),
    untilBefore: dueBefore.toISOString(),
    holdSchema: table.holdSchema,
    holdName: table.holdName,
    recorded,
  };
}
