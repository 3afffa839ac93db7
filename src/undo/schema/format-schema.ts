/** The report of a schema that was brought back, as text and as JSON. Pure. */
import { utcText } from '../../duration.js';
import { printable } from '../format.js';
import type { SchemaReport } from './restore-schema.js';

/** What was done in one line, then what is not there as it was, each with a line or its SQL. */
export function formatSchemaReport(report: SchemaReport): string {
  const { schema, restoredAs, droppedAt, user, tables, parts, id } = report;
  const isCopy = restoredAs !== schema;
  const as = isCopy ? ` as ${restoredAs}` : '';
  const dropped = `${utcText(droppedAt)} by ${user}`;
  const of = `${schema}${as} (dropped ${dropped})`;
  if (report.wasBack)
    return printable(`${of} is back already: nothing was to be done.`).concat('\n');
  const there = tables.filter(({ outcome }) => outcome !== 'left').length;
  const made = parts.filter(({ problem }) => problem === null).length;
  const counts = [
    `${there} of ${tables.length} tables`,
    ...(isCopy || parts.length === 0 ? [] : [`${made} of ${parts.length} views and programs`]),
  ];
  const missing = parts.filter(({ problem }) => problem !== null);
  const lines = [
    `${report.isComplete ? 'Restored' : 'Restored in part'} ${of}: ${counts.join(', ')}.`,
    ...(report.problem === null ? [] : [`Schema ${restoredAs}: ${report.problem}.`]),
    ...tables.flatMap(({ table, outcome, problems }) =>
      problems.map(
        (problem) => `Table ${table}${outcome === 'left' ? ' is not back' : ''}: ${problem}`,
      ),
    ),
    ...(isCopy ? [] : missing).map(({ kind, name, problem }) => `${kind} ${name}: ${problem}`),
  ].map(printable);
  if (isCopy && missing.length > 0) {
    const names = missing.map(({ kind, name }) => `${kind} ${name}`).join(', ');
    lines.push(printable(`Not made, because their texts name ${schema}: ${names}.`));
  }
  if (missing.some(({ statement }) => statement !== null)) lines.push(`${WHERE} '${id}';`);
  return `${lines.join('\n')}\n`;
}

const WHERE =
  'Their statements are printed by: SELECT restore_script FROM _undrop.ledger WHERE id =';

/** The report for `--json`. */
export function schemaReportJson(report: SchemaReport): object {
  return { ...report, droppedAt: report.droppedAt.toISOString() };
}
