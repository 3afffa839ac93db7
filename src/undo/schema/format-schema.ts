/** The report of a schema that was brought back, as text and as JSON. Pure. */
import { utcText } from '../../duration.js';
import { printable } from '../format.js';
import type { SchemaPreview, SchemaReport } from './restore-schema.js';

/**
 * The result in one line, then the parts that are missing or differ, each with a line or its SQL.
 */
export function formatSchemaReport(report: SchemaReport): string {
  const { schema, restoredAs, tables, parts, id } = report;
  const isCopy = restoredAs !== schema;
  const others = formatOthers(report);
  if (report.wasBack) return [formatRestoredSchema(report), ...others, ''].join('\n');
  const missing = parts.filter(({ problem }) => problem !== null);
  const lines = [
    formatRestoredSchema(report),
    ...(report.problem === null ? [] : [`Schema ${restoredAs}: ${report.problem}.`]),
    ...tables.flatMap(({ table, outcome, problems }) =>
      problems.map(
        (problem) => `Table ${table}${outcome === 'left' ? ' was not restored' : ''}: ${problem}`,
      ),
    ),
    ...(isCopy ? [] : missing).map(({ kind, name, problem }) => `${kind} ${name}: ${problem}`),
  ].map(printable);
  if (isCopy && missing.length > 0) {
    const names = missing.map(({ kind, name }) => `${kind} ${name}`).join(', ');
    lines.push(printable(`Not created, because their texts name ${schema}: ${names}.`));
  }
  if (missing.some(({ problem }) => /denied|privilege/i.test(problem ?? ''))) lines.push(GRANT);
  if (missing.some(({ statement }) => statement !== null)) lines.push(`${WHERE} '${id}';`);
  return [...lines, ...others, ''].join('\n');
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
  const counts = [
    `${there} of ${tables.length} tables`,
    ...(isCopy || parts.length === 0 ? [] : [`${made} of ${parts.length} views and programs`]),
  ];
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
    ({ groupId, droppedAt, held }) =>
      `From another drop of it, at ${utcText(droppedAt)}, ${held} tables are held: ` +
      `\`undrop restore --schema ${groupId}\`, with --to for another schema.`,
  );
  if (singles === 0) return drops;
  const single =
    `${singles} of its tables that were dropped individually are held: SHOW DROPPED TABLES ` +
    `FROM ${schema}, or \`undrop list --schema ${schema}\`.`;
  return [...drops, single];
}

/** The plan of a restore, with a line for each part that it would create or leave. */
export function formatSchemaPreview(preview: SchemaPreview): string {
  const { plan, groupId, tables, parts } = preview;
  return [
    printable(plan),
    ...tables.map(({ table, problem }) =>
      printable(problem === null ? `  TABLE ${table}` : `  TABLE ${table}: not, ${problem}`),
    ),
    ...parts.map(({ kind, name }) => printable(`  ${kind} ${name}`)),
    ...formatOthers(preview),
    `Nothing was done (--dry-run). Drop id: ${groupId}.`,
    '',
  ].join('\n');
}

const GRANT =
  'Grant the service account what is missing (`undrop doctor`), and run the same command again to restore the rest.';
const WHERE =
  'Their statements are printed by: SELECT restore_script FROM _undrop.ledger WHERE id =';

/** The report for `--json`. */
export function schemaReportJson(report: SchemaReport): object {
  return { ...report, droppedAt: report.droppedAt.toISOString() };
}
