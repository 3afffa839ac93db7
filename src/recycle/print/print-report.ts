/**
 * The results of a restore, for one table, for several, for a schema, and of a changed hold, as
 * texts and as JSON; and the preview of a dry run. Pure.
 */
import { utcText } from '../../duration.js';
import { UndropError } from '../../errors.js';
import type { BrokenKey } from '../../held/foreign-keys/broken-rows.js';
import type { Reattached, ReattachedKey } from '../../held/foreign-keys/reattach.js';
import { keyRowsText } from '../../held/foreign-keys/reattach.js';
import { type QualifiedTable, writtenName } from '../../names/names.js';
import { formatCount, printable } from '../../printer.js';
import type { HoldReport } from '../change-hold.js';
import type { DroppedTable, KnownTable } from '../held-tables.js';
import type { Preview } from '../preview.js';
import type { FailedRestore, ManyReport } from '../restore.js';
import type { RestoreReport, RowCount } from '../restore-table.js';
import type { SchemaPreview, SchemaReport } from '../schema/restore-schema.js';
import { formatName, formatTime, formatUntil, heldJson, heldListJson } from './print-held.js';

/** The result, in one or a few lines. */
export function formatRestoreReport(report: RestoreReport): string {
  const { others, larger, restoredAs, triggersToMake: script } = report;
  const lines = present(
    formatRestored(report),
    typeof report.swapped === 'string'
      ? `The table that had the name is held: ${report.swapped}.`
      : null,
    report.recorded === false ? NOT_RECORDED : null,
    ...report.checks.map((check) => formatPart('CHECK', check)),
    ...report.foreignKeys.map((key) => formatForeignKey(key, restoredAs)),
    formatProblem('foreign keys', report.foreignKeysProblem),
    ...report.triggers.map((trigger) => formatPart('Trigger', trigger)),
    formatProblem('triggers', report.triggersProblem),
    // For an administrator.
    script && `An account with the privileges can create the missing triggers:\n${script}`,
    ...report.brokenKeys.flatMap((key) => formatBrokenKey(key, heldParentOf(report, key))),
    larger && `${formatLarger(larger)}: undrop restore ${larger.table.id} --swap`,
  );
  return `${lines.join('\n')}\n${formatAlsoHeld(others, 'restore them by id')}`;
}

/** The lines that there are. */
export function present(...lines: readonly (string | null)[]): readonly string[] {
  return lines.filter((line) => line !== null);
}

const NOT_RECORDED = 'The ledger could not be updated; recovery will do that.';

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

function formatProblem(what: string, problem: string | null): string | null {
  return problem === null ? null : `Its ${what} could not be restored: ${printable(problem)}`;
}

/** Null: the key is unchanged. */
function formatForeignKey(key: ReattachedKey, restoredAs: QualifiedTable): string | null {
  const what = printable(`Foreign key ${key.name} of ${key.table} to ${key.parent}`);
  if (key.problem !== null) return `${what} was not restored: ${printable(key.problem)}`;
  if (key.oldParent !== null) {
    const rows = keyRowsText(key.rows);
    return printable(`${what} refers to another table than before; ${key.oldParent}; ${rows}.`);
  }
  if (key.table !== writtenName(restoredAs)) {
    return `${what} was added: it had waited for this table.`;
  }
  return key.isParentMissing
    ? `${what} was restored; its parent table is missing until it is restored or created.`
    : null;
}

/** The id of the held table that the rows of a broken key refer to; null: none. */
export function heldParentOf({ foreignKeys }: RestoreReport, broken: BrokenKey): string | null {
  const isSame = ({ name, table }: BrokenKey | ReattachedKey) =>
    name === broken.name && table === broken.table;
  return foreignKeys.find(isSame)?.heldParent ?? null;
}

function formatBrokenKey(
  { name, table, query, isSeen }: BrokenKey,
  heldParent: string | null,
): readonly string[] {
  const what = isSeen ? 'Rows break' : 'Undrop did not check whether rows break';
  return present(
    printable(`${what} foreign key ${name} of ${table}; this lists them:`),
    `  ${printable(query)}`,
    heldParent && `Its old parent is held: undrop restore ${heldParent} --swap`,
  );
}

/** A CHECK or a trigger; null: it is unchanged. */
function formatPart(kind: string, { name, table, problem }: Reattached): string | null {
  if (problem === null) return null;
  return printable(`${kind} ${name} of ${table} was not restored as it was: ${problem}`);
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

const NAMES_MAX = 3;

export function someOf(whats: readonly string[], shown = NAMES_MAX): string {
  const more = whats.length - shown;
  return `${whats.slice(0, shown).join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** With its remedy. */
function formatCause(error: unknown): string {
  if (error instanceof UndropError) return `${error.code}: ${error.message}`;
  return `the server returned: ${error instanceof Error ? error.message : String(error)}`;
}

/** The tables that lack a part, with the way to add it; empty if there are none. */
export function formatMissing(done: readonly RestoreReport[]): string {
  const lines = done.flatMap((report) => {
    const missing = missingOf(report);
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

function missingOf(report: RestoreReport): readonly string[] {
  const { origin, restoredAs, checks, foreignKeys, triggers } = report;
  const lacking = (kind: string, parts: readonly Reattached[]) =>
    parts.flatMap(({ name, problem }) => (problem === null ? [] : [`${kind} ${name}`]));
  // Another schema gets no triggers.
  const isCopy = origin !== null && origin.schema !== restoredAs.schema;
  return [
    ...lacking('CHECK', checks),
    ...(report.foreignKeysProblem === null ? [] : ['foreign keys']),
    ...lacking('foreign key', foreignKeys),
    ...(report.triggersProblem === null ? [] : ['triggers']),
    ...(isCopy ? [] : lacking('trigger', triggers)),
  ];
}

export function manyJson({ done, failed, untried }: ManyReport<RestoreReport>): object {
  return { restored: done.map(restoreReportJson), failed: failed.map(failedJson), untried };
}

export function manyHoldsJson({ done, failed, untried }: ManyReport<HoldReport>): object {
  return { changed: done.map(holdJson), failed: failed.map(failedJson), untried };
}

function failedJson({ what, error }: FailedRestore): object {
  const code = error instanceof UndropError ? error.code : null;
  return { what, code, message: error instanceof Error ? error.message : String(error) };
}

/** The plan of a dry run. */
export function formatPreview({ done }: ManyReport<Preview>): string {
  const lines = done.flatMap(({ plan: { table, to, wasBack, others }, notes }) => [
    `Would ${wasBack ? 'finish' : 'restore'} ${nameWithId(table)} as ${formatName(to)}.`,
    ...notes.map((note) => `  ${printable(note)}`),
    ...others.map((other) => `  Also held under that name, and not restored: ${other.id}`),
  ]);
  return [...lines, 'Nothing was done (--dry-run).', ''].join('\n');
}

export function previewJson({ done, failed }: ManyReport<Preview>): object {
  const wouldRestore = done.map(({ plan: { table, to, others }, foreignKeys, triggers, notes }) => {
    const ids = others.map(({ id }) => id);
    return { id: table.id, from: table.origin, to, others: ids, foreignKeys, triggers, notes };
  });
  return { dryRun: true, wouldRestore, failed: failed.map(failedJson) };
}

/** Its due time now, and before. */
export function formatHold({ table, dueBefore, recorded }: HoldReport): string {
  const [now, before] = [table.due, dueBefore].map((due) => formatUntil({ ...table, due }));
  const text = `${nameWithId(table)} is held until (UTC): ${now}; before: ${before}.\n`;
  return recorded === false ? `${text}${NOT_RECORDED}\n` : text;
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

/**
 * The result in one line, then the parts that are missing or differ, each with a line or its SQL.
 */
export function formatSchemaReport(report: SchemaReport): string {
  const { schema, restoredAs, parts, id } = report;
  const missing = parts.filter(({ problem }) => problem !== null);
  const isCopy = restoredAs !== schema;
  const problems = formatProblems(isCopy ? { ...report, parts: [] } : report);
  const lines = [formatRestoredSchema(report), ...problems];
  if (isCopy && missing.length > 0) {
    const names = missing.map(({ kind, name }) => `${kind} ${name}`).join(', ');
    lines.push(`Not created, because their texts name ${schema}: ${names}.`);
  }
  if (isDenied(report)) lines.push(`${MAKES_PARTS}.`);
  if (missing.some(({ statement }) => statement !== null)) lines.push(`${WHERE} '${id}';`);
  return [...lines.map(printable), ...formatOthers(report), ''].join('\n');
}

/** Each thing that is not back as it was. */
export function formatProblems(report: SchemaReport): readonly string[] {
  const { restoredAs, problem, tables, parts } = report;
  const lacking = parts.filter((part) => part.problem !== null);
  return present(
    problem && `Schema ${restoredAs}: ${problem}.`,
    ...tables.flatMap(({ table, outcome, problems }) => {
      const what = `Table ${table}${outcome === 'left' ? ' was not restored' : ''}`;
      return problems.map((one) => `${what}: ${one}`);
    }),
    ...lacking.map((part) => `${part.kind} ${part.name}: ${part.problem}`),
  );
}

/** The restored schema, in a sentence. */
export function formatRestoredSchema(report: SchemaReport): string {
  const { schema, restoredAs, droppedAt, user, tables, parts } = report;
  const isCopy = restoredAs !== schema;
  const as = isCopy ? ` as ${restoredAs}` : '';
  const of = `${schema}${as} (dropped ${utcText(droppedAt)} UTC by ${user})`;
  if (report.wasBack) return printable(`${of} is restored already: nothing to do.`);
  const there = tables.filter(({ outcome }) => outcome !== 'left').length;
  const made = parts.filter(({ problem }) => problem === null).length;
  const hasParts = !isCopy && parts.length > 0;
  const counts = present(
    `${there} of ${tables.length} tables`,
    hasParts ? `${made} of ${parts.length} views and programs` : null,
  );
  const done = report.isComplete ? 'Restored' : 'Restored in part';
  return printable(`${done} ${of}: ${counts.join(', ')}.`);
}

/** Other held tables of that name, which the report would not show otherwise. */
export function formatOthers({
  schema,
  others,
  singles,
}: Pick<SchemaReport, 'schema' | 'others' | 'singles'>): readonly string[] {
  const drops = others.map(
    ({ dropId, droppedAt, held }) =>
      `From another drop of it, at ${utcText(droppedAt)}, ${held} tables are held: ` +
      `\`undrop restore --schema ${dropId}\`, with --to for another schema.`,
  );
  if (singles === 0) return drops;
  const single =
    `${singles} of its tables that were dropped individually are held: SHOW DROPPED TABLES ` +
    `FROM ${schema}, or \`undrop list --schema ${schema}\`.`;
  return [...drops, single];
}

/** The plan of a restore, with a line for each part that it would create or leave. */
export function formatSchemaPreview(preview: SchemaPreview): string {
  const { plan, dropId, tables, parts } = preview;
  return [
    printable(plan),
    ...tables.map(({ table, problem }) =>
      printable(problem === null ? `  TABLE ${table}` : `  TABLE ${table}: not, ${problem}`),
    ),
    ...parts.map(({ kind, name }) => printable(`  ${kind} ${name}`)),
    ...formatOthers(preview),
    `Nothing was done (--dry-run). Drop id: ${dropId}.`,
    '',
  ].join('\n');
}

/** Some are missing because the service account, or the user who asked, may not create them. */
export function isDenied({ parts }: Pick<SchemaReport, 'parts'>): boolean {
  return parts.some(({ problem }) => /denied|privilege/i.test(problem ?? ''));
}

export const MAKES_PARTS = `USE the schema, and UNDROP DATABASE adds them: ${WHO}`;
const WHERE =
  'Their statements are printed by: SELECT restore_script FROM _undrop.ledger WHERE id =';
