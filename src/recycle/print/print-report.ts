/**
 * The results of a restore, for one table, for several, for a schema, and of a changed hold, as
 * texts and as JSON; and the preview of a dry run. Pure.
 */
import { timeText } from '../../duration.js';
import { UndropError } from '../../errors.js';
import type { BrokenKey } from '../../held/foreign-keys/broken-rows.js';
import type { ReattachedKey } from '../../held/foreign-keys/reattach.js';
import { keyRowsText } from '../../held/foreign-keys/reattach.js';
import { type QualifiedTable, writtenName } from '../../names/names.js';
import { formatCount, printable, someOf } from '../../printer.js';
import type { HoldReport } from '../change-hold.js';
import type { DroppedTable, KnownTable } from '../held-tables.js';
import type { Preview } from '../preview.js';
import type { FailedRestore, ManyReport } from '../restore.js';
import { lackingOf, type RestoreReport, type RowCount } from '../restore-table.js';
import type { UndoneSchema } from '../schema/restore-schema.js';
import { formatName, formatTime, formatUntil, heldJson, heldListJson } from './print-held.js';

/** The result, in one or a few lines. */
export function formatRestoreReport(report: RestoreReport): string {
  const { others, larger, brokenKeys, triggersToMake: script } = report;
  const lines = present(
    formatRestored(report),
    typeof report.swapped === 'string'
      ? `The table that had the name is held: ${report.swapped}.`
      : null,
    ...formatLeft([report]),
    formatCopied([report], []),
    // For an administrator.
    script && `An account with the privileges can create the missing triggers:\n${script}`,
    ...brokenKeys.map(({ query }) => `  ${printable(query)}`),
    larger && `${formatLarger(larger)}: undrop restore ${larger.table.id} --swap`,
  );
  return `${lines.join('\n')}\n${formatAlsoHeld(others, 'restore them by id')}`;
}

/** Sentences about what is not as it was, of the tables of one request. */
export function formatLeft(restored: readonly RestoreReport[]): readonly string[] {
  const back = new Set(restored.map(({ restoredAs }) => writtenName(restoredAs)));
  return restored.flatMap((report) => {
    const { recorded, restoredAs } = report;
    const all = present(
      ...lackingOf(report),
      ...report.foreignKeys.map((key) => formatKey(key, restoredAs, back)),
      ...report.brokenKeys.map((key) => formatBrokenKey(key, report)),
      recorded === false ? 'the ledger could not be updated; recovery will do that.' : null,
    );
    return all.map((one) => printable(`${writtenName(restoredAs)}: ${one}`));
  });
}

/** `back`: the tables of the request. Null: the key is as it was. */
function formatKey(
  key: ReattachedKey,
  restoredAs: QualifiedTable,
  back: ReadonlySet<string>,
): string | null {
  const { name, parent, oldParent } = key;
  if (key.problem !== null) return null;
  if (oldParent !== null)
    return `foreign key ${name} refers to another ${parent}; ${oldParent}; ${keyRowsText(key.rows)}.`;
  if (key.table !== writtenName(restoredAs))
    return `foreign key ${name} of ${key.table} was added: it had waited for this table.`;
  if (!key.isParentMissing || back.has(parent)) return null;
  return `foreign key ${name} refers to ${parent}, which is missing; restore it, too.`;
}

function formatBrokenKey(broken: BrokenKey, { foreignKeys }: RestoreReport): string {
  const { name, table, isSeen } = broken;
  const key = foreignKeys.find((one) => one.name === name && one.table === table);
  const id = key?.heldParent ?? null;
  const what = isSeen ? 'rows break' : 'did not check whether rows break';
  const old = id === null ? '' : `: UNDROP TABLE '${id}' SWAP restores its old parent`;
  return `${what} foreign key ${name}${old}.`;
}

/** The lines that there are. */
export function present(...lines: readonly (string | null)[]): readonly string[] {
  return lines.filter((line) => line !== null);
}

/** `instead`: what to do with them; empty if there are none. */
export function formatAlsoHeld(others: readonly DroppedTable[], instead: string): string {
  if (others.length === 0) return '';
  const lines = others.map(
    ({ id, state, droppedAt }) => `  ${id}  ${state}  dropped ${formatTime(droppedAt)}\n`,
  );
  return `Also held under that name; ${instead}:\n${lines.join('')}`;
}

/** The restored table, in a sentence. */
export function formatRestored(report: RestoreReport): string {
  const { origin, restoredAs } = report;
  const what = origin === null ? report.id : formatName(origin);
  const isSameName = origin?.schema === restoredAs.schema && origin.table === restoredAs.table;
  const as = isSameName ? '' : ` as ${formatName(restoredAs)}`;
  const done = report.wasBack ? 'Finished an earlier restore: restored' : 'Restored';
  return `${done} ${what}${as}${formatDetails(report)}.`;
}

/** When, by whom and how it was dropped, and its number of rows, in parentheses. */
function formatDetails({ origin, droppedAt, how, user, count }: RestoreReport): string {
  const by = user === null ? '' : ` by ${printable(user)}`;
  const details = present(
    droppedAt && `dropped ${formatTime(droppedAt)} UTC${by}`,
    how,
    count === null ? origin && 'rows not counted' : formatRowCount(count),
  );
  return details.length === 0 ? '' : ` (${details.join(', ')})`;
}

/** The start of a sentence that goes on with how to restore that table. */
export function formatLarger({ table, count }: NonNullable<RestoreReport['larger']>): string {
  return `The one dropped ${formatTime(table.droppedAt)} UTC has ${formatRowCount(count)}`;
}

function formatRowCount({ rows, precision }: RowCount): string {
  const words = `${formatCount(rows)} ${rows === 1 ? 'row' : 'rows'}`;
  return precision === 'exact' ? words : `${precision} ${words}`;
}

/** The report for `--json`. */
export function restoreReportJson(report: RestoreReport): object {
  const { id, origin, restoredAs, others, larger, isToCome: _now, dropId: _of, ...rest } = report;
  return {
    id,
    schema: origin?.schema ?? null,
    table: origin?.table ?? null,
    restoredSchema: restoredAs.schema,
    restoredTable: restoredAs.table,
    ...rest,
    droppedAt: rest.droppedAt?.toISOString() ?? null,
    others: heldListJson(others),
    larger: larger === null ? null : { id: larger.table.id, ...larger.count },
  };
}

// ── several tables ───────────────────────────────────────────────────────────────────────────────

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
  { verb }: { readonly verb: string },
): string {
  const count = failed.length + untried.length;
  if (count === 0) return '';
  return [
    `undrop: ${count} of ${count + done.length} ${verb}:\n`,
    ...byCause(failed).map(([cause, whats]) => `  ${printable(`${someOf(whats)}: ${cause}`)}\n`),
    ...untried.map((what) => `  ${printable(what)}: not tried, the server did not answer\n`),
  ].join('');
}

/**
 * Groups failures by their texts, apart from the id; taken names are one cause, with the first of
 * them. A text has its remedy.
 */
export function byCause(
  failed: readonly FailedRestore[],
): readonly (readonly [string, string[]])[] {
  const found = new Map<string, [string, string[]]>();
  for (const { what, error } of failed) {
    const cause = formatCause(error);
    const isTaken = error instanceof UndropError && error.code === 'UNDROP_NAME_TAKEN';
    const key = isTaken ? error.code : cause.replaceAll(/[0-9a-f]{32}/g, '');
    const [first, whats] = found.get(key) ?? [cause, []];
    found.set(key, [first, [...whats, what]]);
  }
  return [...found.values()];
}

/** With its remedy. */
function formatCause(error: unknown): string {
  if (error instanceof UndropError) return `${error.code}: ${error.message}`;
  return `the server returned: ${error instanceof Error ? error.message : String(error)}`;
}

/** The tables that lack a part, with the way to add it; empty if there are none. */
export function formatMissing(done: readonly RestoreReport[]): string {
  const lines = done.flatMap((report) => {
    const missing = lackingOf(report);
    if (missing.length === 0) return [];
    const name = formatName(report.restoredAs);
    const more = report.triggersToMake === null ? '' : `; UNDROP TABLE ${name} adds them: ${WHO}`;
    return [`  ${printable(`${name}: ${missing.join(', ')}${more}`)}\n`];
  });
  return lines.length === 0 ? '' : `undrop: not restored as before:\n${lines.join('')}`;
}

const WHO =
  'through undrop, by a user who may create them; with the tier full (`undrop init --tier full`) ' +
  'undrop does';

export function manyJson(
  { done, failed, untried }: ManyReport<RestoreReport>,
  schemas: readonly UndoneSchema[] | undefined,
): object {
  const restored = done.map(restoreReportJson);
  return { restored, failed: failed.map(failedJson), untried, ...(schemas && { schemas }) };
}

export function manyHoldsJson({ done, failed, untried }: ManyReport<HoldReport>): object {
  return { changed: done.map(holdJson), failed: failed.map(failedJson), untried };
}

function failedJson({ what, error }: FailedRestore): object {
  const code = error instanceof UndropError ? error.code : null;
  return { what, code, message: error instanceof Error ? error.message : String(error) };
}

/** The plan of a dry run; `parts`: views and programs. */
export function formatPreview({ done }: ManyReport<Preview>, parts: readonly string[]): string {
  const lines = done.flatMap(({ plan: { table, to, wasBack, others }, notes }) => [
    `Would ${wasBack ? 'finish' : 'restore'} ${nameWithId(table)} as ${formatName(to)}.`,
    ...notes.map((note) => `  ${printable(note)}`),
    ...others.map((other) => `  Also held under that name, and not restored: ${other.id}`),
  ]);
  const made = parts.map((part) => `Would create ${printable(part)}.`);
  return [...lines, ...made, 'Nothing was done (--dry-run).', ''].join('\n');
}

export function previewJson(
  { done, failed }: ManyReport<Preview>,
  wouldCreate: readonly string[],
): object {
  const wouldRestore = done.map(({ plan: { table, to, others }, foreignKeys, triggers, notes }) => {
    const ids = others.map(({ id }) => id);
    return { id: table.id, from: table.origin, to, others: ids, foreignKeys, triggers, notes };
  });
  return { dryRun: true, wouldRestore, wouldCreate, failed: failed.map(failedJson) };
}

/** Its due time now, and before. */
export function formatHold({ table, dueBefore, recorded }: HoldReport): string {
  const [now, before] = [table.due, dueBefore].map((due) => formatUntil({ ...table, due }));
  const { lockedUntil } = table;
  const locked = lockedUntil === null ? '' : `; locked until ${formatTime(lockedUntil)}`;
  const text = `${nameWithId(table)} is held until (UTC): ${now}; before: ${before}${locked}.\n`;
  return recorded === false
    ? `${text}The ledger could not be updated; recovery will do that.\n`
    : text;
}

export function holdJson({ table, dueBefore, recorded }: HoldReport): object {
  const untilBefore = dueBefore.toISOString();
  return { ...heldJson(table), untilBefore, recorded };
}

/** With its id, as several tables may have had one name. */
export function nameWithId({ origin, id }: Pick<KnownTable, 'origin' | 'id'>): string {
  return `${formatName(origin)} (${id})`;
}

// ── a schema ─────────────────────────────────────────────────────────────────────────────────────

/** Tables that a request has meant, and of which rows are gone; null: none. */
export function formatLost(lost: readonly string[]): string | null {
  if (lost.length === 0) return null;
  return `No longer held whole: ${formatCount(lost.length)} (${someOf(lost)}).`;
}

/** Sentences about the parts that a schema lacks beside its tables. */
export function formatLacking(undone: UndoneSchema): readonly string[] {
  const { schema, restoredAs, problem, parts, id } = undone;
  const missing = restoredAs === schema ? parts.filter((part) => part.problem !== null) : [];
  const isDenied = missing.some((part) => /denied|privilege/i.test(part.problem ?? ''));
  const lines = present(
    problem && `Schema ${restoredAs}: ${problem}.`,
    ...missing.map((part) => `${part.kind} ${schema}.${part.name}: ${part.problem}.`),
    isDenied ? `USE the schema, and UNDROP DATABASE adds them: ${WHO}.` : null,
    isDenied ? `${WHERE} '${id}';` : null,
  );
  return lines.map(printable);
}

const WHERE =
  'Their statements are printed by: SELECT restore_script FROM _undrop.ledger WHERE id =';

/** A sentence about parts that another schema doesn't get; null: there are none. */
export function formatCopied(
  done: readonly RestoreReport[],
  undone: readonly UndoneSchema[],
): string | null {
  const triggers = done.flatMap(({ origin, restoredAs, triggers: some }) =>
    origin?.schema === restoredAs.schema ? [] : some.map(({ name }) => `TRIGGER ${name}`),
  );
  const parts = undone.flatMap(({ schema, restoredAs, parts: some }) =>
    schema === restoredAs ? [] : some.map(({ kind, name }) => `${kind} ${name}`),
  );
  const names = [...parts, ...triggers];
  if (names.length === 0) return null;
  return printable(`Not created, because their texts may name another schema: ${someOf(names)}.`);
}

/** It was restored before. `to`: as which other schema; null: none. */
export function formatBack(
  { schema, droppedAt, user }: Record<'schema' | 'user', string> & { readonly droppedAt: Date },
  to: string | null,
): string {
  const what = to === null || to === schema ? schema : `${schema} as ${to}`;
  const when = `dropped ${timeText(droppedAt)} by ${user}`;
  return printable(`${what} (${when}) is restored already: nothing to do.`);
}
